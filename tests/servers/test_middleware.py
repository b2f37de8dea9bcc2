"""What frameworks put in front of a stream: it still streams, it still closes, and it says what it would have said."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Mount, Route

from sse_relay import MemoryStore, Relay, watch_outcome
from sse_relay.adapters import asgi, fastapi, starlette
from sse_relay.adapters.asgi import drained_app, relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from tests.adapters.frameworks import ask, in_real_time, opened, until
from tests.adapters.relays import BEAT, open_to_all
from tests.adapters.servers import App, Connection, Uvicorn
from tests.adapters.sources import play, silence
from tests.servers.clients import cut, events_of, leave

PAGE = "http://page"
SEND_TIMEOUT = 0.3
Make = Callable[[], Any]
"""Makes the source of a stream that no relay runs."""


def nothing() -> Any:
    """Make a source that no test reads."""
    return play()


def on_nothing(relay: Relay, make: Make = nothing) -> App:
    """Serve a relay under ``/relay``, and sources, with no framework."""
    runs = relay_app(relay, authorize=lambda _: True, send_timeout=SEND_TIMEOUT)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/source":
            await asgi.EventStreamResponse(make())(scope, receive, send)
        else:
            await runs({**scope, "root_path": "/relay"}, receive, send)

    return drained_app(answer, relay, grace=0.2)


def on_starlette(relay: Relay, make: Make = nothing) -> App:
    """Serve them by Starlette."""

    async def source(request: Any) -> Response:
        del request
        return starlette.EventStreamResponse(make())

    runs = starlette.routes(relay, authorize=lambda _: True, send_timeout=SEND_TIMEOUT)
    return Starlette(
        routes=[Mount("/relay", routes=runs), Route("/source", source)],
        lifespan=starlette.lifespan(relay, grace=0.2),
    )


def on_fastapi(relay: Relay, make: Make = nothing) -> App:
    """Serve them by FastAPI."""
    app = FastAPI(lifespan=fastapi.lifespan(relay, grace=0.2))
    app.include_router(
        fastapi.relay_router(relay, authorize=lambda _: True, send_timeout=SEND_TIMEOUT), prefix="/relay"
    )

    @app.get("/source", response_class=fastapi.EventStreamResponse)
    async def source() -> fastapi.EventStreamResponse:
        return fastapi.EventStreamResponse(make())

    return app


def by_function(app: App) -> App:
    """Put a function in front, as ``@app.middleware("http")`` does."""

    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-seen"] = "yes"
        return response

    return BaseHTTPMiddleware(app, dispatch=dispatch)


def by_two_functions(app: App) -> App:
    """Put two of them in front."""
    return by_function(by_function(app))


def by_cors(app: App) -> App:
    """Put CORS in front, as a page needs it that resumes by itself, and wants to know the run."""
    return CORSMiddleware(app, allow_origins=[PAGE], allow_headers=["last-event-id"], expose_headers=["x-run-id"])


def by_gzip(app: App) -> App:
    """Put compression in front."""
    return GZipMiddleware(app)


def by_all(app: App) -> App:
    """Put all of them in front."""
    return by_gzip(by_function(by_cors(app)))


BY_FUNCTION = (by_function, by_two_functions, by_all)

on = pytest.mark.parametrize("serve", [on_nothing, on_starlette, on_fastapi], ids=lambda serve: serve.__name__)
by = pytest.mark.parametrize(
    "wrap", [by_gzip, by_function, by_two_functions, by_cors, by_all], ids=lambda wrap: wrap.__name__
)
Serve = Callable[..., App]
Wrap = Callable[[App], App]


async def viewed(client: Connection, path: str) -> str:
    """Ask as a page does that takes gzip; tell the head, in lower case."""
    client.writer.write(
        f"GET {path} HTTP/1.1\r\nhost: test\r\norigin: {PAGE}\r\naccept-encoding: gzip, deflate, br\r\n\r\n".encode()
    )
    return (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()


def unviewed(relay: Relay) -> bool:
    """Tell whether the relay keeps nothing for viewers any more."""
    return not relay._tail._windows


def errors_of(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Tell of what anybody complained."""
    return {record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR}


