"""
The HTTP edge under FastAPI: what `sse_relay.adapters.starlette` has, dependencies, and what OpenAPI says of it.

::

    relay = Relay()
    app = FastAPI(lifespan=lifespan(relay), exception_handlers=problem_handlers())
    app.include_router(relay_router(relay, authorize=is_owner), prefix="/relay")


    @app.get("/chats/{run_id}", response_class=EventStreamResponse, responses=stream_responses())
    async def view(run_id: str, relay: CurrentRelay, after: LastEventId) -> EventStreamResponse:
        return EventStreamResponse(relay.subscribe(run_id, after))
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, TypeAlias, get_args

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.sse import ServerSentEvent as FastAPIEvent
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import Response

from sse_relay.adapters.access import Authorize
from sse_relay.adapters.asgi import RelayApp, relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.adapters.openapi import CURSOR, OFFSET, Problem, RunList, RunState, problem_responses, stream_responses
from sse_relay.adapters.requests import cursor_of
from sse_relay.adapters.starlette import AppResponse, EventStreamResponse, lifespan, problem_handlers, respond
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect
from sse_relay.outcome import Status
from sse_relay.runs.relay import Relay
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import encode_json, require_encodable
from sse_relay.wire.event import ServerSentEvent

__all__ = [
    "AppResponse",
    "CurrentRelay",
    "EventStreamResponse",
    "LastEventId",
    "Problem",
    "RunList",
    "RunState",
    "from_fastapi",
    "lifespan",
    "problem_handlers",
    "problem_responses",
    "relay_router",
    "respond",
    "stream_responses",
    "to_fastapi",
]

Documented: TypeAlias = Callable[..., Awaitable[None]]

_OTHERS = ["HEAD", "OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE"]


async def _current_relay(connection: HTTPConnection) -> Relay:
    if (relay := getattr(connection.state, "relay", None)) is None:
        raise RuntimeError("there is no relay in the application's state: FastAPI(lifespan=lifespan(relay)) has one")
    found: Relay = relay
    return found


async def _document_seen(
    last_event_id: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            description="The id of the last event that was seen; it wins.",
            json_schema_extra={"pattern": f"^({CURSOR})?$"},
        ),
    ] = "",
    after: Annotated[
        str,
        Query(
            description="The same in a URL, or how many events were seen.",
            json_schema_extra={"pattern": f"^({CURSOR}|{OFFSET})?$"},
        ),
    ] = "",
) -> None:
    """Have parameters in the document; nothing is read here."""


def _document_choice(name: str, choices: Iterable[str], description: str) -> Documented:
    """Have a parameter of the query in the document."""
    query = Query(alias=name, description=description, json_schema_extra={"enum": [*choices]})

    async def document(_: Annotated[str | None, query] = None) -> None:
        """Have it there."""

    return document


async def _document_run(run_id: str) -> None:
    """Have a parameter in the document."""


async def _document_key(key: str) -> None:
    """Have a parameter in the document."""


async def _last_event_id(request: Request, _: Annotated[None, Depends(_document_seen)]) -> Cursor | int | None:
    return cursor_of(request.scope)


CurrentRelay: TypeAlias = Annotated[Relay, Depends(_current_relay)]
"""The relay that `lifespan` opened."""

LastEventId: TypeAlias = Annotated[Cursor | int | None, Depends(_last_event_id)]
"""
What the client has seen, for `Relay.subscribe`: ``Last-Event-ID``, else ``?after=``; None: nothing.

What is no cursor raises `InvalidCursorError`: 400, by `problem_handlers`.
"""


def relay_router(
    relay: Relay,
    *,
    authorize: Authorize,
    dialects: Iterable[Dialect] = (Native(),),
    listing: bool = False,
    **options: Any,  # noqa: ANN401 - those of the application
) -> APIRouter:
    """
    Make the routes of a relay, with what the OpenAPI document says of them; each has the name of its action.

    Args:
        relay: The relay; `lifespan` opens and drains it.
        authorize: Says whether a request may be answered; there is no default.
        dialects: What clients may ask for by ``?dialect=``; the first one is the default.
        listing: Whether there is a listing of runs.
        **options: More of `sse_relay.adapters.asgi.relay_app`, such as `errors`, `max_viewers`, `keepalive`.

    Returns:
        The router: ``app.include_router(router, prefix="/relay")``.
    """
    dialects = tuple(dialects)
    app = relay_app(relay, authorize=authorize, dialects=dialects, listing=listing, **options)
    router = APIRouter()

    def add(action: str, path: str, method: str, *documented: Documented, **said: Any) -> None:  # noqa: ANN401
        endpoint = _below(app, path.replace(":any_text", ""))
        said["dependencies"] = [Depends(each) for each in documented]
        router.add_api_route(path, endpoint, methods=[method], name=action, **said)
        others = [other for other in _OTHERS if other != method]
        router.add_api_route(path, endpoint, methods=others, name=action, include_in_schema=False)

    spoken = _document_choice(
        "dialect", [each.name for each in dialects], "What the client reads; none: the first one."
    )
    stream: Any = {"response_class": EventStreamResponse, "responses": stream_responses() | problem_responses(429)}
    state: Any = {"response_model": RunState, "responses": problem_responses(404, 410, 503)}
    add("events", "/runs/{run_id}/events", "GET", _document_run, _document_seen, spoken, **stream)
    add("info", "/runs/{run_id}", "GET", _document_run, **state)
    add("cancel", "/runs/{run_id}/cancel", "POST", _document_run, **state)
    found: Any = {"response_model": RunState, "responses": problem_responses(404, 503)}
    add("active", "/keys/{key:any_text}/active", "GET", _document_key, **found)
    add("latest", "/keys/{key:any_text}/latest", "GET", _document_key, **found)
    if listing:
        status = _document_choice("status", ["running", *get_args(Status)], "Of which status; none: of any.")
        runs: Any = {"response_model": RunList, "responses": problem_responses(400, 404, 503)}
        add("list", "/runs", "GET", status, **runs)
    return router


def _below(app: RelayApp, path: str) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint that answers as an application does that is mounted above a path."""

    async def answer(request: Request) -> Response:
        root_path = request.scope["path"].removesuffix(path.format(**request.path_params))

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "root_path": root_path}, receive, send)

        return AppResponse(mounted)

    return answer


def from_fastapi(event: FastAPIEvent) -> ServerSentEvent:
    r"""
    Convert FastAPI's event into ours: its `data` becomes JSON, as FastAPI does it; its `raw_data` stays as it is.

    Raises:
        InvalidEventError: The data is not JSON, or `retry` is out of range.

    Example:
        >>> from_fastapi(FastAPIEvent(data={"text": "Hi"}, event="text")).encode()
        b'event: text\ndata: {"text":"Hi"}\n\n'
    """
    data = event.raw_data
    if data is None and event.data is not None:
        model = isinstance(event.data, BaseModel)
        data = event.data.model_dump_json() if model else encode_json(jsonable_encoder(event.data))
    return ServerSentEvent(data, event=event.event, id=event.id, retry=event.retry, comment=event.comment)


def to_fastapi(event: ServerSentEvent) -> FastAPIEvent:
    """
    Convert our event into FastAPI's, for what an endpoint with ``response_class=EventSourceResponse`` yields.

    Raises:
        InvalidEventError: The name or the id has a control character.

    Example:
        >>> to_fastapi(ServerSentEvent("Hi", event="text")).raw_data
        'Hi'
    """
    require_encodable(event)  # not every FastAPI looks
    return FastAPIEvent(raw_data=event.data, event=event.event, id=event.id, retry=event.retry, comment=event.comment)
