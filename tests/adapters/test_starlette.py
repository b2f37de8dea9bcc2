"""The HTTP edge under Starlette: on a real server, with its routing, its middleware and its lifespan."""

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sse_relay import DrainingError, ErrorCatalog, Relay, RunNotFoundError, watch_outcome
from sse_relay.adapters import asgi
from sse_relay.adapters.asgi import AccessRequest
from sse_relay.adapters.messages import Message, Receive, Scope, Send
from sse_relay.adapters.starlette import EventStreamResponse, lifespan, problem_handlers, respond, routes
from sse_relay.dialects import Native
from tests.adapters.frameworks import ask, in_real_time, opened, until
from tests.adapters.relays import BEAT
from tests.adapters.servers import TwoParts
from tests.adapters.sources import play, silence

WORDS = ["one ", "two ", "three ", "four "]


def application(relay: Relay, *more: Route, **options: Any) -> Starlette:
    """Make an application that answers at ``/chats/{chat}``, and has the routes of its relay under ``/relay``."""

    async def chat(request: Request) -> Response:
        return await respond(relay, play(*WORDS), scope=request.scope, key=request.path_params["chat"])

    return Starlette(
        routes=[
            Mount("/relay", routes=routes(relay, authorize=lambda _: True), name="relay"),
            Route("/chats/{chat}", chat),
            *more,
        ],
        lifespan=lifespan(relay, grace=0.2),
        exception_handlers=problem_handlers(),
        **options,
    )


def answering(make: Any, path: str = "/") -> Route:
    """Make a route whose endpoint answers with what is made."""

    async def endpoint(request: Request) -> Response:
        del request
        response: Response = make()
        return response

    return Route(path, endpoint)


# Streams


@in_real_time
async def test_a_run_is_read_whole_and_from_every_offset() -> None:
    """I3, F: what a client gets that comes back with any of the ids is exactly what it has not seen."""
    relay = Relay()
    async with opened(application(relay)) as server:
        whole = await ask(server, "/chats/7")
        assert whole.status == 200
        assert whole.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert whole.names == [*WORDS, "end"]
        run = whole.headers["x-run-id"]
        for path in ("/chats/7", f"/relay/runs/{run}/events"):
            for seen, event in enumerate(whole.events[:-1], 1):
                assert event.id is not None
                rest = await ask(server, path, last_event_id=event.id)
                assert rest.headers["x-run-id"] == run
                assert rest.events == whole.events[seen:]
            assert (await ask(server, path, last_event_id=whole.events[-1].id or "")).status == 204
        assert (await ask(server, f"/relay/runs/{run}/events")).body == whole.body


@pytest.mark.parametrize("mode", ["close", "continue"])
@in_real_time
async def test_a_client_leaves(mode: Any) -> None:
    """L7, F: the source is closed when its client leaves, or read to its end; then the background task runs."""
    release, happened = silence(), list[str]()

    def make() -> Response:
        source = watch_outcome(play("a", release), lambda outcome: happened.append(outcome.status))
        background = BackgroundTask(happened.append, "background")
        return EventStreamResponse(source, background=background, on_disconnect=mode)

    app, gone = application(Relay(), answering(make)), asyncio.Event()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_tell() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        await app(scope, receive_and_tell, send)

    async with opened(watched) as server:
        async with server.connect() as client:
            await client.get()
            assert await client.chunk() == b"data: a\n\n"
        await gone.wait()
        release.set()
        await until(lambda: "background" in happened)
        assert happened == ["cancelled" if mode == "close" else "completed", "background"]


@in_real_time
async def test_a_run_goes_on_without_its_client() -> None:
    """F: a viewer of a run leaves, and the run does not notice; who comes next gets all of it."""
    relay, release = Relay(), silence()

    async def chat(request: Request) -> Response:
        return await respond(relay, play("a", release, "b"), scope=request.scope, key="chat")

    async with opened(application(relay, Route("/", chat))) as server:
        async with server.connect() as client:
            await client.get()
            body = b""
            while b"data: a\n\n" not in body:
                body += await client.chunk()
        await until(lambda: not relay._tail._windows)
        run = await relay.active("chat")
        assert run is not None
        release.set()
        assert (await ask(server, f"/relay/runs/{run.id}/events")).names == ["a", "b", "end"]


