"""Sources that do what they are told, viewers that come and go, and processes with faults."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Self

from sse_relay import Relay
from sse_relay.stores.protocol import RunInfo, StreamStore
from sse_relay.testing import FaultyStore, WatchedSubscription

LEASE = 3.0
END = object()

Fault = Callable[[FaultyStore], AbstractContextManager[object]]


class Script:
    """
    A source that does what it is told: says a text, raises, ends.

    Args:
        run_id: Part of each text.
        kind: What `Relay.start` is given: a ``generator``, a ``callable`` or an ``awaitable``.

    Attributes:
        said: What it has said.
        stubborn: Whether it ignores being cancelled.
        given: Whether a relay was given it.
        opened: Whether it was ever read.
        closed: Whether its cleanup is over; of one that was never read, whether it was closed.
        failed: Whether it has raised.
    """

    def __init__(self, run_id: str, kind: str = "generator") -> None:
        self.run_id = run_id
        self.kind = kind
        self.said: list[str] = []
        self.stubborn = False
        self.given = self.opened = self.closed = self.failed = False
        self._told: asyncio.Queue[object] = asyncio.Queue()
        self._texts = 0
        self._items: AsyncGenerator[str, None] | None = None

    def say(self, count: int) -> None:
        """Let it say so many texts more."""
        for _ in range(count):
            self._texts += 1
            self.tell(f"{self.run_id}/{self._texts}")

    def tell(self, what: object) -> None:
        """Say what is next: a text, an exception, or END."""
        self._told.put_nowait(what)

    def source(self) -> Any:
        """Make what `Relay.start` takes."""
        self.given = True
        if self.kind == "callable":
            return lambda _: self
        return self._opening() if self.kind == "awaitable" else self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if self._items is None:
            self._items = self._events()
        return await self._items.__anext__()

    async def aclose(self) -> None:
        """Close it, read or not."""
        if self._items is None:
            self.closed = True
        else:
            await self._items.aclose()

    async def _opening(self) -> AsyncIterator[str]:
        await asyncio.sleep(0.01)
        return self

    async def _events(self) -> AsyncGenerator[str, None]:
        self.opened = True
        try:
            while (what := await self._next()) is not END:
                if isinstance(what, BaseException):
                    self.failed = True
                    raise what
                self.said.append(str(what))
                yield str(what)
        finally:
            self.closed = True

    async def _next(self) -> object:
        while True:
            try:
                return await self._told.get()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise


class View:
    """
    A viewer, which may come back.

    Attributes:
        run_id: What it views.
        native: Whether it reads records as they are stored, and not events.
        began: Where it began; None: it could not yet.
        seen: What it has seen.
        cursor: Behind what it was last.
        subscription: The subscription that it has now.
        reading: A read that is under way.
        process: Where it is.
    """

    def __init__(self, run_id: str, *, native: bool = False) -> None:
        self.run_id = run_id
        self.native = native
        self.began: int | None = None
        self.seen: list[str] = []
        self.cursor: str | None = None
        self.subscription: WatchedSubscription | None = None
        self.reading: asyncio.Task[None] | None = None
        self.process: Process | None = None

    @property
    def place(self) -> str | int | None:
        """Where it goes on."""
        return self.began if self.cursor is None else self.cursor

    async def enter(self, subscription: WatchedSubscription) -> None:
        """Enter a subscription; whoever cannot in a second has none."""
        await self.leave()
        async with asyncio.timeout(1):
            await subscription.__aenter__()
        self.subscription = subscription
        if self.began is None:
            self.began = subscription.viewer.place

    async def read(self, count: int) -> None:
        """Read so many events or batches, or to the end."""
        for _ in range(count):
            if self.subscription is None:
                return
            if not self.native:
                if (event := await anext(self.subscription, None)) is None:
                    return
                events = [event]
            elif (batch := await self.subscription.read()) is not None:
                events = batch.events
            elif self.subscription.subscription.done:
                return
            else:
                events = []
            for event in events:
                self.cursor = event.id
                self.seen.append(event.event or event.data or "")

    async def read_to_the_end(self) -> bool:
        """Tell whether it comes to an end, in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                await self.read(1_000_000)
                return True
        return False

    async def stop_reading(self) -> None:
        """Cancel a read that is under way."""
        if self.reading is not None:
            reading, self.reading = self.reading, None
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.result()

    async def leave(self) -> None:
        """Leave, also in the middle of a read."""
        await self.stop_reading()
        if self.subscription is not None:
            await self.subscription.aclose()
            self.subscription = None


class Process:
    """
    One process: its handle on the store, its relay, and the faults that it has at the moment.

    Attributes:
        told: The transitions that its relay told of: run id, and whether it was a start.
        vanished: Whether it is dead to the others.
    """

    def __init__(self, store: StreamStore, latency: Fault) -> None:
        self.handle = FaultyStore(store)
        self.told: Counter[tuple[str, bool]] = Counter()
        self.relay = Relay(self.handle, lease=LEASE, on_transition=self._tell)
        self.vanished = False
        self._latency = ExitStack()
        self._latency.enter_context(latency(self.handle))
        self._faults: dict[str, ExitStack] = {}

    @property
    def faults(self) -> list[str]:
        """The faults that it has."""
        return list(self._faults)

    def fault(self, name: str, fault: Fault) -> None:
        """Let a fault begin, or begin anew."""
        self.heal(name)
        self._faults[name] = stack = ExitStack()
        stack.enter_context(fault(self.handle))

    def heal(self, name: str | None = None) -> None:
        """Let a fault end, or all of them."""
        for fault in list(self._faults) if name is None else [name]:
            self._faults.pop(fault, ExitStack()).close()

    def vanish(self) -> None:
        """Die."""
        self.vanished = True
        self.handle.vanish()

    def _tell(self, info: RunInfo) -> None:
        self.told[info.id, info.outcome is None] += 1