@on
@by
@in_real_time
async def test_it_streams_and_ends(serve: Serve, wrap: Wrap) -> None:
    """F: each event arrives before the next one is there, then the end, and the connection takes the next request."""
    relay, said, over = Relay(), silence(), silence()
    async with opened(wrap(serve(relay))) as server, server.connect() as client:
        run = await relay.start(play("a", said, "b", over, "c"))
        head = await viewed(client, f"/relay/runs/{run.id}/events")
        assert head.startswith("http/1.1 200")
        assert "\r\ncontent-type: text/event-stream; charset=utf-8\r\n" in head
        assert "\r\ncontent-encoding" not in head  # it would be held back
        assert f"\r\nx-run-id: {run.id}\r\n" in head
        assert await client.chunk() == BEAT
        assert await client.chunk() == f"id: {run.epoch}:1\ndata: a\n\n".encode()
        said.set()
        assert await client.chunk() == f"id: {run.epoch}:2\ndata: b\n\n".encode()
        over.set()
        rest = await client.rest()
        assert rest.startswith(f"id: {run.epoch}:3\ndata: c\n\nid: {run.epoch}:4\nevent: end\n".encode())
        assert (await client.get("/relay/runs/unknown")).startswith(b"HTTP/1.1 404")


@on
@by
@pytest.mark.parametrize("go", [leave, cut], ids=["leaves", "is cut"])
@in_real_time
async def test_a_client_goes(
    serve: Serve, wrap: Wrap, go: Callable[[Connection], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Defect 4, L7: a silent viewing ends with its client and the run goes on; a source is closed; nobody complains."""
    relay, ends = Relay(), list[str]()
    make = lambda: watch_outcome(play("a", silence()), lambda outcome: ends.append(outcome.status))  # noqa: E731
    async with opened(wrap(serve(relay, make))) as server:
        run = await relay.start(play("a", silence()))
        async with server.connect() as viewer, server.connect() as reader:
            await viewed(viewer, f"/relay/runs/{run.id}/events")
            assert await viewer.chunk() == BEAT
            await viewer.chunk()
            await viewed(reader, "/source")
            assert await reader.chunk() == b"data: a\n\n"
            for client in (viewer, reader):
                go(client)
            await until(lambda: ends and unviewed(relay))
        assert ends == ["cancelled"]
        assert (await relay.info(run.id)).status == "running"
    assert not errors_of(caplog)


async def what_is_left(client: Connection) -> tuple[bytes, bool]:
    """Read what is there still; tell whether the body has an end."""
    heard = b""
    try:
        while part := await client.chunk():
            heard += part
    except (asyncio.IncompleteReadError, ConnectionError):
        return heard, False
    return heard, True


@on
@by
@in_real_time
async def test_a_client_that_never_reads_is_dropped(serve: Serve, wrap: Wrap, caplog: pytest.LogCaptureFixture) -> None:
    """L4, L5, I3: at `send_timeout`, long after the run is through; it sees no end, and resumes whole."""
    relay = Relay()
    async with opened(wrap(serve(relay))) as server, server.connect(receive_buffer=4096) as client:
        run = await relay.start(play(*[f"{number} {'x' * 65_536}" for number in range(160)]))
        path = f"/relay/runs/{run.id}/events"
        await viewed(client, path)
        assert (await relay.wait(run.id)).status == "completed"
        assert not unviewed(relay)
        await until(lambda: unviewed(relay))
        heard, complete = await what_is_left(client)
        # A limit: Starlette's middleware of a function waits for its client without end, and takes what is given up for
        # what is complete. (Nobody who has ids does: the run's own end is missing.)
        assert complete == (wrap in BY_FUNCTION)
        assert b"event: end" not in heard
        seen = events_of(heard)
        rest = (await ask(server, path, last_event_id=seen[-1].id or "")).events
        assert seen + rest == (await ask(server, path)).events
        assert len(seen + rest) == 161
    # What uvicorn says of a response that was given up, which is how it learns to close the connection.
    assert errors_of(caplog) <= {"ASGI callable returned without completing response."}


@on
@by
@in_real_time
async def test_answers_without_a_stream_pass(serve: Serve, wrap: Wrap) -> None:
    """F: the rest of a run, 204, a problem, HEAD, OPTIONS, a state: all as without what is in front."""
    store = MemoryStore()
    relay = Relay(store)
    async with opened(serve(relay)) as before, opened(wrap(serve(Relay(store)))) as behind:
        run = await relay.start(play("a"))
        await relay.wait(run.id)
        path = f"/relay/runs/{run.id}/events"
        asked: list[tuple[str, str, Mapping[str, str]]] = [
            ("GET", path, {"last_event_id": f"{run.epoch}:2"}),
            ("GET", path, {"last_event_id": f"{run.epoch}:3"}),
            ("GET", path, {"last_event_id": "nonsense"}),
            ("HEAD", path, {}),
            ("OPTIONS", path, {}),
            ("GET", f"/relay/runs/{run.id}", {}),
            ("GET", "/relay/runs/unknown", {}),
        ]
        for method, where, headers in asked:
            one, other = [await ask(server, where, method=method, **headers) for server in (before, behind)]
            assert (one.status, one.body) == (other.status, other.body)
            for name in ("content-type", "x-run-id", "allow", "cache-control", "x-should-retry"):
                assert one.headers.get(name) == other.headers.get(name)


@on
@in_real_time
async def test_a_page_of_another_origin(serve: Serve) -> None:
    """F: CORS lets a page send Last-Event-ID, and read the run's id; a page of yet another origin it does not."""
    relay = Relay()
    async with opened(by_cors(serve(relay))) as server:
        run = await relay.start(play("a"))
        await relay.wait(run.id)
        path = f"/relay/runs/{run.id}/events"
        asks = {"access_control_request_method": "GET", "access_control_request_headers": "last-event-id"}
        preflight = await ask(server, path, method="OPTIONS", origin=PAGE, **asks)
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "last-event-id" in preflight.headers["access-control-allow-headers"].lower()
        assert (await ask(server, path, method="OPTIONS", origin="http://other", **asks)).status == 400
        answer = await ask(server, path, origin=PAGE, last_event_id=f"{run.epoch}:1")
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-expose-headers"] == "x-run-id"
        assert answer.headers["x-run-id"] == run.id
        assert answer.names == ["end"]
        assert "access-control-allow-origin" not in (await ask(server, path, origin="http://other")).headers


def mounted_in_starlette(relay: Relay) -> App:
    """Mount the application under two prefixes of Starlette."""
    inner = Starlette(routes=[Mount("/relay", app=open_to_all(relay))])
    return Starlette(routes=[Mount("/v1", app=inner)], lifespan=starlette.lifespan(relay, grace=0.2))


def mounted_in_fastapi(relay: Relay) -> App:
    """Mount it under two prefixes of FastAPI."""
    inner = FastAPI()
    inner.mount("/relay", open_to_all(relay))
    app = FastAPI(lifespan=fastapi.lifespan(relay, grace=0.2))
    app.mount("/v1", inner)
    return app


async def assert_it_is_there(server: Uvicorn, relay: Relay, prefix: str) -> None:
    """Ask for everything there is below a prefix, with a slash at the end and without."""
    run = await relay.start(play("a", silence()), key="a/b")
    for path in (f"runs/{run.id}", "keys/a/b/active", "keys/a/b/latest"):
        for slash in ("", "/"):
            assert json.loads((await ask(server, f"{prefix}/{path}{slash}")).body)["id"] == run.id
    stopped = await ask(server, f"{prefix}/runs/{run.id}/cancel/", method="POST")
    assert json.loads(stopped.body)["status"] == "cancelled"
    for slash in ("", "/"):
        assert (await ask(server, f"{prefix}/runs/{run.id}/events{slash}")).names == ["a", "end"]
    assert (await ask(server, f"{prefix}/other/runs/{run.id}")).status == 404


@pytest.mark.parametrize("mount", [mounted_in_starlette, mounted_in_fastapi], ids=lambda mount: mount.__name__)
@pytest.mark.parametrize("root_path", ["", "/api"])
@in_real_time
async def test_the_application_is_mounted_anywhere(mount: Callable[[Relay], App], root_path: str) -> None:
    """F: below two prefixes, also behind a proxy that takes one away of which the server was told."""
    relay = Relay()
    async with opened(mount(relay), root_path=root_path) as server:  # which puts it in front of the path again
        await assert_it_is_there(server, relay, "/v1/relay")


@in_real_time
async def test_a_server_does_not_put_its_root_path_into_the_path() -> None:
    """F: hypercorn tells of the prefix that a proxy took away, and leaves the path without it."""
    relay = Relay()
    runs = open_to_all(relay)

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await runs({**scope, "root_path": "/api"}, receive, send)

    async with opened(drained_app(told, relay, grace=0.2)) as server:
        await assert_it_is_there(server, relay, "")
