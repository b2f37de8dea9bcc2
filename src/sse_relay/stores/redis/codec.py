"""Many frames in one entry of a stream, and outcomes as text."""

import json
import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from sse_relay.exceptions import StoreContractError
from sse_relay.outcome import ErrorInfo, Outcome

__all__ = ["outcome_of", "outcome_text", "pack", "unpack"]

_SHORT, _LONG = b"H", b"I"  # the lengths are of 2 bytes, or of 4


def pack(frames: Sequence[bytes]) -> bytes:
    """Pack frames: how their lengths are written, the lengths, the frames; how many is told elsewhere."""
    lengths = [len(frame) for frame in frames]
    kind = _SHORT if max(lengths, default=0) < 1 << 16 else _LONG
    return b"".join((kind, struct.pack(f"<{len(lengths)}{kind.decode()}", *lengths), *frames))


def unpack(packed: bytes, count: int) -> list[bytes]:
    """
    Unpack so many frames.

    Raises:
        StoreContractError: It is not what `pack` makes of so many.
    """
    kind = packed[:1]
    layout = f"<{count}{kind.decode('latin-1')}"
    if kind not in {_SHORT, _LONG} or len(packed) < 1 + struct.calcsize(layout):
        raise StoreContractError(f"an entry of {count} records is damaged")
    begin = 1 + struct.calcsize(layout)
    places = list(accumulate(struct.unpack_from(layout, packed, 1), initial=begin))
    if places[-1] != len(packed):
        raise StoreContractError(f"an entry of {count} records is damaged")
    return [packed[first:last] for first, last in pairwise(places)]


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome."""
    error = outcome.error
    told = None if error is None else [error.code, error.message, error.error_id, error.status]
    return json.dumps([outcome.status, outcome.reason, told], separators=(",", ":"))


def outcome_of(text: bytes) -> Outcome | None:
    """Read an outcome; nothing is of a run that goes on."""
    if not text:
        return None
    fields: list[Any] = json.loads(text)
    status, reason, told = fields
    return Outcome(status, reason, None if told is None else ErrorInfo(*told))
