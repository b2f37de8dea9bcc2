"""One request's answer: a source, or a run that others may view, as an event stream."""

import asyncio
from collections.abc import AsyncIterable, Mapping
from math import inf
from random import uniform
from typing import Literal

from sse_relay.adapters.connection import Client, detached, listen
from sse_relay.adapters.messages import Receive, Scope, Send, body, http_status, problem, start, stream_headers
from sse_relay.adapters.viewing import TRIMMED, Viewer
from sse_relay.combinators.keepalive import PING
from sse_relay.combinators.pump import Pump, attach
from sse_relay.combinators.stage import Stage, positive, require_source
from sse_relay.combinators.terminal import guard_terminal
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, TerminalPart
from sse_relay.exceptions import SSERelayError
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.subscription import Subscription
from sse_relay.wire.event import ServerSentEvent

__all__ = ["EventStreamResponse"]

_NATIVE = Native()
_ERRORS = ErrorCatalog()
_MAX_WRITE = 64 * 1024
_LISTENER = "sse-relay listener"  # one name for all: each would have a text of its own


class EventStreamResponse:
    """
    Answer one request with an event stream that ends with exactly one terminal.

    **Of a source**, which is guarded by `guard_terminal`: headers wait for its first item, at most `first_item_wait`:
    so ``(item, status)`` may set the status, and an exception before the first item is an HTTP error with a problem
    body (RFC 9457). After that an exception is the dialect's terminal.

    **Of a subscription**, which the response enters and leaves: 200 and a heartbeat at once, then the run's records
    after its cursor, with their cursors as ids where the dialect has ids. The header ``x-run-id`` names the run. A
    reader that has seen the end gets 204, which stops an ``EventSource``; an unknown run is 404, an expired one 410,
    a cursor that the log cannot honour 409, a store that does not answer 503. A relay that drains ends the body; the
    client comes back, elsewhere, after a time of its own.

    A heartbeat fills every silence.

    **Order and delivery**: events in order; those that are ready go out in one write.
    **Closing**: the source is closed once the stream has ended, in a task of its own, for at most its grace; however
    often a framework cancels ours. A run goes on.
    **Cancellation**: the source is closed; the client gets no terminal.
    **Buffering**: of a source, at most 64 events ahead of the client, and one write; of a run, one page.

    Args:
        source: Whatever `as_events` takes, or what `Relay.subscribe` returns.
        dialect: What the client reads: headers, heartbeat, terminal. Events of a source pass as they are: `render`
            them first. Records of a run are rendered.
        keepalive: The silence before a heartbeat, in seconds; None: no heartbeats.
        send_timeout: How long one write may take before the client is given up, in seconds; None: for ever.
        first_item_wait: How long the headers wait for a source's first item, in seconds.
        status_code: The status, unless the first item sets it.
        headers: More headers; they replace those of the same name.
        on_disconnect: ``close`` the source when the client goes away, or ``continue`` to read it to its end.
        errors: What clients learn of exceptions; None: the built-in entries.
        end_status: What a reader gets who has seen the end of a run: 204, or 200 and the end again, for clients that
            retry after a 204.
        gap_status: What a reader gets whose next records were trimmed: 200 and a ``gap`` event, or 410.
        retry: After how many seconds a client comes back whose viewing ended before its run did. Each is told its own
            time, from half of that to one and a half: a fleet does not come back at once.

    Raises:
        TypeError: `source` is not an async iterable, a duration or the status no number, or a header no text.
        ValueError: A duration is not positive, or the status, a header or `on_disconnect` is invalid.

    Example:
        >>> async def source():
        ...     yield "Hello"
        >>> async def app(scope, receive, send):
        ...     await EventStreamResponse(source())(scope, receive, send)
    """

    __slots__ = (
        "_continue", "_dialect", "_end_status", "_errors", "_first_item_wait", "_gap_status", "_headers", "_keepalive",
        "_retry", "_send_timeout", "_source", "_why", "status_code",
    )  # fmt: skip

    def __init__(
        self,
        source: AsyncIterable[object] | Subscription,
        *,
        dialect: Dialect = _NATIVE,
        keepalive: float | None = 15.0,
        send_timeout: float | None = 30.0,
        first_item_wait: float = 5.0,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        on_disconnect: Literal["close", "continue"] = "close",
        errors: ErrorCatalog | None = None,
        end_status: Literal[204, 200] = 204,
        gap_status: Literal[200, 410] = 200,
        retry: float = 2.0,
    ) -> None:
        require_source(source)
        if on_disconnect not in {"close", "continue"}:
            raise ValueError(f'on_disconnect must be "close" or "continue", not {on_disconnect!r}')
        if end_status not in {200, 204} or gap_status not in {200, 410}:
            raise ValueError(f"end_status must be 204 or 200, gap_status 200 or 410; not {end_status} and {gap_status}")
        self.status_code: int = http_status(status_code)
        self._headers = stream_headers(dialect, headers or {})
        self._keepalive = None if keepalive is None else positive("keepalive", keepalive)
        self._send_timeout = None if send_timeout is None else positive("send_timeout", send_timeout)
        self._first_item_wait = positive("first_item_wait", first_item_wait)
        self._source: AsyncIterable[object] | None = source
        self._dialect = dialect
        self._errors = errors or _ERRORS
        self._continue = on_disconnect == "continue"
        self._end_status = end_status
        self._gap_status = gap_status
        self._retry = positive("retry", retry)
        self._why: ErrorInfo | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; returns once the stream has ended and its source is closed."""
        if scope["type"] != "http":
            raise RuntimeError(f"an EventStreamResponse answers http requests, not {scope['type']}")
        if self._source is None:
            raise RuntimeError("an EventStreamResponse answers one request: make one, with its own source, for each")
        source, self._source = self._source, None
        head = scope["method"] == "HEAD"
        if isinstance(source, Subscription):
            await self._show(source, receive, Client(send, self._send_timeout), head=head)
            return
        client = Client(send, self._send_timeout, patient=self._continue)
        answer = self._answer(source, receive, client, head=head)
        if not self._continue:
            await answer
            return
        try:  # in a task of its own: the server may cancel the request's when the client is gone
            await detached(answer)
        finally:
            client.leave()

    def explain(self, why: ErrorInfo) -> None:
        """Say why the viewing is going to end before its run: what a client learns whose dialect cannot resume."""
        self._why = why

    def _explanation(self) -> ErrorInfo | None:
        return self._why

    async def _answer(self, source: AsyncIterable[object], receive: Receive, client: Client, *, head: bool) -> None:
        stage, pump = attach(guard_terminal(source, dialect=self._dialect, errors=self._errors))
        pump.beat_every(self._keepalive or inf, lambda: PING, initial=self._first_item_wait)
        listener = asyncio.Task(listen(receive, client), name=_LISTENER)
        try:
            with client:
                if head:
                    await client.send(start(self.status_code, self._headers))
                    await client.send(body(b"", more=False))
                else:
                    await self._write(stage, pump, client)
        finally:
            listener.cancel()
            await detached(stage.aclose())

    async def _write(self, stage: Stage[ServerSentEvent], pump: Pump, client: Client) -> None:
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

    async def _show(self, events: Subscription, receive: Receive, client: Client, *, head: bool) -> None:
        listener = asyncio.Task(listen(receive, client), name=_LISTENER)
        try:
            with client:
                if await self._begin(events, client, head=head):
                    viewer = Viewer(
                        events, client, self._dialect, self._errors, keepalive=self._keepalive, why=self._explanation
                    )
                    await viewer.show()
                    await client.send(body(self._advice(events), more=False))
        finally:
            listener.cancel()
            await events.aclose()
            await asyncio.sleep(0)  # the listener's last step: no task outlives its response

    def _advice(self, events: Subscription) -> bytes:
        """
        Tell a client that is to come back when; nothing, if the run has ended.

        It is a lone line, for every ``EventSource`` takes it at once; a whole block would be an empty event to some.
        """
        if events.outcome is not None or not (self._dialect.has_ids and self._dialect.resume == "offset"):
            return b""
        return b"retry: %d\n" % (1000 * self._retry * uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def _begin(self, events: Subscription, client: Client, *, head: bool) -> bool:
        """Enter the subscription and send the head; tell whether a stream is to follow."""
        headers, error = self._headers, None
        try:
            await events.enter()
        except SSERelayError as refusal:
            error = self._errors.resolve(refusal)
        else:
            headers = {**headers, b"x-run-id": events.run_id.encode()}  # of a run that is there: no client chose it
            if events.starts_with_gap and self._gap_status == 410:
                error = TRIMMED
        if error is not None:
            for message in problem(error, headers, head=head):
                await client.send(message)
            return False
        seen = events.outcome is not None and self._end_status == 204
        if seen:
            headers = {name: value for name, value in headers.items() if name != b"content-type"}
        await client.send(start(204 if seen else self.status_code, headers))
        if seen or head:
            await client.send(body(b"", more=False))
        return not (seen or head)