@in_real_time
async def test_the_first_item_says_the_status() -> None:
    """F, I13: the first item may set the status, an exception before it is an HTTP error that hides what it says."""
    failing = answering(lambda: EventStreamResponse(play(ValueError("hunter2"))), "/error")
    teapot = answering(lambda: EventStreamResponse(play(("a", 418)), status_code=201), "/status")
    created = answering(lambda: EventStreamResponse(play("a"), 201), "/created")
    async with opened(application(Relay(), failing, teapot, created)) as server:
        error = await ask(server, "/error")
        assert error.status == 500
        assert error.headers["content-type"] == "application/problem+json"
        assert json.loads(error.body)["code"] == "internal_error"
        assert b"hunter2" not in error.body
        assert (await ask(server, "/status")).status == 418
        assert (await ask(server, "/created")).status == 201


@in_real_time
async def test_headers_may_be_set_later() -> None:
    """F: headers, cookies and a status that are set on the response are sent, once; problems keep their type."""

    def make(source: AsyncGenerator[object, None]) -> Response:
        response = EventStreamResponse(source, headers={"x-one": "1", "content-type": "text/event-stream"})
        assert response.headers["cache-control"] == "no-store"
        response.headers["x-one"] = "2"
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        response.status_code = 202
        return response

    stream = answering(lambda: make(play("a")), "/stream")
    failing = answering(lambda: make(play(ValueError())), "/error")
    async with opened(application(Relay(), stream, failing)) as server, server.connect() as client:
        head = await client.get("/stream")
        assert head.startswith(b"HTTP/1.1 202 ")
        assert head.count(b"\r\nx-one: 2\r\n") == head.count(b"\r\nx-one: ") == 1
        assert head.count(b"\r\nset-cookie: ") == 2
        assert head.count(b"\r\ncontent-type: text/event-stream\r\n") == head.count(b"content-type") == 1
        await client.rest()
        error = await ask(server, "/error")
        assert error.headers["content-type"] == "application/problem+json"
        assert error.headers["x-one"] == "2"


def test_the_arguments_are_those_of_the_asgi_response() -> None:
    """F: whatever the bare response takes, this one takes as well, with the same default, and a background task."""

    def arguments(response: type) -> dict[str, tuple[Any, Any]]:
        parameters = inspect.signature(response).parameters.values()
        return {
            each.name: (each.annotation, Native if isinstance(each.default, Native) else each.default)
            for each in parameters
        }

    theirs, ours = arguments(asgi.EventStreamResponse), arguments(EventStreamResponse)
    assert ours.pop("content") == theirs.pop("source")
    assert ours.pop("background") == (BackgroundTask | None, None)
    assert ours == theirs


def test_every_argument_is_handed_on() -> None:
    """F: each argument reaches the bare response."""
    source = play("a")
    options: dict[str, Any] = {
        "status_code": 201, "headers": {"x-one": "1"}, "dialect": TwoParts(), "keepalive": 1.0, "send_timeout": 2.0,
        "first_item_wait": 3.0, "on_disconnect": "continue", "errors": ErrorCatalog(), "end_status": 200,
        "gap_status": 410, "retry": 4.0,
    }  # fmt: skip
    assert options.keys() | {"source"} == inspect.signature(asgi.EventStreamResponse).parameters.keys()
    theirs, ours = asgi.EventStreamResponse(source, **options), EventStreamResponse(source, **options)
    for name in asgi.EventStreamResponse.__slots__:
        assert getattr(ours._stream, name) == getattr(theirs, name)


