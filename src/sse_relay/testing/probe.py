"""A source that knows what was done to it."""

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Any, Self

from sse_relay.wire.event import ServerSentEvent

__all__ = ["Probe"]

_marker: ContextVar[object] = ContextVar("marker", default=None)


class Probe:
    """
    A source that knows what was done to it.

    Args:
        items: How many events it yields, ``"0"``, ``"1"``, …; None: for ever.
        then: What it does after them: end, ``wait`` for ever, or raise the exception.
        waits: Whether it suspends before each event.

    Attributes:
        read: How many events were taken.
        closed: Whether its cleanup is over.
        tasks: The tasks that ran it.
        same_context: Whether its cleanup ran in the context in which it was started.
    """

    def __init__(self, items: int | None, then: BaseException | str = "end", *, waits: bool = False) -> None:
        self._items = items
        self._then = then
        self._waits = waits
        self._generator = self._generate()
        self._started = False
        self.read: int = 0
        self.closed: bool = False
        self.tasks: set[asyncio.Task[Any] | None] = set()
        self.same_context: bool = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        self._started = True
        self.tasks.add(asyncio.current_task())
        return await self._generator.__anext__()

    async def aclose(self) -> None:
        """Close it; a source that never started has nothing to clean up."""
        if self._started:
            self.tasks.add(asyncio.current_task())
        await self._generator.aclose()
        self.closed = True

    async def _generate(self) -> AsyncGenerator[ServerSentEvent, None]:
        token = _marker.set(self)
        try:
            while self._items is None or self.read < self._items:
                if self._waits:
                    await asyncio.sleep(0.01)
                self.read += 1
                yield ServerSentEvent(str(self.read - 1))
            if isinstance(self._then, BaseException):
                raise self._then
            if self._then == "wait":
                await asyncio.get_running_loop().create_future()
        finally:
            try:
                await asyncio.sleep(0)
                _marker.reset(token)
            except ValueError:
                self.same_context = False
            finally:
                self.closed = True
