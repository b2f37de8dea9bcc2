"""What a client talks to: scripted answers without a socket, on any clock, and a raw server that does anything."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2

from sse_relay import ServerSentEvent
from sse_relay.client import Backoff, ResumingEvents

EPOCH = "0123456789abcdef"
END = '{"status":"completed","reason":"stop","error":null}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
NO_PAUSE = Backoff(first=0, cap=0)

Step = bytes | float | Exception


def frame(offset: int, data: str | None = None, event: str = "text") -> bytes:
    """Make one record of a native log."""
    return ServerSentEvent(str(offset) if data is None else data, id=f"{EPOCH}:{offset}", event=event).encode()


def log(count: int) -> list[bytes]:
    """Make a whole native log of so many records, the end among them."""
    return [*map(frame, range(1, count)), frame(count, END, "end")]


class Reply(httpx2.AsyncByteStream):
    """
    One scripted answer: a number is a silence in seconds, an exception breaks the connection.

    Attributes:
        closed: Whether the client has closed it.
    """

    def __init__(self, *steps: Step, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.steps = steps
        self.status = status
        self.headers = {"content-type": "text/event-stream"} | dict(headers or {})
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.steps:
            match step:
                case bytes():
                    yield step
                case Exception():
                    raise step
                case seconds:
                    await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


Answers = Callable[[httpx2.Request], Reply | Exception | Awaitable[Reply]]


class Peer(httpx2.AsyncBaseTransport):
    """
    A server in memory.

    Args:
        answers: What it answers, one after the other, or a function of the request. An exception breaks the request.

    Attributes:
        requests: What it was asked.
        times: When, on the loop's clock.
        replies: What it answered.
    """

    def __init__(self, *answers: Reply | Exception | Answers) -> None:
        self.requests: list[httpx2.Request] = []
        self.times: list[float] = []
        self.replies: list[Reply] = []
        self._answers = list(answers)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer."""
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        answer = self._answers[0] if callable(self._answers[0]) else self._answers.pop(0)
        if callable(answer):
            made = answer(request)
            answer = await made if isinstance(made, Awaitable) else made
        if isinstance(answer, Exception):
            raise answer
        self.replies.append(answer)
        return httpx2.Response(answer.status, headers=answer.headers, stream=answer)

    @property
    def last_ids(self) -> list[str | None]:
        """The `Last-Event-ID` of each request."""
        return [request.headers.get("last-event-id") for request in self.requests]

    @property
    def client(self) -> httpx2.AsyncClient:
        """A client that knows this server only."""
        return httpx2.AsyncClient(transport=self)


async def read(events: ResumingEvents) -> list[str | None]:
    """Read to the end; the data of each event."""
    async with events:
        return [event.data async for event in events]


Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(handle: Handler) -> AsyncGenerator[str]:
    """Serve what `handle` writes, given the request's head, on a free port of this machine; give its URL."""
    tasks: set[asyncio.Task[Any]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def last_id(head: bytes) -> str | None:
    """Tell the last id of a request."""
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "last-event-id":
            return value.strip()
    return None


def offset_of(cursor: str | None) -> int:
    """Tell the offset of a cursor; 0: there is none."""
    return int(cursor.rpartition(":")[2]) if cursor else 0