def test_what_is_wrong_is_refused_at_once() -> None:
    """F: an argument that is wrong is refused where the response is made, and not when it is sent."""
    with pytest.raises(TypeError):
        EventStreamResponse([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="header"):
        EventStreamResponse(play(), headers={"x": "a\r\nb: c"})


# Routing


@in_real_time
async def test_methods() -> None:
    """F: HEAD has the headers of GET and starts nothing; what a route does not take is 405, and tells what it takes."""
    relay = Relay()
    async with opened(application(relay)) as server:
        head = await ask(server, "/chats/7", method="HEAD")
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert [run async for run in relay.runs()] == []
        run = (await ask(server, "/chats/7")).headers["x-run-id"]
        assert (await ask(server, f"/relay/runs/{run}/events", method="HEAD")).headers["x-run-id"] == run
        for path, method, status, allowed in (
            (f"/relay/runs/{run}/events", "OPTIONS", 204, "GET, HEAD, OPTIONS"),
            (f"/relay/runs/{run}/cancel", "OPTIONS", 204, "POST, OPTIONS"),
            (f"/relay/runs/{run}", "DELETE", 405, "GET, HEAD, OPTIONS"),
            (f"/relay/runs/{run}/cancel", "GET", 405, "POST, OPTIONS"),
        ):
            answer = await ask(server, path, method=method)
            assert (answer.status, answer.headers["allow"]) == (status, allowed)


def test_the_listing_has_a_route_by_option() -> None:
    """F: where there is a listing there is a route to it; else its path is left to the application."""
    for listing in (False, True):
        names = [route.name for route in routes(Relay(), authorize=lambda _: True, listing=listing)]
        assert ("list" in names) is listing


@pytest.mark.parametrize("root_path", ["", "/api"])
@in_real_time
async def test_routes_are_found_where_they_are_mounted(root_path: str) -> None:
    """F, I12: each route answers under any mount and root path; a slash too many leads to the path without it."""
    relay = Relay()

    async def links(request: Request) -> Response:
        run = await relay.latest("a/b")
        assert run is not None
        names = [request.url_for(f"relay:{name}", run_id=run.id) for name in ("events", "info", "cancel")]
        found = [request.url_for(f"relay:{name}", key="a/b") for name in ("active", "latest")]
        return Response("\n".join(url.path for url in [*names, *found]))

    async with opened(application(relay, Route("/links", links)), root_path=root_path) as server:
        await relay.start(play("a", silence()), key="a/b")
        events, info, cancel, active, latest = (await ask(server, "/links")).body.decode().split()
        assert latest == f"{root_path}/relay/keys/a/b/latest"
        below = len(root_path)  # the server puts it in front of what clients ask for
        for path in (info, active, latest):
            assert json.loads((await ask(server, path[below:])).body)["status"] == "running"
        slash = await ask(server, f"{info[below:]}/")
        assert slash.status == 307
        assert slash.headers["location"].endswith(info)
        assert json.loads((await ask(server, cancel[below:], method="POST")).body)["status"] == "cancelled"
        assert (await ask(server, events[below:])).names == ["a", "end"]
        assert (await ask(server, active[below:])).status == 404


@in_real_time
async def test_our_errors_have_their_statuses() -> None:
    """F: an error of ours that an endpoint raises is answered with its status, as a problem."""

    def refuse(error: Exception) -> Any:
        def make() -> Response:
            raise error

        return make

    missing = answering(refuse(RunNotFoundError("7")), "/missing")
    draining = answering(refuse(DrainingError()), "/draining")
    async with opened(application(Relay(), missing, draining)) as server:
        answer = await ask(server, "/missing")
        assert (answer.status, json.loads(answer.body)["code"]) == (404, "run_not_found")
        assert answer.headers["content-type"] == "application/problem+json"
        answer = await ask(server, "/draining")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


# Around it


@in_real_time
async def test_middleware_lets_streams_through() -> None:
    """F, L7: behind GZip, CORS and a function, events come as they are said, and a client that leaves is noticed."""
    said, closed = silence(), list[str]()

    def make() -> Response:
        source = watch_outcome(play("a", said, "b", silence()), lambda outcome: closed.append(outcome.status))
        return EventStreamResponse(source)

    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    middleware = [
        Middleware(CORSMiddleware, allow_origins=["http://page"]),
        Middleware(GZipMiddleware),
        Middleware(BaseHTTPMiddleware, dispatch=dispatch),
    ]
    app = Starlette(routes=[answering(make)], middleware=middleware, lifespan=lifespan(Relay()))
    async with opened(app) as server:
        async with server.connect() as client:
            client.writer.write(b"GET / HTTP/1.1\r\nhost: test\r\norigin: http://page\r\naccept-encoding: gzip\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert b"\r\naccess-control-allow-origin: http://page\r\n" in head
            assert await client.chunk() == b"data: a\n\n"
            said.set()
            assert await client.chunk() == b"data: b\n\n"
        await until(lambda: closed)
        assert closed == ["cancelled"]


@pytest.mark.parametrize("allowed", [True, False])
@in_real_time
async def test_other_origins_are_the_frameworks_to_allow(allowed: bool) -> None:
    """I12: whom CORS lets in is said by middleware alone; it answers a preflight though `authorize` allows nobody."""
    relay, wanted = Relay(), list[str]()

    def authorize(access: AccessRequest) -> bool:
        wanted.append(access.action)
        return False

    cors = Middleware(CORSMiddleware, allow_origins=["http://page"], allow_headers=["Last-Event-ID"])
    app = Starlette(
        routes=routes(relay, authorize=authorize, listing=True),
        middleware=[cors] if allowed else [],
        lifespan=lifespan(relay),
    )
    async with opened(app) as server:
        asking = {"origin": "http://page", "access_control_request_method": "GET"}
        for path in ("/runs/7/events", "/runs/7", "/runs/7/cancel", "/keys/7/latest", "/runs"):
            asked = {**asking, "access_control_request_headers": "last-event-id"}
            preflight = await ask(server, path, method="OPTIONS", **asked)
            assert preflight.headers.get("access-control-allow-origin") == ("http://page" if allowed else None)
            assert preflight.status == (200 if allowed else 204)
            assert wanted == []
        answer = await ask(server, "/runs/7/events", origin="http://page")
        assert (answer.status, wanted) == (404, ["events"])
        assert answer.headers.get("access-control-allow-origin") == ("http://page" if allowed else None)
        assert not allowed or answer.headers["vary"] == "Origin"


@in_real_time
async def test_the_lifespan_opens_and_drains() -> None:
    """L8, F: requests find the relay in the state; at the end a run has the grace, and what is left is sealed."""
    relay, seen = Relay(), list[Relay]()

    async def endpoint(request: Request) -> Response:
        seen.append(request.state.relay)
        return Response()

    async def last_words() -> AsyncGenerator[str, None]:
        await until(lambda: relay._supervisor.draining)
        await asyncio.sleep(0.1)
        yield "a"

    app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan(relay, grace=1))
    async with opened(app) as server:
        assert (await ask(server, "/")).status == 200
        assert seen == [relay]
        short = await relay.start(last_words())
        endless = await relay.start(play("a", silence()))
    assert (await relay._store.info(short.id)).status == "completed"
    left = await relay._store.info(endless.id)
    assert left.outcome is not None
    assert (left.status, left.outcome.reason) == ("lost", "shutdown")


def test_the_test_client() -> None:
    """F: Starlette's own test client reads a stream, with the lifespan and without a server."""
    with TestClient(application(Relay())) as client:
        answer = client.get("/chats/7")
        assert answer.status_code == 200
        assert answer.content.startswith(BEAT)
        assert client.get("/chats/7", headers={"last-event-id": "nonsense"}).json()["code"] == "invalid_cursor"


def test_nothing_else_needs_a_framework() -> None:
    """F: the library and its ASGI adapter are imported where neither Starlette nor FastAPI is installed."""
    program = "import sys; sys.modules.update(starlette=None, fastapi=None); import sse_relay, sse_relay.adapters.asgi"
    subprocess.run([sys.executable, "-c", program], check=True)


@in_real_time
async def test_a_stream_is_cancelled_with_its_request() -> None:
    """I9: where the request's task is cancelled the source is closed, and no background task runs."""
    happened = list[str]()
    source = watch_outcome(play("a", silence()), lambda outcome: happened.append(outcome.status))
    response = EventStreamResponse(source, background=BackgroundTask(happened.append, "background"))
    sent = asyncio.Event()

    async def send(message: Any) -> None:
        if message.get("body"):
            sent.set()

    scope: Any = {"type": "http", "method": "GET", "headers": []}
    task = asyncio.create_task(response(scope, silence().wait, send))  # type: ignore[arg-type]
    await sent.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: happened)
    assert happened == ["cancelled"]
