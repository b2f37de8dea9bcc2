"""One run in memory: its log and its state, by the rules of the contract; no clock, no key, no other run."""

import json
import secrets
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from sse_relay.exceptions import CursorMismatchError, InvalidCursorError
from sse_relay.stores.paging import fitting
from sse_relay.stores.readings import Page, RunInfo, RunStatus
from sse_relay.stores.terms import Answer, Grant, Opening, Seal
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import encode_json

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Bounds", "RunLog"]

_NO_METADATA: Mapping[str, object] = MappingProxyType({})


class Bounds:
    """How long a log may grow, and whether a full one drops its oldest records or takes no more; a seal always fits."""

    __slots__ = ("max_bytes", "max_events", "trims")

    def __init__(self, max_events: int | None, max_bytes: int | None, *, trims: bool) -> None:
        self.max_events: float = float("inf") if max_events is None else max_events
        self.max_bytes: float = float("inf") if max_bytes is None else max_bytes
        self.trims: bool = trims

    def exceeded(self, count: int, size: int) -> bool:
        """Tell whether a log of so many records and bytes is too long."""
        return count > self.max_events or size > self.max_bytes


class RunLog:
    """
    A run.

    Attributes:
        id: Its id.
        opening: What it was opened with.
        fence: What its producer's batches must bear.
        last_offset: How many records were ever appended.
        cancel: Why somebody asked it to stop.
        outcome: How it ended.
        created_at: When it was opened.
        updated_at: When it was last active.
        lease_until: When its producer is taken for dead.
    """

    __slots__ = (
        "_bounds", "_ends", "_epochs", "_frames", "_metadata", "_size", "_trimmed", "cancel", "created_at", "fence",
        "id", "lease_until", "opening", "outcome", "updated_at",
    )  # fmt: skip

    def __init__(self, run_id: str, opening: Opening, bounds: Bounds, now: float) -> None:
        self.id: str = run_id
        self.opening: Opening = opening
        self.fence: int = 1
        self.cancel: str | None = None
        self.outcome: Outcome | None = None
        self.created_at: float = now
        self.updated_at: float = now
        self.lease_until: float = now + opening.lease
        self._bounds = bounds
        self._metadata = _copied(opening.metadata)
        self._epochs = [_new_epoch()]
        self._ends: list[int] = []  # where each epoch but the last one ended
        self._frames: list[bytes] = []
        self._trimmed = 0
        self._size = 0

    @property
    def last_offset(self) -> int:
        """How many records were ever appended."""
        return self._trimmed + len(self._frames)

    @property
    def first_grant(self) -> Grant:
        """The right to produce it, as whoever opened it got it."""
        return Grant(self.id, self._epochs[0], 1, self.opening.lease)

    @property
    def status(self) -> RunStatus:
        """Whether it runs, or how it ended."""
        return "running" if self.outcome is None else self.outcome.status

    def info(self, *, joined: bool = False) -> RunInfo:
        """Take a snapshot."""
        return RunInfo(
            self.id, self.opening.key, self.status, self._epochs[-1], self.last_offset, self.outcome, self.created_at,
            self.updated_at, self._metadata, self.opening.dialect, joined, self.opening.trace,
        )  # fmt: skip

    def touch(self, now: float) -> None:
        """Note a sign of life."""
        self.updated_at = now
        self.lease_until = now + self.opening.lease

    def judge(self, fence: int, first_offset: int, frames: Sequence[bytes], seal: Seal | None) -> Answer:
        """Tell what is to become of a batch."""
        last = first_offset - 1 + len(frames) + (seal is not None)
        if fence != self.fence:
            return Answer.FENCED
        if first_offset >= 1 and self._has(last, seal):
            return Answer.DUPLICATE
        if self.outcome is not None:
            return Answer.SEALED
        if first_offset != self.last_offset + 1:
            return Answer.GAP
        if frames and not self._bounds.trims:
            size = self._size + sum(map(len, frames))
            if self._bounds.exceeded(len(self._frames) + len(frames), size):
                return Answer.FULL
        return Answer.OK

    def add(self, frames: Sequence[bytes], seal: Seal | None) -> None:
        """Append a batch that was judged to be OK."""
        self._frames += frames
        self._size += sum(map(len, frames))
        if seal is not None:
            self._frames.append(seal.frame)
            self._size += len(seal.frame)
            self.outcome = seal.outcome
        if self._bounds.trims:
            self._trim()

    def take_over(self, seal: Seal) -> None:
        """Close the log under a new fence."""
        self.fence += 1
        self._ends.append(self.last_offset)
        self._epochs.append(_new_epoch())
        self.add((), seal)

    def place(self, after: Cursor | int | None) -> int:
        """Tell which offset a reader has seen, or why it cannot have."""
        if after is None:
            return 0
        cursor = after if isinstance(after, Cursor) else self._cursor(after)
        if cursor.epoch not in self._epochs:
            raise CursorMismatchError(cursor, "foreign")
        if cursor.offset > [*self._ends, self.last_offset][self._epochs.index(cursor.epoch)]:
            raise CursorMismatchError(cursor, "rolled_back")
        return cursor.offset

    def page(self, after: int, limit: int, max_bytes: int | None = None) -> Page:
        """Cut out what follows a place."""
        first = max(after, self._trimmed) + 1
        index = bisect_left(self._ends, first)  # of the epoch that the first record belongs to
        end = self._ends[index] if index < len(self._ends) else self.last_offset
        stop = min(first - 1 + limit, end)
        frames: Sequence[bytes] = self._frames[first - 1 - self._trimmed : stop - self._trimmed]
        if max_bytes is not None:
            frames = fitting(frames, max_bytes)
        return Page(self.info(), self._epochs[index], first, frames, after)

    def _has(self, last: int, seal: Seal | None) -> bool:
        """Tell whether the log has a batch that ends there: a seal is no record of it, nor the other way round."""
        if seal is None:
            return last <= self.last_offset - (self.outcome is not None)
        return self.outcome is not None and last == self.last_offset

    def _cursor(self, offset: int) -> Cursor:
        try:
            return Cursor(self._epochs[-1], offset)
        except InvalidCursorError:
            raise InvalidCursorError(offset) from None

    def _trim(self) -> None:
        drop, left = 0, len(self._frames)
        while left - drop > 1 and self._bounds.exceeded(left - drop, self._size):
            self._size -= len(self._frames[drop])
            drop += 1
        del self._frames[:drop]
        self._trimmed += drop


def _copied(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """Keep what the caller cannot change any more, as JSON gives it back."""
    return MappingProxyType(json.loads(encode_json(dict(metadata)))) if metadata else _NO_METADATA


def _new_epoch() -> str:
    return secrets.token_hex(8)
