"""Applications of frameworks on uvicorn, with their lifespan, on a real socket and in real time."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import uvicorn

from sse_relay import EventDecoder, ServerSentEvent
from tests.adapters.servers import Uvicorn

P = ParamSpec("P")


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[ServerSentEvent]:
        """The events of the body."""
        return EventDecoder().feed(self.body)

    @property
    def names(self) -> list[str | None]:
        """What the body says: the data of each unnamed event, the name of each other one."""
        return [event.event or event.data for event in self.events]


def in_real_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own; no task may be left after it (L7)."""

    async def settled(work: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(15):
            await work
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(settled(test(*args, **kwargs)))

    return run


@asynccontextmanager
async def opened(app: Any, *, root_path: str = "") -> AsyncGenerator[Uvicorn]:
    """Serve an application from its lifespan's start to its end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(
        app, lifespan="on", ws="none", log_config=None, http="h11", root_path=root_path, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started or serving.done())
        yield Uvicorn(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def ask(server: Uvicorn, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Make one request, on a connection of its own, and read the whole response."""
    more = "".join(f"{name.replace('_', '-')}: {said}\r\n" for name, said in headers.items())
    async with server.connect() as client:
        client.writer.write(f"{method} {path} HTTP/1.1\r\nhost: test\r\n{more}\r\n".encode())
        first, *lines = (await client.reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
        said = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if method != "HEAD" and "content-length" in said:
            body = await client.reader.readexactly(int(said["content-length"]))
        elif method != "HEAD" and "transfer-encoding" in said:
            body = await client.rest()
        return Answer(int(first.split()[1]), said, body)


async def until(happened: Callable[[], object]) -> None:
    """Wait until something has happened; the test's own deadline is the limit."""
    while not happened():  # noqa: ASYNC110 - what is looked at has no event
        await asyncio.sleep(0.001)
