"""
The HTTP edge under Starlette: what `sse_relay.adapters.asgi` has, as responses, routes and a lifespan.

::

    relay = Relay()
    app = Starlette(
        routes=[Mount("/relay", routes=routes(relay, authorize=is_owner), name="relay"), Route("/chats/{chat}", chat)],
        lifespan=lifespan(relay),
        exception_handlers=problem_handlers(),
    )
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

from starlette.background import BackgroundTask
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_relay.adapters import asgi
from sse_relay.adapters.access import Authorize
from sse_relay.adapters.messages import Message, Receive, Scope, Send, stream_headers
from sse_relay.combinators.cancellation import CancelToken
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import SSERelayError
from sse_relay.outcome import ErrorCatalog
from sse_relay.runs.relay import Relay
from sse_relay.runs.source import Source
from sse_relay.runs.subscription import Subscription

__all__ = ["AppResponse", "EventStreamResponse", "lifespan", "problem_handlers", "respond", "routes"]


class _AnyText(Convertor[str]):
    """What a key may be: Starlette's own ``path`` ends at a line feed."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any_text", _AnyText())

_NATIVE = Native()
Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


class AppResponse(Response):
    """
    A response that an ASGI application gives.

    Headers and cookies that are set on it replace the application's. The background task runs once the application has
    returned, also when the client has left meanwhile.

    Args:
        app: What answers the request.
        status_code: What middleware may see before the request is answered.
        headers: The application's own, as far as they are known.
        background: What is to be done after the response.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        *,
        status_code: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = (),
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = background
        self.raw_headers: list[tuple[bytes, bytes]] = list(headers)
        self._known = frozenset(self.raw_headers)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, then run the background task."""
        await self._app(scope, receive, self._with_headers(send))
        if self.background is not None:
            await self.background()

    def _with_headers(self, send: Send) -> Send:
        ours = [pair for pair in self.raw_headers if pair not in self._known]
        if not ours:
            return send
        names = {name for name, _ in ours}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [pair for pair in message["headers"] if pair[0] not in names] + ours
            await send(message)

        return send_with_headers


class EventStreamResponse(AppResponse):
    """
    `sse_relay.adapters.asgi.EventStreamResponse`, to be returned by an endpoint: there is what it does.

    Args:
        content: The source, or what `Relay.subscribe` returns. It has the name that FastAPI gives to what an endpoint
            yields: ``response_class=EventStreamResponse`` makes a stream of that.
        background: What is to be done after the stream, however it ended.

    The others are as there: `status_code`, `headers`, `dialect`, `keepalive`, `send_timeout`, `first_item_wait`,
    `on_disconnect`, `errors`, `end_status`, `gap_status`, `retry`.

    Raises:
        TypeError, ValueError: An argument is of the wrong type, or out of range.

    Example:
        >>> async def source():
        ...     yield "Hello"
        >>> async def endpoint(request):
        ...     return EventStreamResponse(source())
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        content: AsyncIterable[object] | Subscription,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        *,
        dialect: Dialect = _NATIVE,
        keepalive: float | None = 15.0,
        send_timeout: float | None = 30.0,
        first_item_wait: float = 5.0,
        on_disconnect: Literal["close", "continue"] = "close",
        errors: ErrorCatalog | None = None,
        end_status: Literal[204, 200] = 204,
        gap_status: Literal[200, 410] = 200,
        retry: float = 2.0,
    ) -> None:
        self._stream = asgi.EventStreamResponse(
            content, dialect=dialect, keepalive=keepalive, send_timeout=send_timeout, first_item_wait=first_item_wait,
            status_code=status_code, headers=headers, on_disconnect=on_disconnect, errors=errors,
            end_status=end_status, gap_status=gap_status, retry=retry,
        )  # fmt: skip
        known = stream_headers(dialect, headers or {}).items()
        super().__init__(self._stream, status_code=status_code, headers=known, background=background)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; the status may have been set until now."""
        self._stream.status_code = self.status_code
        await super().__call__(scope, receive, send)


async def respond(
    relay: Relay,
    source: Source,
    *,
    scope: Scope,
    background: BackgroundTask | None = None,
    **options: Any,  # noqa: ANN401 - those of the other one
) -> AppResponse:
    """
    Start a run, or join the one that is there, and answer with its stream: `sse_relay.adapters.asgi.respond`.

    Args:
        relay: Where runs are.
        source: What `Relay.start` takes; it belongs to the relay from the call on.
        scope: The request's: ``request.scope``.
        background: What is to be done after the response; the run may go on then.
        **options: As there, such as `key`, `on_conflict`, `dialect`, `metadata`.

    Returns:
        The response, to be returned by an endpoint.
    """
    app = await asgi.respond(relay, source, scope=scope, **options)
    return AppResponse(app, status_code=app.status_code, background=background)


def routes(
    relay: Relay,
    *,
    authorize: Authorize,
    **options: Any,  # noqa: ANN401 - those of the application
) -> list[Route]:
    """
    Make the routes of a relay, each with the name of its action, for ``url_for``.

    Args:
        relay: The relay; `lifespan` opens and drains it.
        authorize: Says whether a request may be answered; there is no default.
        **options: More of `sse_relay.adapters.asgi.relay_app`, such as `dialects`, `errors`, `keepalive`.

    Example:
        >>> for route in routes(Relay(), authorize=lambda request: request.key == "lobby"):
        ...     print(route.name, route.path)
        events /runs/{run_id}/events
        info /runs/{run_id}
        cancel /runs/{run_id}/cancel
        active /keys/{key:any_text}/active
        latest /keys/{key:any_text}/latest
    """
    app = asgi.relay_app(relay, authorize=authorize, **options)
    paths = {
        "events": "/runs/{run_id}/events",
        "info": "/runs/{run_id}",
        "cancel": "/runs/{run_id}/cancel",
        "active": "/keys/{key:any_text}/active",
        "latest": "/keys/{key:any_text}/latest",
        **({"list": "/runs"} if options.get("listing") else {}),
    }
    return [Route(path, app, name=name) for name, path in paths.items()]


def lifespan(
    relay: Relay, *, grace: float = 10.0, signals: Iterable[int] = (), leaving: CancelToken | None = None
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Relay]]]:
    """
    Make a lifespan that keeps a relay open, shows it to requests as ``request.state.relay``, and drains it at the end.

    Args:
        relay: The relay.
        grace: How long live runs may go on, in seconds.
        signals: Upon which signals to drain while the server still answers: `sse_relay.adapters.asgi.draining`.
        leaving: Cancelled when the grace is over, for the streams that no relay runs.

    Example:
        >>> async def main():
        ...     async with lifespan(Relay())(None) as state:
        ...         print(list(state))
        >>> asyncio.run(main())
        ['relay']
    """
    signals = tuple(signals)

    @asynccontextmanager
    async def opened(app: object) -> AsyncGenerator[Mapping[str, Relay]]:
        del app
        async with asgi.draining(relay, grace=grace, signals=signals, leaving=leaving):
            yield {"relay": relay}

    return opened


def problem_handlers(errors: ErrorCatalog | None = None) -> dict[int | type[Exception], Handler]:
    """
    Make the ``exception_handlers`` of an application: our errors become HTTP errors with a problem body (RFC 9457).

    Args:
        errors: What clients learn of exceptions; None: the built-in entries.
    """
    catalog = errors or ErrorCatalog()

    async def answer(request: Request, error: Exception) -> Response:
        del request
        response = asgi.ProblemResponse(catalog.resolve(error))
        return AppResponse(response, status_code=response.status_code)

    return {SSERelayError: answer}
