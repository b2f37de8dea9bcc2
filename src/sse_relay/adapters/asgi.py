"""
The HTTP edge as a bare ASGI application: it plugs into any ASGI framework, and needs none.

Rules of this file:

- One task writes, a second one waits for ``http.disconnect``. `send` after a disconnect may be a silent no-op, raise
  OSError, or never return: so `receive` is watched, OSError is a disconnect, and every write has a deadline.
- Disconnect and deadline interrupt the writing task as `asyncio.timeout` would: by a cancellation that is taken back.
- However the response ends, the source is closed in a task of its own: a framework may cancel ours again and again.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Coroutine, Mapping
from math import inf
from typing import Any, Literal

from sse_relay.adapters.messages import Message, Receive, Scope, Send, body, http_status, problem, start, stream_headers
from sse_relay.combinators.keepalive import PING
from sse_relay.combinators.pump import Pump, attach
from sse_relay.combinators.stage import Stage, positive, require_source
from sse_relay.combinators.terminal import guard_terminal
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, TerminalPart
from sse_relay.outcome import ErrorCatalog
from sse_relay.wire.event import ServerSentEvent

__all__ = ["EventStreamResponse"]

_tasks: set["asyncio.Task[None]"] = set()
_logger = logging.getLogger("sse_relay")
_NATIVE = Native()
_MAX_WRITE = 64 * 1024


class EventStreamResponse:
    """
    Answer one request with an event stream that ends with exactly one terminal.

    The source is guarded by `guard_terminal`. Headers wait for its first item, at most `first_item_wait`: so
    ``(item, status)`` may set the status, and an exception before the first item is an HTTP error with a problem body
    (RFC 9457). After that an exception is the dialect's terminal. A heartbeat fills every silence.

    **Order and delivery**: events in order; those that are ready go out in one write.
    **Closing**: the source is closed once the stream has ended, in a task of its own, for at most its grace.
    **Cancellation**: the source is closed; the client gets no terminal.
    **Buffering**: at most 64 events ahead of the client, and one write.

    Args:
        source: Whatever `as_events` takes.
        dialect: What the client reads: headers, heartbeat, terminal. Events pass as they are: `render` them first.
        keepalive: The silence before a heartbeat, in seconds; None: no heartbeats.
        send_timeout: How long one write may take before the client is given up, in seconds; None: for ever.
        first_item_wait: How long the headers wait for the first item, in seconds.
        status_code: The status, unless the first item sets it.
        headers: More headers; they replace those of the same name.
        on_disconnect: ``close`` the source when the client goes away, or ``continue`` to read it to its end.
        errors: What clients learn of exceptions; None: the built-in entries.

    Raises:
        TypeError: `source` is not an async iterable, a duration or the status no number, or a header no text.
        ValueError: A duration is not positive, or the status, a header or `on_disconnect` is invalid.

    Example:
        >>> async def source():
        ...     yield "Hello"
        >>> async def app(scope, receive, send):
        ...     await EventStreamResponse(source())(scope, receive, send)
    """

    def __init__(
        self,
        source: AsyncIterable[object],
        *,
        dialect: Dialect = _NATIVE,
        keepalive: float | None = 15.0,
        send_timeout: float | None = 30.0,
        first_item_wait: float = 5.0,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        on_disconnect: Literal["close", "continue"] = "close",
        errors: ErrorCatalog | None = None,
    ) -> None:
        require_source(source)
        if on_disconnect not in {"close", "continue"}:
            raise ValueError(f'on_disconnect must be "close" or "continue", not {on_disconnect!r}')
        self.status_code: int = http_status(status_code)
        self._headers = stream_headers(dialect, headers or {})
        self._keepalive = None if keepalive is None else positive("keepalive", keepalive)
        self._send_timeout = None if send_timeout is None else positive("send_timeout", send_timeout)
        self._first_item_wait = positive("first_item_wait", first_item_wait)
        self._source: AsyncIterable[object] | None = source
        self._dialect = dialect
        self._errors = errors or ErrorCatalog()
        self._continue = on_disconnect == "continue"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; returns once the stream has ended and its source is closed."""
        if scope["type"] != "http":
            raise RuntimeError(f"an EventStreamResponse answers http requests, not {scope['type']}")
        if self._source is None:
            raise RuntimeError("an EventStreamResponse answers one request: make one, with its own source, for each")
        source, self._source = self._source, None
        client = _Client(send, self._send_timeout, patient=self._continue)
        answer = self._answer(source, receive, client, head=scope["method"] == "HEAD")
        if not self._continue:
            await answer
            return
        try:  # in a task of its own: the server may cancel the request's when the client is gone
            await _detached(answer)
        finally:
            client.leave()

    async def _answer(self, source: AsyncIterable[object], receive: Receive, client: "_Client", *, head: bool) -> None:
        stage, pump = attach(guard_terminal(source, dialect=self._dialect, errors=self._errors))
        pump.beat_every(self._keepalive or inf, lambda: PING, initial=self._first_item_wait)
        listener = asyncio.Task(_listen(receive, client))
        try:
            with client:
                if head:
                    await client.send(start(self.status_code, self._headers))
                    await client.send(body(b"", more=False))
                else:
                    await self._write(stage, pump, client)
        finally:
            listener.cancel()
            await _detached(stage.aclose())

    async def _write(self, stage: Stage[ServerSentEvent], pump: Pump, client: "_Client") -> None:
        started = False
        ready: list[bytes] = []
        size = 0
        async for event in stage:
            outcome = event.outcome
            ahead = isinstance(event, TerminalPart)
            if not started and not ahead:
                if outcome is not None and outcome.error is not None:
                    for message in problem(outcome.error, self._headers):
                        await client.send(message)
                    return
                started = True
                await client.send(start(event.status or self.status_code, self._headers))
            ready.append(self._dialect.heartbeat if event is PING else event.encode())
            size += len(ready[-1])
            if outcome is not None:
                break
            if not ahead and (size >= _MAX_WRITE or not pump.ready):
                await client.send(body(b"".join(ready)))
                ready.clear()
                size = 0
        await client.send(body(b"".join(ready), more=False))


