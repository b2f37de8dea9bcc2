"""Start a run or join one, and answer with its stream: the whole edge in one call."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

from sse_relay.adapters.messages import Receive, Scope, Send, problem
from sse_relay.adapters.requests import cursor_of, header_of
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import RunNotFoundError, SSERelayError
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.relay import Relay
from sse_relay.runs.source import Source, discard
from sse_relay.stores.protocol import OnConflict

__all__ = ["ProblemResponse", "respond"]

_NATIVE = Native()


class ProblemResponse:
    """
    Answer one request with an HTTP error and a problem body (RFC 9457).

    Args:
        error: What the client learns; its status is the response's.
        headers: More headers.
    """

    def __init__(self, error: ErrorInfo, headers: Mapping[bytes, bytes] | None = None) -> None:
        self.status_code: int = error.status
        self._error = error
        self._headers = {b"cache-control": b"no-store", **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        del receive
        for message in problem(self._error, self._headers, head=scope["method"] == "HEAD"):
            await send(message)


async def respond(
    relay: Relay,
    source: Source,
    *,
    scope: Scope,
    key: str | None = None,
    on_conflict: OnConflict = "join",
    dialect: Dialect = _NATIVE,
    source_dialect: Dialect = _NATIVE,
    run_id: str | None = None,
    idempotency_key: str | None = None,
    metadata: Mapping[str, object] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - of the run, not of this call
    idle_timeout: float | None = None,
    errors: ErrorCatalog | None = None,
    **options: Any,  # noqa: ANN401 - the response's own
) -> EventStreamResponse | ProblemResponse:
    """
    Start a run, or join the one that is there, and answer with its stream.

    A request that bears a cursor (``Last-Event-ID``, or ``?after=``) comes back to a stream that it has seen: it gets
    the latest run of `key`, or the run of `run_id`, and never starts one, so that a page that reconnects does not
    generate again; without a key there is none to come back to (404). Nor does a HEAD start one. A conflict, an unknown
    run, a relay that drains are answered with their HTTP errors.

    A client's ``Idempotency-Key`` counts within `key`, or within ``metadata["scope"]``, and not at all without either:
    two clients that chose the same one would see each other's run.

    **Closing**: the source belongs to the relay from the call on; where no run is made of it, it is closed unstarted.

    Args:
        relay: Where runs are.
        source: What `Relay.start` takes.
        scope: The request's.
        key: What may have one active run; None: nothing, and each request without a cursor starts one.
        on_conflict: What to do if the key has one: ``join`` it, ``reject`` the request (409), or ``replace`` it.
        dialect: What the client reads.
        source_dialect: What the source speaks.
        run_id: The run's id, if it is not to be a random one.
        idempotency_key: What `Relay.start` takes; None: the request's ``Idempotency-Key``, within a scope.
        metadata: Kept with the run.
        timeout: The longest that the run may take, in seconds.
        idle_timeout: The longest silence of the source, in seconds.
        errors: What the client learns of exceptions; None: the built-in entries.
        **options: More of `EventStreamResponse`, such as `keepalive`, `send_timeout`, `headers`.

    Returns:
        The response, an ASGI application: call it with the request.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range.
    """
    errors = errors or ErrorCatalog()

    def answer(events: AsyncIterable[object]) -> EventStreamResponse:
        return EventStreamResponse(events, dialect=dialect, errors=errors, **options)

    started = False
    try:
        answer(relay.subscribe(""))  # options that are wrong are refused before anything is started
        after = cursor_of(scope)
        if after:
            run_id = run_id or await _latest(relay, key)
        elif scope["method"] == "HEAD":
            return answer(_nothing())
        else:
            if idempotency_key is None and (key is not None or "scope" in (metadata or ())):
                idempotency_key = header_of(scope, b"idempotency-key")
            started = True
            run = await relay.start(
                source, dialect=source_dialect, key=key, on_conflict=on_conflict, run_id=run_id, metadata=metadata,
                idempotency_key=idempotency_key, timeout=timeout, idle_timeout=idle_timeout,
            )  # fmt: skip
            run_id = run.id
        return answer(relay.subscribe(run_id, after))
    except SSERelayError as error:
        return ProblemResponse(errors.resolve(error))
    finally:
        if not started:
            await discard(source)


async def _latest(relay: Relay, key: str | None) -> str:
    if key is None or (run := await relay.latest(key)) is None:
        raise RunNotFoundError(key or "")
    return run.id


async def _nothing() -> AsyncIterator[object]:
    """Stand in for the stream that a HEAD does not read."""
    return
    yield
