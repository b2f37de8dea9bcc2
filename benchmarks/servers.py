"""
The same streams, served by each library as its documentation says, and the process that serves them.

Every application sends ``data: <text>``, a blank line, and so on: byte for byte the same, but for how it ends.
``python -m benchmarks.servers FD NAME COUNT SECONDS`` serves one of them on a socket that is open already.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from time import process_time
from typing import Any

from benchmarks.fixtures import TEXT
from sse_relay.adapters.asgi import EventStreamResponse

__all__ = [
    "APPS", "BARE", "HEADERS", "OURS", "RATE", "Address", "App", "Apps", "Message", "Receive", "Send", "Streams",
    "answering", "bursts", "installed", "listen", "main", "ready", "serve", "spawned", "suspending",
]  # fmt: skip

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Address = tuple[str, int]
Streams = Mapping[str, Callable[[], AsyncIterator[str]]]
"""What there is to serve: texts, by path."""

Apps = Mapping[str, Callable[[Streams], App]]
"""Applications, by name."""

HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
BARE = "bare ASGI app"
OURS = "sse_relay EventStreamResponse"
RATE = 5
BURST = 20


async def suspending(count: int) -> AsyncIterator[str]:
    """Yield texts, each after a turn of the loop, as a model's stream does."""
    for _ in range(count):
        await asyncio.sleep(0)
        yield TEXT


async def bursts(count: int) -> AsyncIterator[str]:
    """Yield texts, 20 after each turn of the loop, as they come in the chunks of a fast upstream."""
    for index in range(count):
        if index % BURST == 0:
            await asyncio.sleep(0)
        yield TEXT


async def ready(count: int) -> AsyncIterator[str]:
    """Yield texts without ever suspending."""
    for _ in range(count):
        yield TEXT


async def _slow(seconds: float) -> AsyncIterator[str]:
    for _ in range(round(seconds * RATE)):
        await asyncio.sleep(1 / RATE)
        yield TEXT


async def _frames(source: AsyncIterable[str]) -> AsyncIterator[str]:
    async for text in source:
        yield f"data: {text}\n\n"


def _bare(streams: Streams) -> App:
    async def app(scope: Message, _receive: Receive, send: Send) -> None:
        source = streams[scope["path"]]()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async for text in source:
            body = f"data: {text}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def _sse_relay(streams: Streams) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await EventStreamResponse(streams[scope["path"]]())(scope, receive, send)

    return app


def _starlette(streams: Streams) -> App:
    responses = import_module("starlette.responses")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        frames = _frames(streams[scope["path"]]())
        await responses.StreamingResponse(frames, media_type="text/event-stream")(scope, receive, send)

    return app


def _sse_starlette(streams: Streams) -> App:
    sse_starlette = import_module("sse_starlette")

    async def events(source: AsyncIterable[str]) -> AsyncIterator[object]:
        async for text in source:
            yield sse_starlette.ServerSentEvent(text, sep="\n")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sse_starlette.EventSourceResponse(events(streams[scope["path"]]()))(scope, receive, send)

    return app


def _fastapi(streams: Streams) -> App:
    fastapi, sse = import_module("fastapi"), import_module("fastapi.sse")
    app = fastapi.FastAPI()

    def endpoint(path: str) -> Callable[[], AsyncIterator[object]]:
        async def events() -> AsyncIterator[object]:
            async for text in streams[path]():
                yield sse.ServerSentEvent(raw_data=text)

        return events

    for path in streams:
        app.add_api_route(path, endpoint(path), response_class=sse.EventSourceResponse, response_model=None)
    return app  # type: ignore[no-any-return]


APPS: Apps = {
    BARE: _bare,
    OURS: _sse_relay,
    "Starlette StreamingResponse": _starlette,
    "sse-starlette": _sse_starlette,
    "FastAPI's SSE": _fastapi,
}


def installed(apps: Apps = APPS) -> list[str]:
    """Return the names of the applications whose packages are here."""
    found: list[str] = []
    for name, make in apps.items():
        try:
            make({})
        except ImportError:
            continue
        found.append(name)
    return found


def answering(app: App, questions: Mapping[str, Callable[[], object]]) -> App:
    """Answer ``GET`` of some paths with what a function returns, as text, and all else as the application does."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        if (question := questions.get(scope["path"])) is None:
            await app(scope, receive, send)
            return
        body = str(question()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    return wrapped


@contextmanager
def spawned(module: str, *arguments: object, backlog: int = 1024) -> Iterator[Address]:
    """Run a module that serves: its first argument is the number of a socket that is open, then come `arguments`."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listening:
        address, number = listening.getsockname(), listening.fileno()
        process = subprocess.Popen([sys.executable, "-m", module, str(number), *map(str, arguments)], pass_fds=[number])
    try:  # with the socket closed here, nobody waits for a server that has failed
        yield address
    finally:
        process.kill()  # it has nothing to finish
        process.wait()


async def listen(app: App, number: int) -> None:
    """Serve an application on the socket of that number, as all of them are served."""
    uvicorn = import_module("uvicorn")
    config = uvicorn.Config(app, loop="asyncio", http="h11", lifespan="off", log_level="error")
    await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=number)])


def serve(
    name: str, *, count: int, seconds: float, module: str = "benchmarks.servers"
) -> AbstractContextManager[Address]:
    """Serve one application in a process of its own: fast streams of `count` events, slow ones of `seconds`."""
    return spawned(module, name, count, seconds)


def main(apps: Apps) -> None:
    """Be the process that `serve` starts."""
    number, name, count, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    streams: Streams = {
        "/suspending": lambda: suspending(count),
        "/bursts": lambda: bursts(count),
        "/ready": lambda: ready(count),
        "/slow": lambda: _slow(seconds),
    }
    asyncio.run(listen(answering(apps[name](streams), {"/cpu": process_time}), number))


if __name__ == "__main__":
    main(APPS)
