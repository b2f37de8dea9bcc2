"""What a run's hash tells, and the pages of its log."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sse_relay.exceptions import CursorMismatchError
from sse_relay.stores.paging import fitting
from sse_relay.stores.readings import Page, RunInfo
from sse_relay.stores.redis.codec import outcome_of, unpack_all
from sse_relay.wire.cursor import Cursor

__all__ = ["Snapshot", "text"]

_NO_METADATA: Mapping[str, object] = MappingProxyType({})


class Snapshot:
    """
    A run as it is in one instant.

    Args:
        described: The fields of its hash, each followed by its value, as JSON.

    Attributes:
        last: How many records were ever appended.
    """

    __slots__ = ("_ends", "_epochs", "_fields", "_trimmed", "last")

    def __init__(self, described: bytes) -> None:
        flat: list[str] = json.loads(text(described))
        self._fields: dict[str, str] = dict(zip(flat[::2], flat[1::2], strict=True))
        parts = self._fields["epochs"].split(":")
        self._epochs = [part.partition(",")[2] or part for part in parts]
        self._ends = [int(part.partition(",")[0]) for part in parts[1:]]  # where each epoch but the last one ended
        self._trimmed = int(self._fields.get("trimmed", 0))
        self.last: int = int(self._fields["last"])

    def info(self, *, joined: bool = False) -> RunInfo:
        """Tell what a user may know."""
        fields = self._fields
        outcome = outcome_of(fields.get("outcome", ""))
        return RunInfo(
            fields["id"],
            fields.get("key"),
            "running" if outcome is None else outcome.status,
            self._epochs[-1],
            self.last,
            outcome,
            int(fields["created"]) / 1e6,
            int(fields["updated"]) / 1e6,
            MappingProxyType(_parsed(fields["metadata"])) if fields["metadata"] else _NO_METADATA,
            fields["dialect"],
            joined,
            fields.get("trace", ""),
        )

    def page(
        self,
        after: Cursor | int,
        bounds: tuple[int, int],
        first: int = 0,
        count: int = 0,
        batches: Sequence[bytes] = (),
    ) -> Page:
        """
        Cut out what follows a place.

        Args:
            after: The place.
            bounds: The most records, and the most bytes of them together.
            first: The first record that was read.
            count: How many follow, with that one.
            batches: Their batches, which may begin before the place; none: what followed has vanished.

        Raises:
            CursorMismatchError: The log never had the place.
        """
        place = self._place(after)
        frames: Sequence[bytes] = unpack_all(batches, count)
        begin = max(first, place + 1, self._trimmed + 1) if frames else self.last + 1
        index = bisect_left(self._ends, begin)
        end = self._ends[index] if index < len(self._ends) else self.last
        cut = begin - first
        limit, max_bytes = bounds
        frames = frames[cut : cut + min(limit, end - begin + 1)]
        if sum(map(len, batches)) > max_bytes:
            frames = fitting(frames, max_bytes)
        return Page(self.info(), self._epochs[index], begin, frames, place)

    def _place(self, after: Cursor | int) -> int:
        cursor = after if isinstance(after, Cursor) else Cursor(self._epochs[-1], after)
        if cursor.epoch not in self._epochs:
            raise CursorMismatchError(cursor, "foreign")
        if cursor.offset > [*self._ends, self.last][self._epochs.index(cursor.epoch)]:
            raise CursorMismatchError(cursor, "rolled_back")
        return cursor.offset


def text(value: bytes) -> str:
    """Read text of a user, who may have sent half a character."""
    return value.decode("utf-8", "surrogatepass")


def _parsed(metadata: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(metadata)
    return parsed
