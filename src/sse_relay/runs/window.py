"""The newest records of one run, shared by all who view it here: no queue for each, and no wait for any."""

import asyncio
from collections import deque
from dataclasses import replace

from sse_relay.runs.batch import Batch
from sse_relay.runs.seat import Seat
from sse_relay.stores.protocol import Page, RunInfo

__all__ = ["Window"]

_BATCHES = 64  # a viewer further behind pages from the store
_BYTES = 1 << 18
_AT_ONCE = 64  # viewers that are woken in one turn of the loop: a thousand must not hold up the runs of others


class Window:
    """
    The newest records of one run, as far as somebody may still need them, and who waits for more.

    Attributes:
        info: The newest state that was heard of.
        version: Counts whatever may be news.
        doubts: Counts the looks that failed: each viewer has to look for itself.
        is_closed: Whether nothing more will be heard.
        is_whole: Whether the newest batch is all that there is to know.
        newest: The newest batch; None: all who view the run have it.
        viewers: How many look.
        waiting: Who is woken once something may have happened, in the order of their coming; who waits no more leaves.
        heard: Whether something was heard since the tail last looked.
        looking: Whether the tail is looking; and whether it has to look again.
        lacks: Whether the tail waits for records that were seen, and that the log has not.
    """

    __slots__ = (
        "_added", "_epoch", "_last", "_older", "_size", "_waking", "doubts", "heard", "info", "is_closed", "is_whole",
        "lacks", "looking", "newest", "version", "viewers", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.version: int = 0
        self.doubts: int = 0
        self.viewers: int = 0
        self.looking: int = 0
        self.lacks: bool = False
        self.is_closed: bool = False
        self.is_whole: bool = False
        self.newest: Batch | None = None
        self.heard: bool = False
        self.waiting: dict[Seat, None] = {}
        self._added = 0  # batches, ever
        self._older: list[Batch] = []  # that somebody may lack, besides the newest
        self._size = 0  # of those, in bytes
        self._epoch: str = ""  # of the newest one that there ever was
        self._last: int = 0  # and its last record
        self._waking: deque[Seat] | None = None  # who is woken in the turns of the loop to come

    def after(self, epoch: str, offset: int, number: int = -1) -> Batch | None:
        """The records after a place, if the window has the next one, of the same epoch; perhaps in batch `number`."""
        newest = self.newest
        if newest is None:
            return None
        if newest.first == offset + 1 and newest.epoch == epoch:
            return newest
        older = self._older
        index = number - older[0].number if older else -1
        if 0 <= index < len(older):
            batch = older[index]
            if batch.first == offset + 1 and batch.epoch == epoch:
                return batch
        for batch in (newest, *reversed(older)):
            if batch.last <= offset:
                return None
            if batch.first <= offset + 1:
                return batch.after(offset) if batch.epoch == epoch else None
        return None

    def is_ahead(self, epoch: str, offset: int) -> bool:
        """Tell whether there is more than a viewer at that place has seen."""
        return self.info is not None and (self.info.epoch != epoch or self.info.last_offset > offset)

    def note(self, info: RunInfo) -> None:
        """Take a state, in whatever order it is heard of; what one viewer reads is news to the others."""
        known = self.info
        if known is None or (known.outcome is None and (info.outcome or info.last_offset > known.last_offset)):
            self.info = info
            self.is_whole = False
            self.notify()

    def add(self, page: Page, heard_at: float = 0.0) -> None:
        """Take records, in whatever order, and however often, they are heard of; 0: nobody asks when."""
        info, known, frames = page.info, self.info, page.frames
        if known is None or (known.outcome is None and (info.outcome or info.last_offset > known.last_offset)):
            self.info = known = info
            self.is_whole = False
        if frames and ((last := page.first + len(frames) - 1) > self._last or page.epoch != self._epoch):
            if page.after != page.first - 1:
                page = replace(page, after=page.first - 1)  # of a gap the store tells
            if self.newest is not None:
                self._put_by(self.newest, page)
            self.newest = Batch(page, self._added, heard_at)
            self._added += 1
            self._epoch = page.epoch
            self._last = last
            self.is_whole = info is known and last == info.last_offset and not self.is_closed
        self.notify()

    def doubt(self) -> None:
        """Make every viewer look for itself."""
        self.doubts += 1
        self.is_whole = False
        self.notify()

    def close(self) -> None:
        """Let every viewer know that nothing more will be heard."""
        self.is_closed = True
        self.is_whole = False
        self.notify()

    def join(self, seat: Seat) -> None:
        """Wait at that seat, having taken all that there is: what everybody has is let go of, while it is at hand."""
        self.waiting[seat] = None
        if self.newest is not None and len(self.waiting) == self.viewers:
            self._forget()

    async def wait(self) -> None:
        """Wait until something may have happened."""
        seat = Seat()
        self.waiting[seat] = None
        try:
            await seat
        finally:
            self.waiting.pop(seat, None)

    def notify(self) -> None:
        """Let every viewer look, some in each turn of the loop: who is woken late finds more to read at once."""
        self.version += 1
        waiting = self.waiting
        if not waiting:
            return
        if self._waking is not None:
            self._waking += waiting
            waiting.clear()
        elif asyncio.current_task() is not None:
            self._waking = deque(waiting)
            waiting.clear()
            asyncio.get_running_loop().call_soon(self._wake)
        elif len(waiting) > 1:  # what we hear from comes straight from the loop: nobody is in his step
            self._waking = deque(waiting)
            waiting.clear()
            self._wake()
        else:
            seat, _ = waiting.popitem()
            seat.wake()

    def _wake(self) -> None:
        if (waking := self._waking) is None:
            return
        try:
            for _ in range(min(_AT_ONCE, len(waking))):
                waking.popleft().wake()
        finally:
            if waking:
                asyncio.get_running_loop().call_soon(self._wake)
            else:
                self._waking = None

    def _forget(self) -> None:
        self.newest = None
        if self._older:
            self._older.clear()
            self._size = 0

    def _put_by(self, newest: Batch, coming: Page) -> None:
        """Keep the newest batch beside the one that is coming, and others as far as there is room."""
        if len(self.waiting) == self.viewers:
            self._forget()
            return
        older = self._older
        older.append(newest)
        self._size += _size(newest.page)
        room = _BYTES - _size(coming)
        while older and (len(older) >= _BATCHES or self._size > room):
            self._size -= _size(older.pop(0).page)


def _size(page: Page) -> int:
    return sum(map(len, page.frames))
