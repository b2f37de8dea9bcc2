"""
The one task hop that timed combinators share.

Rules of this file:

- One task owns the source from its first item to its close, so that the source's ContextVars and cancel scopes stay in
  one task, and a timeout on the reading side never lands inside the source.
- The reader is the generator `Pump.items`. Timers and cancel tokens wake it; they never touch the source's items.
- Combinators attach: ``keepalive(guard_terminal(cancellable(source, token)))`` has one pump.
- Items that were read come before the error that ended the source; a cancellation or a timeout drops them.
- Timers are armed lazily: an item costs no timer, a wait costs one at most.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from sse_relay.combinators.stage import Stage, close, require_source
from sse_relay.exceptions import IdleTimeoutError, StreamCancelledError

if TYPE_CHECKING:
    from sse_relay.combinators.cancellation import CancelToken

__all__ = ["GRACE", "LOOK_AHEAD", "Pump", "attach"]

LOOK_AHEAD = 64
"""The most items that a pump reads ahead of its reader."""

GRACE = 5.0
"""How long a source that is being stopped may clean up before it is abandoned, in seconds."""

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")
_tasks: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


def attach(source: AsyncIterable[T], *, raises: bool = False) -> "tuple[Stage[T], Pump]":
    """
    Find the pump below a source, or put one over it.

    Args:
        source: The source; of a stage with a pump, the stage itself comes back.
        raises: Whether the combinator raises into the stream. Above a terminal guard it then needs a pump of its own:
            the guard would take the exception for the source's.

    Raises:
        TypeError: `source` is not an async iterable.
    """
    if isinstance(source, Stage) and source.pump is not None and not (raises and source.guarded):
        return source, source.pump
    require_source(source)
    pump = Pump(source)
    return Stage(pump.items(), pump, pump=pump), pump


class Pump:
    """Read a source in one task, and hand its items to one reader, who may also be woken by time or a token."""

    __slots__ = (
        "_abandoned", "_beat", "_beat_interval", "_began", "_buffer", "_cleaning", "_ended", "_error", "_grace",
        "_heard", "_idle", "_loop", "_next_interval", "_quiet_since", "_room", "_source", "_stopping", "_task",
        "_timed", "_timer", "_tokens", "_waiter", "_waiting_since",
    )  # fmt: skip

    _loop: asyncio.AbstractEventLoop

    def __init__(self, source: AsyncIterable[Any]) -> None:
        self._source = source
        self._buffer: deque[Any] = deque()
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None  # the reader waits for an item
        self._room: asyncio.Future[None] | None = None  # the task waits for room
        self._began = self._cleaning = self._ended = self._stopping = self._abandoned = False
        self._error: BaseException | None = None
        self._grace = GRACE
        self._tokens: dict[CancelToken, Callable[[], None]] = {}
        self._beat: Callable[[], Any] | None = None
        self._beat_interval = self._next_interval = self._idle = inf
        self._waiting_since = self._quiet_since = 0.0
        self._timed = self._heard = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether the next item is there already, so that reading it will not wait."""
        return bool(self._buffer)

    def watch(self, token: "CancelToken", grace: float) -> None:
        """Stop the source and raise `StreamCancelledError` once `token` is cancelled; the grace is for any stop."""

        def stop() -> None:
            self._interrupt(StreamCancelledError(token.reason or "cancelled"))

        self._tokens[token] = stop
        self._grace = grace
        if self._task is not None:
            token.watch(stop)

    def beat_every(self, interval: float, beat: Callable[[], Any], *, initial: float = inf) -> None:
        """Give the reader ``beat()`` whenever it has waited for `interval`, the first time already for `initial`."""
        if interval < self._beat_interval or self._beat is None:  # the shorter interval leaves the longer no silence
            self._beat, self._beat_interval = beat, interval
        self._next_interval = min(self._next_interval, initial, interval)
        self._rearm()

    def say(self, item: object) -> None:
        """Give the reader an item ahead of the source's."""
        self._buffer.appendleft(item)

    def limit_idle(self, seconds: float) -> None:
        """Stop the source and raise `IdleTimeoutError` once the reader has waited for `seconds`; beats do not count."""
        self._idle = min(self._idle, seconds)
        self._rearm()

    async def items(self) -> AsyncGenerator[Any, None]:
        """Read: each item in order, then the error that ended the source, if any."""
        buffer = self._buffer
        try:
            loop = self._start()
            while True:
                while buffer:
                    yield buffer.popleft()
                if self._ended or self._stopping:
                    break
                if self._room is not None:
                    _resolve(self._room)
                    self._room = None
                waiter: asyncio.Future[None] = asyncio.Future(loop=loop)
                self._waiter = waiter
                if self._timed:
                    self._waiting_since = now = loop.time()
                    if self._heard:
                        self._heard = False
                        self._quiet_since = now
                        self._next_interval = self._beat_interval
                    if self._timer is None:
                        self._timer = loop.call_at(self._due(), self._tick)
                await waiter
            if self._error is not None:
                error, self._error = self._error, None
                try:
                    raise error
                finally:
                    del error
        finally:
            self._waiter = None
            await self.aclose()

    async def aclose(self) -> None:
        """Stop the source and wait until it is closed; after its grace it is abandoned, with a warning."""
        self._stopping = True
        self._buffer.clear()
        self._forget()
        if (task := self._task) is None:
            await close(self._source)
        elif not task.done() and not self._abandoned:
            self._cancel()
            await asyncio.wait({task}, timeout=self._grace)
            if not task.done():
                self._abandoned = True
                _logger.warning("a source ignored its cancellation for %g s and was abandoned", self._grace)
                task.cancel()

    def _start(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        self._quiet_since = self._loop.time()
        for token, stop in self._tokens.items():
            token.watch(stop)
        if not self._stopping:
            # Not create_task: an eager factory would run the source's first step inside this call.
            self._task = asyncio.Task(self._run(), loop=self._loop, context=contextvars.copy_context())
            _tasks.add(self._task)
            self._task.add_done_callback(_tasks.discard)
        return self._loop

    async def _run(self) -> None:
        buffer = self._buffer
        self._began = True
        try:
            if self._stopping:
                return
            async for item in self._source:
                if self._stopping:
                    break
                buffer.append(item)
                self._heard = True
                if (waiter := self._waiter) is not None:
                    self._waiter = None
                    if not waiter.done():
                        waiter.set_result(None)
                elif len(buffer) >= LOOK_AHEAD:
                    self._room = room = self._loop.create_future()
                    await room
        except BaseException as exc:  # SystemExit and KeyboardInterrupt in a task would stop the whole loop
            if not self._stopping:
                self._error = exc
            elif not isinstance(exc, asyncio.CancelledError):
                _logger.warning("a source raised while it was being stopped", exc_info=exc)
        finally:
            self._cleaning = True
            try:
                await close(self._source)
            finally:
                self._ended = True
                self._wake()

    def _interrupt(self, error: BaseException) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._error = error
        self._buffer.clear()
        self._cancel()
        self._wake()

    def _cancel(self) -> None:
        # Not before its first step: it would close nothing then. Not twice: that would cut the source's own cleanup.
        if self._task is not None and self._began and not self._cleaning:
            self._cleaning = True
            self._task.cancel()

    def _wake(self) -> None:
        if (waiter := self._waiter) is not None:
            self._waiter = None
            _resolve(waiter)

    def _forget(self) -> None:
        for token, stop in self._tokens.items():
            token.unwatch(stop)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rearm(self) -> None:
        self._timed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due(), self._tick)

    def _due(self) -> float:
        return min(self._waiting_since + self._next_interval, self._quiet_since + self._idle)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is None:
            return  # the reader is busy: its next wait arms the timer
        now = self._loop.time()
        if now >= self._quiet_since + self._idle:
            self._interrupt(IdleTimeoutError(self._idle))
        elif now >= self._waiting_since + self._next_interval and self._beat is not None:
            self._next_interval = self._beat_interval
            try:
                self._buffer.append(self._beat())
            except Exception as exc:  # noqa: BLE001 - the caller's function; the reader gets what it raised
                self._interrupt(exc)
            self._wake()
        else:
            self._timer = self._loop.call_at(self._due(), self._tick)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
