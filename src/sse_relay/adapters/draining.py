"""
A deploy that severs no stream: drain first, then let the server stop.

A server that is told to stop waits for its connections, and ends the lifespan only after them: streams that nobody
ends hold it up, or are cut. So a signal is taken here first; once the relay is drained, and its viewers are through,
it is raised again, for whoever would have had it.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, Self

from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.combinators.cancellation import CancelToken
from sse_relay.combinators.stage import positive
from sse_relay.runs.relay import Relay

__all__ = ["drained_app", "draining"]

_logger = logging.getLogger("sse_relay")
_FIRST_LOOK, _LOOK = 0.01, 1.0  # seconds
_taken: set[int] = set()  # our own sockets: where there are two of us, the last one has the wake-up
_App = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def draining(
    relay: Relay, *, grace: float = 10.0, signals: Iterable[int] = (), leaving: CancelToken | None = None
) -> AsyncGenerator[None]:
    """
    Keep a relay open while the block runs, and drain it before it ends: what a framework's lifespan needs.

    With `signals`, such as ``(signal.SIGTERM, signal.SIGINT)``, the relay is drained while the server still answers:
    new runs get 503, live ones the grace, the rest is sealed ``lost`` with the reason ``shutdown``, and viewers end.
    Then the signal is raised again for the handlers that were there before, which are the server's. A second signal
    does not wait. Outside the main thread no signal can be taken, and none is.

    What a server does by itself stays so. A client that does not read holds its connection: bound that there (uvicorn:
    ``timeout_graceful_shutdown``). hypercorn tells its worker processes nothing (``--workers 0`` has none).

    Args:
        relay: The relay; it is entered here.
        grace: How long live runs may go on, in seconds.
        signals: Which signals to take.
        leaving: Cancelled when the grace is over, for the streams that no relay runs: make them `cancellable` by it.

    Raises:
        ValueError: The grace is not positive.

    Example:
        >>> @asynccontextmanager
        ... async def lifespan(app):
        ...     async with draining(relay, signals=[signal.SIGTERM]):
        ...         yield
    """
    positive("grace", grace)
    leaving = leaving or CancelToken()
    async with relay:
        with _Departure(relay, grace, leaving, signals) as departure:
            yield
            if not departure.begun:
                await relay.drain(grace)


def drained_app(
    app: _App, relay: Relay, *, grace: float = 10.0, signals: Iterable[int] = (), leaving: CancelToken | None = None
) -> _App:
    """
    Give an ASGI application that has no lifespan one that keeps a relay open: `draining`, without a framework.

    Args:
        app: Answers everything but the lifespan.
        relay: The relay.
        grace: How long live runs may go on, in seconds.
        signals: Which signals to take.
        leaving: Cancelled when the grace is over.

    Raises:
        ValueError: The grace is not positive.
    """
    positive("grace", grace)
    signals = tuple(signals)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        stage = "startup"
        await receive()
        try:
            async with draining(relay, grace=grace, signals=signals, leaving=leaving):
                await send({"type": "lifespan.startup.complete"})
                await receive()
                stage = "shutdown"
        except Exception:
            _logger.exception("the relay's %s failed", stage)
            await send({"type": f"lifespan.{stage}.failed", "message": f"the relay's {stage} failed"})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    return answer


class _Departure:
    """Take signals, drain at the first one, and pass it on then; a second one is passed on at once."""

    def __init__(self, relay: Relay, grace: float, leaving: CancelToken, signals: Iterable[int]) -> None:
        self._relay = relay
        self._grace = grace
        self._leaving = leaving
        self._interception = _Interception(signals, self._begin)
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def begun(self) -> bool:
        """Whether a signal has come."""
        return self._task is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._interception.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._interception.end()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._leaving.cancel("shutdown")

    def _begin(self, number: int) -> None:
        if self._task is None:
            self._timer = self._loop.call_later(self._grace, self._leaving.cancel, "shutdown")
            self._task = asyncio.Task(self._leave(number))
        elif not self._task.done():
            self._pass_on(number)

    async def _leave(self, number: int) -> None:
        _logger.info("%s: draining, for %g seconds at most", signal.Signals(number).name, self._grace)
        try:
            await self._relay.drain(self._grace)
        except Exception:
            _logger.exception("the relay could not be drained")
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        self._interception.end()
        signal.raise_signal(number)


class _Interception:
    """
    Take signals before those who handle them now, and give them back.

    There are two ways to hear of a signal: a handler, and the bytes that the interpreter writes to its wake-up socket,
    which is how an event loop calls its own handlers. Both are taken.
    """

    def __init__(self, signals: Iterable[int], hear: Callable[[int], None]) -> None:
        self._signals = frozenset(signals)
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[int, Any] = {}
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._wake_up = -1
        self._again: asyncio.TimerHandle | None = None
        self._over = False

    def begin(self) -> None:
        """Take the signals; one that was set up outside Python cannot be given back, and is left alone."""
        found = {number: signal.getsignal(number) for number in self._signals}
        self._handlers = {number: handler for number, handler in found.items() if handler is not None}
        for number in self._handlers:
            signal.signal(number, self._handle)
        self._wake_up = signal.set_wakeup_fd(-1)
        if self._wake_up != -1:
            self._pair = ours, theirs = socket.socketpair()
            ours.setblocking(False)  # noqa: FBT003 - its name
            theirs.setblocking(False)  # noqa: FBT003 - its name
            self._loop.add_reader(ours, self._forward, ours)
            _taken.add(theirs.fileno())
            self._take(theirs.fileno(), _FIRST_LOOK)

    def end(self) -> None:
        """Give the signals back; whoever took one after us, and passes it on, is passed on to the one before us."""
        self._over = True
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)
        if self._pair is not None:
            ours, theirs = self._pair
            self._pair = None
            self._loop.remove_reader(ours)
            _taken.discard(theirs.fileno())
            if self._again is not None:
                self._again.cancel()
            if (current := signal.set_wakeup_fd(-1)) == theirs.fileno():
                current = self._wake_up
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)  # as event loops set it
            ours.close()
            theirs.close()

    def _take(self, theirs: int, look: float) -> None:
        """Take the wake-up, and look after it: uvloop takes it whenever it is run anew, asyncio for each handler."""
        current = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        if current in _taken:
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        elif current != -1:
            self._wake_up = current
        self._again = self._loop.call_later(look, self._take, theirs, min(2 * look, _LOOK))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._over:
            self._loop.call_soon_threadsafe(self._hear, number)
        elif callable(handler := self._handlers[number]):
            handler(number, frame)

    def _forward(self, ours: socket.socket) -> None:
        """Let the loop hear of the signals that are not ours."""
        if others := bytes(number for number in ours.recv(4096) if number not in self._handlers):
            os.write(self._wake_up, others)
