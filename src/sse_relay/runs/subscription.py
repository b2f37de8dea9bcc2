"""Replay what is stored after a cursor, then follow."""

from collections.abc import Awaitable, Callable, Iterator
from operator import length_hint
from sys import intern
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sse_relay.exceptions import CursorMismatchError, StoreContractError
from sse_relay.observability.protocol import Observer, ViewerObserver
from sse_relay.runs.batch import Batch
from sse_relay.runs.opening import require_run_id
from sse_relay.runs.seat import Seat
from sse_relay.runs.tail import Tail
from sse_relay.runs.window import Window
from sse_relay.stores.protocol import RunInfo, StreamStore
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.event import ServerSentEvent

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Subscription"]

_PAGE = 500  # records that are read at once
_LONG_PAGE = 3000  # by one who is far behind: each page costs a round trip
_NOTHING: Iterator[ServerSentEvent] = iter(())
_ENTER = "enter the subscription first: async with relay.subscribe(…) as events"


class Subscription:
    """
    One viewer of one run: an async context manager, and an async iterator of its events.

    **Order and delivery**: each record after the cursor once, in order; an event's id is its cursor, and the last one
    is the ``end``. Records that were trimmed are said by a ``gap`` event, never skipped in silence. **Closing** leaves
    the run alone. **Cancellation** of a read loses no event: reading on, or coming back with the last id, goes on
    right behind it. **Buffering**: a page of the log, which has 3,000 records and `page_bytes` at most, or
    a single record that is larger; nobody waits for a viewer.

    Attributes:
        run_id: The run.
        outcome: How the run ended, once the reader has come to the end; None: it has not, or the relay is draining.
        done: Whether nothing more is to come: the reader has come to the end, has left, or the relay is draining.
    """

    __slots__ = (
        "_after", "_doubts", "_ended", "_epoch", "_fruitless", "_info", "_look", "_looked", "_next", "_nudged",
        "_observer", "_page_bytes", "_pending", "_ready", "_seat", "_seen", "_store", "_tail", "_viewer", "_window",
        "done", "outcome", "run_id",
    )  # fmt: skip

    def __init__(
        self,
        store: StreamStore,
        tail: Tail,
        look: Callable[[str], Awaitable[object]],
        run_id: str,
        after: Cursor | int | None,
        *,
        page_bytes: int,
        observer: Observer | None = None,
    ) -> None:
        self.run_id: str = run_id
        self.outcome: Outcome | None = None
        self.done: bool = False
        self._store = store
        self._tail = tail
        self._look = look
        self._after = after
        self._page_bytes = page_bytes
        self._observer = observer
        self._viewer: ViewerObserver | None = None
        self._info: RunInfo | None = None
        self._window: Window | None = None
        self._seat: Seat | None = None
        self._pending: Batch | None = None  # read from the store, and not taken yet
        self._ready: Iterator[ServerSentEvent] = _NOTHING
        self._ended: Outcome | None = None
        self._epoch = ""
        self._seen = 0
        self._next = -1  # the number of the window's batch that we expect
        self._doubts = 0
        self._looked: int = -1  # at which version of the window there was nothing more to take
        self._fruitless = -1  # at which version of the window the store had no more than we have seen
        self._nudged = False

    @property
    def info(self) -> RunInfo:
        """The run's state when the subscription was entered."""
        if self._info is None:
            raise RuntimeError(_ENTER)
        return self._info

    @property
    def cursor(self) -> Cursor:
        """The place of the last record that was read from the log; events that wait to be iterated are behind it."""
        return Cursor(self._epoch, self._seen)

    @property
    def starts_with_gap(self) -> bool:
        """Whether the next records are behind trimmed ones, as far as was read."""
        return self._pending is not None and self._pending.has_gap

    async def __aenter__(self) -> Self:
        if self._info is not None:
            raise RuntimeError("a subscription is entered once; subscribe again, after the last id that was seen")
        await self.enter()
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
            window, seat = self._window, self._seat
            if window is None or seat is None or window.version != self._looked:
                step = self._step()
                if step is None:
                    raise StopAsyncIteration
                if type(step) is Batch:
                    self._ready = iter(step.events)
                    continue
                if not isinstance(step, Seat):
                    await step
                    continue
                seat = step
            else:
                window.join(seat)
            try:
                await seat
            except BaseException:
                self._rise()
                raise
            # What nearly every wake-up brings: one batch, right behind the last, and no more. _step would do the same.
            window = self._window
            if window is None or not window.is_whole or self._viewer is not None or (batch := window.newest) is None:
                continue
            if batch.first == self._seen + 1 and batch.epoch == self._epoch and batch.outcome is None:
                self._seen = batch.last
                self._next = batch.number + 1
                self._looked = window.version
                if len(events := batch.decoded or batch.events) == 1:
                    return events[0]
                self._ready = iter(events)

    async def enter(self) -> None:
        """
        Take the place after the cursor, as ``async with`` does; a second call changes nothing.

        Raises:
            RuntimeError: The subscription was left already.
        """
        if self._info is not None:
            if self._window is None:
                raise RuntimeError("this subscription was left already; hand it over before it is entered, or inside")
            return
        require_run_id(self.run_id)
        self._window = window = self._tail.enter(self.run_id)
        try:
            await self._look(self.run_id)
            page = await self._store.read(self.run_id, self._after, limit=_LONG_PAGE, max_bytes=self._page_bytes)
        except BaseException:
            self._leave()
            raise
        window.note(page.info)
        self._info = window.info if window.info == page.info else page.info  # of a silent run all viewers hold the same
        if self._observer is not None:
            self._viewer = self._observer.viewer_joined(self.run_id, page.info.trace)
        self._seat = Seat()
        self._doubts = window.doubts
        self._epoch, self._seen = intern(page.epoch), page.after
        batch = Batch(page)
        if _tells(batch):
            self._pending = batch
        elif page.info.outcome is not None:  # the cursor is the seal's: nothing is left to read
            self._ended = self.outcome = page.info.outcome
            self.done = True

    async def read(self) -> Batch | None:
        """
        Take the next records as they are stored: for whoever writes bytes. None: `nudge` was called, or `done`.

        Raises:
            RuntimeError: Events were iterated, and not all of those that were read with them are taken.
        """
        if length_hint(self._ready):
            raise RuntimeError("iterate a subscription or read it, not both; subscribe again, after the last id seen")
        while (step := self._step()) is not None:
            if type(step) is Batch:
                self.outcome = step.outcome
                return step
            try:
                await step
            except BaseException:
                self._rise()
                raise
            if self._nudged:
                self._nudged = False
                return None
        return None

    async def read_before(self, after: Cursor | int, until: Cursor) -> Batch | None:
        """Read the records between two places again: what a renderer has to know to go on. None: there are no more."""
        if (left := until.offset - (after if isinstance(after, int) else after.offset)) <= 0:
            return None
        return Batch(await self._store.read(self.run_id, after, limit=min(left, _PAGE), max_bytes=self._page_bytes))

    def nudge(self) -> None:
        """Let a `read` that waits return None."""
        if self._seat is not None and self._seat.taken:
            self._nudged = True
            self._seat.wake_soon()
            self._rise()

    async def aclose(self) -> None:
        """Stop viewing; idempotent. A read that waits ends."""
        self._ready = _NOTHING
        self._leave()

    def _step(self) -> Batch | Awaitable[None] | None:
        """Take the next records, or tell what to wait for before the next step; None: there are none to come."""
        window = self._window
        if window is None or self._seat is None or self._ended is not None:
            if self._info is None:
                raise RuntimeError(_ENTER)
            if window is not None:  # whoever has not left has come to the end, also if the last record has vanished
                self.outcome = self._ended
            self.done = True
            return None
        if window.version != self._looked:
            while (batch := self._pending or window.after(self._epoch, self._seen, self._next)) is not None:
                self._pending = None
                self._take(batch)
                if _tells(batch):
                    if batch is window.newest and window.is_whole and self._ended is None:
                        self._looked = window.version
                    return batch
                self.outcome = batch.outcome  # of a run whose last record was seen before it was known for the last
            behind = self._doubts != window.doubts or window.is_ahead(self._epoch, self._seen)
            if behind and self._fruitless != window.version:
                return self._page(window)
            if window.is_closed or self._ended is not None:
                self.done = True
                return None
            self._looked = window.version
        window.join(self._seat)
        return self._seat

    async def _page(self, window: Window) -> None:
        """Read on in the store."""
        doubts, version = window.doubts, window.version
        try:
            place, most = Cursor(self._epoch, self._seen), self._page_bytes
            page = await self._store.read(self.run_id, place, limit=_LONG_PAGE, max_bytes=most)
        except CursorMismatchError as error:
            if error.kind != "rolled_back" or self._doubts != doubts or not self._may_return(window, version):
                raise
            self._tail.lacks(self.run_id, window)  # should it not come back, the tail will doubt it
            self._fruitless = version
            return
        self._doubts = doubts
        window.note(page.info)
        self._pending = batch = Batch(page)
        if (batch.epoch, batch.last) == (self._epoch, self._seen):
            self._fruitless = version

    def _may_return(self, window: Window, version: int) -> bool:
        """Whether what the log lacks may be sent again, or has been since: its producer is the same, and may live."""
        info = window.info
        return info is not None and info.epoch == self._epoch and (info.outcome is None or window.version != version)

    def _take(self, batch: Batch) -> None:
        """Step behind a batch."""
        if batch.page.after != self._seen or batch.first <= self._seen:
            raise StoreContractError(f"run {self.run_id}: after record {self._seen} came a page from {batch.first}")
        self._epoch, self._seen = batch.epoch, batch.last
        self._next = batch.number + 1
        if self._viewer is not None:
            _tell(self._viewer, batch)
        if batch.outcome is not None:
            self._ended = batch.outcome
            self.done = True

    def _rise(self) -> None:
        """Wait no more; where a second task has tried to read, the first one waits on."""
        if self._seat is not None and not self._seat.taken and self._window is not None:
            self._window.waiting.pop(self._seat, None)

    def _leave(self) -> None:
        self.done = True
        if (window := self._window) is None:
            return
        if self._seat is not None:
            self._seat.wake_soon()
        self._rise()
        self._window = None
        self._tail.leave(self.run_id, window)
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.left(self.outcome)


def _tells(batch: Batch) -> bool:
    """Whether there is anything in a batch to show: records, or a gap."""
    return batch.last >= batch.first or batch.has_gap


def _tell(viewer: ViewerObserver, batch: Batch) -> None:
    if batch.has_gap:
        viewer.gap(batch.page.after, batch.first)
    if frames := batch.page.frames:
        seconds = perf_counter() - batch.heard_at if batch.heard_at else None
        viewer.delivered(len(frames), sum(map(len, frames)), seconds)