class _ClientGoneError(Exception):
    """The client is gone, and the response does not go on without it."""


class _Client:
    """The other end of one response; as a context manager around the writing it ends that when the client goes."""

    def __init__(self, send: Send, timeout: float | None, *, patient: bool) -> None:
        self._send = send
        self._timeout = timeout
        self._patient = patient  # a client that leaves interrupts a write only, not the reading
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._sending = self._interrupted = self.gone = False

    async def send(self, message: Message) -> None:
        if not self.gone:
            if self._timeout is not None:
                self._since = self._loop.time()
                if self._timer is None:
                    self._timer = self._loop.call_at(self._since + self._timeout, self._check, self._timeout)
            self._sending = True
            try:
                await self._send(message)
            except OSError:
                self.gone = True
            except asyncio.CancelledError:
                if not self._take_back():
                    raise
            finally:
                self._sending = False
        if self.gone and not self._patient:
            raise _ClientGoneError

    def leave(self) -> None:
        """Take the client for gone: interrupt a write, and the reading unless the response is to go on without it."""
        if self.gone:
            return
        self.gone = True
        if self._task is not None and (self._sending or not self._patient):
            self._interrupted = True
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> bool:
        ours = self._take_back()
        self._task = None
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return isinstance(exc, _ClientGoneError) or (ours and isinstance(exc, asyncio.CancelledError))

    def _take_back(self) -> bool:
        """Take our own cancellation back; False: there was none, or somebody else asked too, and it goes on."""
        if not self._interrupted or self._task is None:
            return False
        self._interrupted = False
        return self._task.uncancel() <= self._cancelling

    def _check(self, timeout: float) -> None:
        self._timer = None
        if self._sending:
            if self._loop.time() >= self._since + timeout:
                self.leave()
            else:
                self._timer = self._loop.call_at(self._since + timeout, self._check, timeout)


async def _listen(receive: Receive, client: _Client) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass  # the rest of a request body that the application did not want
    except Exception:
        _logger.warning("the server's receive failed; the client is taken for gone", exc_info=True)
    finally:
        client.leave()


async def _detached(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work that goes on when we are cancelled, however often."""
    task = asyncio.Task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    await asyncio.shield(task)
