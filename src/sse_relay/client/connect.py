"""An event stream over HTTP that resumes by itself, until the server says that it has ended."""

from collections.abc import Mapping
from random import SystemRandom
from typing import Any

from sse_relay.client.place import After, ByCount, ByLastEventId, Place, Request
from sse_relay.client.reconnect import Backoff, Reconnection
from sse_relay.client.resuming import OnRetry, ResumingEvents
from sse_relay.client.starting_after import ByStartingAfter, Endpoint
from sse_relay.client.transport import Client
from sse_relay.combinators.source import require_dialect
from sse_relay.combinators.stage import positive
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect

__all__ = ["connect"]


def connect(
    url: str,
    *,
    method: str = "GET",
    json: Any = None,  # noqa: ANN401 - whatever the endpoint takes
    headers: Mapping[str, str] | None = None,
    client: Client | None = None,
    after: After = None,
    read_timeout: float = 45.0,
    max_event_bytes: int = 1 << 20,
    max_retries: int | None = None,
    fail_fast: bool = False,
    on_retry: OnRetry | None = None,
    dialect: Dialect | None = None,
    starting_after: Endpoint | None = None,
    backoff: Backoff | None = None,
) -> ResumingEvents:
    """
    Read an event stream to its end, over as many connections as that takes.

    A stream has ended when the *server* says so: by its dialect's terminal, or by 204. A connection that ends, breaks
    or falls silent is followed by another one, which asks for what follows the last id.

    **Order and delivery**: each event once, in order. After a reconnect, what was seen already is dropped.
    **Closing**: leaving the ``async with`` closes the connection at once. The stream goes on at the server.
    **Buffering**: one read of the socket, and one event of `max_event_bytes`.

    Args:
        url: Where the stream is; redirects are followed each time.
        method: A POST is repeated only once an id was seen, unless it carries an ``Idempotency-Key``, or the server
            cannot have taken it.
        json: The body.
        headers: More headers, such as ``Authorization``.
        client: An ``AsyncClient`` of httpx2 or httpx, which stays open; None: one of its own.
        after: Where to begin: the last id of an earlier stream, or an offset; None: at the first event.
        read_timeout: How long the server may send nothing, in seconds: longer than its heartbeat.
        max_event_bytes: The largest event.
        max_retries: How many connections in a row may bring nothing, after the first; None: any number.
        fail_fast: Whether the first connection must bring the stream: a server that is not there, or is busy, is an
            error at once. What breaks later is resumed all the same.
        on_retry: Called ahead of each pause, with what broke the connection, and how long the pause is, in seconds. It
            may raise, to give up: the reader gets that.
        dialect: Whose terminals end the stream; None: the native one. Of one without ids the server is taken to send
            the whole again.
        starting_after: ``openai`` or ``letta``, for endpoints that resume so, and not by ``Last-Event-ID``.
        backoff: The pauses between two connections; None: 3 s at first, 30 s at most.

    Raises:
        ValueError: An option is out of range, or `starting_after` came without a dialect that knows the end.
        TypeError: `dialect` is none.

    Reading raises:
        RunNotFoundError, RunExpiredError, CursorMismatchError, InvalidCursorError: The server said so.
        ResponseRefusedError: Any other answer that is no event stream.
        EventTooLargeError: An event is past the bound.
        ConnectionLostError: The connection broke, and may not be made again.

    Example:
        >>> async def show(url):
        ...     async with connect(url) as events:
        ...         async for event in events:
        ...             print(event.data)
        ...     print(events.outcome, events.last_id)
    """
    if dialect is not None:
        require_dialect(dialect)
    place: Place
    if starting_after is not None:
        if dialect is None or (after is not None and type(after) is not int):
            raise ValueError("starting_after needs a dialect that knows the end of the stream, and an int as after")
        place = ByStartingAfter(starting_after, after)
    elif dialect is not None and not dialect.has_ids:
        if after is not None:
            raise ValueError(f"a {dialect.name} stream has no ids to go on after")
        place = ByCount()
    else:
        place = ByLastEventId(after)
    return ResumingEvents(
        Request(url, method.upper(), dict(headers or {}), json),
        place,
        client=client,
        read_timeout=positive("read_timeout", read_timeout),
        max_event_bytes=max_event_bytes,
        dialect=dialect or Native(),
        reconnection=Reconnection(backoff or Backoff(), max_retries, SystemRandom().random, fail_fast=fail_fast),
        on_retry=on_retry,
    )
