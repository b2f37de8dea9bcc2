"""What a run's hash tells, and the pages of its log."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sse_relay.exceptions import CursorMismatchError
from sse_relay.stores.redis.codec import outcome_of, unpack
from sse_relay.stores.terms import Page, RunInfo
from sse_relay.wire.cursor import Cursor

__all__ = ["Snapshot", "text"]

Entry = tuple[bytes, Sequence[bytes]]
_NO_METADATA: Mapping[str, object] = MappingProxyType({})


class Snapshot:
    """
    A run as it is in one instant.

    Args:
        flat: The fields of its hash, each followed by its value.

    Attributes:
        last: How many records were ever appended.
    """

    __slots__ = ("_ends", "_epochs", "_fields", "last")

    def __init__(self, flat: Sequence[bytes]) -> None:
        self._fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        epochs = [part.partition(b",")[2] or part for part in self._fields[b"epochs"].split(b":")]
        ends = [part.partition(b",")[0] for part in self._fields[b"epochs"].split(b":")[1:]]
        self._epochs = [epoch.decode() for epoch in epochs]
        self._ends = [int(end) for end in ends]  # where each epoch but the last one ended
        self.last: int = int(self._fields[b"last"])

    def info(self, *, joined: bool = False) -> RunInfo:
        """Tell what a user may know."""
        fields = self._fields
        outcome = outcome_of(fields.get(b"outcome", b""))
        return RunInfo(
            text(fields[b"id"]),
            text(fields[b"key"]) if b"key" in fields else None,
            "running" if outcome is None else outcome.status,
            self._epochs[-1],
            self.last,
            outcome,
            int(fields[b"created"]) / 1e6,
            int(fields[b"updated"]) / 1e6,
            MappingProxyType(_parsed(fields[b"metadata"])) if fields[b"metadata"] else _NO_METADATA,
            text(fields[b"dialect"]),
            joined,
        )

    def page(self, after: Cursor | int, entries: Sequence[Entry], limit: int) -> Page:
        """
        Cut out what follows a place.

        Args:
            after: The place.
            entries: The entries of the log that have it, in order; the first one may begin before it.
            limit: The most records.

        Raises:
            CursorMismatchError: The log never had the place.
        """
        place = self._place(after)
        first, frames = self._joined(place, entries)
        index = bisect_left(self._ends, first)
        end = self._ends[index] if index < len(self._ends) else self.last
        return Page(self.info(), self._epochs[index], first, frames[: min(limit, end - first + 1)], place)

    def _place(self, after: Cursor | int) -> int:
        cursor = after if isinstance(after, Cursor) else Cursor(self._epochs[-1], after)
        if cursor.epoch not in self._epochs:
            raise CursorMismatchError(cursor, "foreign")
        if cursor.offset > [*self._ends, self.last][self._epochs.index(cursor.epoch)]:
            raise CursorMismatchError(cursor, "rolled_back")
        return cursor.offset

    def _joined(self, place: int, entries: Sequence[Entry]) -> tuple[int, list[bytes]]:
        """Unpack what is there up to the next hole, and tell where it begins: later than wanted, if that is gone."""
        first, frames = self.last + 1, list[bytes]()
        for name, fields in entries:
            last, count = map(int, name.split(b"-"))
            begin = last - count + 1
            if not frames:
                first = max(begin, place + 1)
            elif begin != first + len(frames):
                break
            frames += unpack(fields[1], count)[max(0, first + len(frames) - begin) :]
        return first, frames


def text(value: bytes) -> str:
    """Read text of a user, who may have sent half a character."""
    return value.decode("utf-8", "surrogatepass")


def _parsed(metadata: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(metadata)
    return parsed
