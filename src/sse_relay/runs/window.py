"""The newest records of one run, shared by all who view it here: no queue for each, and no wait for any."""

import asyncio
from collections import deque
from dataclasses import replace

from sse_relay.runs.batch import Batch
from sse_relay.stores.protocol import Page, RunInfo

__all__ = ["Window"]

_BATCHES = 64  # a viewer further behind pages from the store
_BYTES = 1 << 18


class Window:
    """
    The newest records of one run, and who waits for more.

    Attributes:
        info: The newest state that was heard of.
        version: Counts whatever may be news.
        doubts: Counts the looks that failed: each viewer has to look for itself.
        closed: Whether nothing more will be heard.
        viewers: How many look.
        heard: Whether something was heard since the tail last looked.
        looking: Whether the tail is looking; and whether it has to look again.
    """

    __slots__ = ("_batches", "_size", "_waiting", "closed", "doubts", "heard", "info", "looking", "version", "viewers")

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.version: int = 0
        self.doubts: int = 0
        self.viewers: int = 0
        self.looking: int = 0
        self.closed: bool = False
        self.heard: bool = False
        self._batches: deque[Batch] = deque()
        self._size = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def after(self, epoch: str, offset: int) -> Batch | None:
        """The records after a place, if the window has the next one, of the same epoch."""
        for batch in reversed(self._batches):
            page = batch.page
            if page.first <= offset + 1 <= page.last:
                return batch.after(offset) if page.epoch == epoch else None
        return None

    def is_ahead(self, epoch: str, offset: int) -> bool:
        """Tell whether there is more than a viewer at that place has seen."""
        return self.info is not None and (self.info.epoch != epoch or self.info.last_offset > offset)

    def note(self, info: RunInfo) -> None:
        """Take a state, in whatever order it is heard of; what one viewer reads is news to the others."""
        known = self.info
        if known is None or (known.outcome is None and (info.outcome or info.last_offset > known.last_offset)):
            self.info = info
            self.notify()

    def add(self, page: Page) -> None:
        """Take records, in whatever order, and however often, they are heard of."""
        self.note(page.info)
        newest = self._batches[-1].page if self._batches else None
        if page.frames and (newest is None or page.epoch != newest.epoch or page.last > newest.last):
            self._batches.append(Batch(replace(page, after=page.first - 1)))  # of a gap the store tells
            self._size += sum(map(len, page.frames))
            while len(self._batches) > _BATCHES or (self._size > _BYTES and len(self._batches) > 1):
                self._size -= sum(map(len, self._batches.popleft().page.frames))
        self.notify()

    def doubt(self) -> None:
        """Make every viewer look for itself."""
        self.doubts += 1
        self.notify()

    def close(self) -> None:
        """Let every viewer know that nothing more will be heard."""
        self.closed = True
        self.notify()

    def expect(self) -> "asyncio.Future[None]":
        """Make a future that is done once something may have happened; to be given back by `forget`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        return future

    def forget(self, future: "asyncio.Future[None]") -> None:
        """Take back what `expect` gave: who waits no more leaves nothing behind."""
        self._waiting.discard(future)

    async def wait(self) -> None:
        """Wait until something may have happened."""
        future = self.expect()
        try:
            await future
        finally:
            self.forget(future)

    def notify(self) -> None:
        """Let every viewer look."""
        self.version += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)
