"""Many frames in one piece, and outcomes as text."""

import json
import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

from sse_relay.exceptions import StoreContractError
from sse_relay.outcome import ErrorInfo, Outcome

__all__ = ["outcome_of", "outcome_text", "pack", "unpack", "unpack_all"]

_WIDTHS = {b"B"[0]: 1, b"H"[0]: 2, b"I"[0]: 4}  # bytes of each number of a batch, by its first byte
_MANY = 4  # frames of a batch, from which on reading them costs half of what slicing does
_SHORT, _HEAD = b"B\1", 3  # how a batch begins of one frame that is not long; and with its length


def pack(frames: Sequence[bytes]) -> bytes:
    """Pack a batch: how its numbers are written, how many frames, the length of each, the frames."""
    if len(frames) == 1 and len(frame := frames[0]) < 256:
        return b"B\x01%c%b" % (len(frame), frame)
    lengths = list(map(len, frames))
    try:
        told = b"B%b" % bytes((len(lengths), *lengths))  # of a byte each, as nearly always
    except ValueError:
        kind = "H" if max(len(lengths), *lengths) < 1 << 16 else "I"
        told = kind.encode() + struct.pack(f"<{len(lengths) + 1}{kind}", len(lengths), *lengths)
    return b"".join((told, *frames))


def unpack(packed: bytes, count: int) -> list[bytes]:
    """
    Unpack a suite of batches that hold so many frames together.

    Raises:
        StoreContractError: It is not what `pack` makes of so many.
    """
    if count == 1 and len(packed) > _HEAD and packed.startswith(_SHORT) and len(packed) == _HEAD + packed[_HEAD - 1]:
        return [packed[_HEAD:]]  # what a live run appends
    return unpack_all((packed,), count)


def unpack_all(suites: Iterable[bytes], count: int) -> list[bytes]:
    """
    Unpack suites of batches that hold so many frames together.

    Raises:
        StoreContractError: They are not what `pack` makes of so many.
    """
    frames = list[bytes]()
    is_whole = True
    try:
        for packed in suites:
            at, size, stream = 0, len(packed), BytesIO(packed)
            while at < size:
                kind = packed[at]
                begin = at + 1 + (width := _WIDTHS[kind])
                number = packed[at + 1] if width == 1 else int.from_bytes(packed[at + 1 : begin], "little")
                at = begin + number * width
                lengths: Sequence[int] = packed[begin:at]  # of a byte each, as nearly always
                if width > 1:
                    lengths = struct.unpack_from(f"<{number}{chr(kind)}", packed, begin)
                if number >= _MANY:
                    stream.seek(at)
                    frames += map(stream.read, lengths)
                    at += sum(lengths)
                else:
                    for length in lengths:
                        end = at + length
                        frames.append(packed[at:end])
                        at = end
            is_whole = is_whole and at == size
    except (IndexError, KeyError, struct.error):
        is_whole = False
    if not is_whole or len(frames) != count:
        raise StoreContractError(f"an entry of {count} records is damaged")
    return frames


def outcome_text(outcome: Outcome) -> str:
    """Write an outcome."""
    error = outcome.error
    told = None if error is None else [error.code, error.message, error.error_id, error.status]
    return json.dumps([outcome.status, outcome.reason, told], separators=(",", ":"))


def outcome_of(text: str) -> Outcome | None:
    """Read an outcome; nothing is of a run that goes on."""
    if not text:
        return None
    fields: list[Any] = json.loads(text)
    status, reason, told = fields
    return Outcome(status, reason, None if told is None else ErrorInfo(*told))
