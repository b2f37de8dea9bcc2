"""Replay what is stored after a cursor, then follow."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sse_relay.exceptions import StoreContractError
from sse_relay.runs.batch import Batch
from sse_relay.runs.tail import Tail
from sse_relay.runs.window import Window
from sse_relay.stores.protocol import Page, RunInfo, StreamStore
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.event import ServerSentEvent

if TYPE_CHECKING:
    import asyncio

    from sse_relay.outcome import Outcome

__all__ = ["Subscription"]

_ENTER = "enter the subscription first: async with relay.subscribe(…) as events"


class Subscription:
    """
    One viewer of one run: an async context manager, and an async iterator of its events.

    **Order and delivery**: each record after the cursor once, in order; an event's id is its cursor, and the last one
    is the ``end``. Records that were trimmed are said by a ``gap`` event, never skipped in silence. **Closing** leaves
    the run alone. **Cancellation** of a read loses no event: reading on, or coming back with the last id, goes on
    right behind it. **Buffering**: a page of the log, 500 records at most; nobody waits for a viewer.

    Attributes:
        run_id: The run.
        info: The run's state when it was entered.
        outcome: How the run ended, once the reader has come to the end; None: it has not, or the relay is draining.
    """

    def __init__(
        self,
        store: StreamStore,
        tail: Tail,
        look: Callable[[str], Awaitable[object]],
        run_id: str,
        after: Cursor | int | None,
    ) -> None:
        self.run_id = run_id
        self.outcome: Outcome | None = None
        self._store = store
        self._tail = tail
        self._look = look
        self._after = after
        self._info: RunInfo | None = None
        self._window: Window | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._first: Batch | None = None
        self._ready: Iterator[ServerSentEvent] = iter(())
        self._ended: Outcome | None = None
        self._epoch = ""
        self._seen = 0
        self._doubts = 0

    @property
    def info(self) -> RunInfo:
        """The run's state when the subscription was entered."""
        if self._info is None:
            raise RuntimeError(_ENTER)
        return self._info

    async def __aenter__(self) -> Self:
        if self._info is not None:
            raise RuntimeError("a subscription is entered once; subscribe again, after the last id that was seen")
        self._window = window = self._tail.enter(self.run_id)
        try:
            await self._look(self.run_id)
            page = await self._store.read(self.run_id, self._after)
        except BaseException:
            self._leave()
            raise
        self._info = page.info
        window.note(page.info)
        self._doubts = window.doubts
        self._epoch, self._seen = page.epoch, page.after
        if _tells(page):
            self._first = Batch(page)
        elif page.info.outcome is not None:  # the cursor is the seal's: nothing is left to read
            self._ended = self.outcome = page.info.outcome
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        while True:
            for event in self._ready:
                if event.outcome is not None:
                    self.outcome = event.outcome
                return event
            if (batch := await self._next()) is None:
                self.outcome = self._ended
                raise StopAsyncIteration
            self._ready = iter(batch.events)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """
        Read the log in runs of consecutive records, as stored: the way for whoever writes bytes.

        ``page.first > page.after + 1``: the records between were trimmed.
        """
        while (batch := await self._next()) is not None:
            yield batch.page
        self.outcome = self._ended

    async def aclose(self) -> None:
        """Stop viewing; idempotent. A read that waits ends."""
        self._ready = iter(())
        self._leave()

    async def _next(self) -> Batch | None:
        """Take the next records, wherever they are; None: there are none to come. After the last await all is taken."""
        if self._info is None:
            raise RuntimeError(_ENTER)
        while (window := self._window) is not None and self._ended is None:
            version, moved = window.version, False
            batch = self._first or window.after(self._epoch, self._seen) or await self._page(window)
            self._first = None
            if batch is not None:
                moved = self._take(batch)
                if _tells(batch.page):
                    return batch
            if not moved and version == window.version:
                if window.closed:
                    break
                await self._wait(window)
        return None

    async def _page(self, window: Window) -> Batch | None:
        """Read on in the store, if there is more than the window has."""
        doubts = window.doubts
        if doubts == self._doubts and not window.is_ahead(self._epoch, self._seen):
            return None
        page = await self._store.read(self.run_id, Cursor(self._epoch, self._seen))
        self._doubts = doubts
        window.note(page.info)
        return Batch(page)

    def _take(self, batch: Batch) -> bool:
        """Step behind a batch; tell whether that is any further."""
        page, before = batch.page, (self._epoch, self._seen)
        if page.after != self._seen or page.first <= self._seen:
            raise StoreContractError(f"run {self.run_id}: after record {self._seen} came a page from {page.first}")
        self._epoch, self._seen = page.epoch, page.last
        self._ended = batch.outcome
        return before != (self._epoch, self._seen)

    async def _wait(self, window: Window) -> None:
        self._waiter = future = window.expect()
        try:
            await future
        finally:
            window.forget(future)

    def _leave(self) -> None:
        if (window := self._window) is None:
            return
        self._window = None
        self._tail.leave(self.run_id, window)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _tells(page: Page) -> bool:
    """Whether there is anything in a page to show: records, or a gap."""
    return bool(page.frames) or page.first > page.after + 1
