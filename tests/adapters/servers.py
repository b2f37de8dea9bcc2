"""Servers that the adapters' tests answer to: one in memory, on virtual time, and uvicorn on a real socket."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from types import MappingProxyType
from typing import Any, Literal, ParamSpec, Self
from urllib.parse import unquote

import uvicorn

from sse_relay import EventDecoder, Outcome, ServerSentEvent
from sse_relay.adapters.messages import Message, Receive, Scope, Send
from sse_relay.dialects import RenderContext, Renderer
from sse_relay.testing import run_virtual

P = ParamSpec("P")
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def on_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on the virtual clock; a minute after it no task may be left (L7)."""

    async def settled(work: Coroutine[Any, Any, None]) -> None:
        await work
        await asyncio.sleep(60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(settled(test(*args, **kwargs)))

    return run


class Exchange:
    """
    One request and its response, in memory: as strict as a server may be.

    Args:
        method: The request's.
        on_send: Awaited with each message before it counts: what the connection does, or fails to do.
        path: The request's, as a client writes it, with its query.
        headers: The request's.

    Attributes:
        gone: Set it for the client to go away; `receive` says so.
        messages: What the application sent.
        times: When, in seconds after the request.
    """

    def __init__(
        self,
        method: str = "GET",
        on_send: Send | None = None,
        *,
        path: str = "/",
        headers: Mapping[str, str | bytes] = MappingProxyType({}),
    ) -> None:
        path, _, query = path.partition("?")
        pairs = [(name.encode(), said if isinstance(said, bytes) else said.encode()) for name, said in headers.items()]
        self.scope: Scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "headers": pairs,
        }  # fmt: skip
        self.gone = asyncio.Event()
        self.messages: list[Message] = []
        self.times: list[float] = []
        self._on_send = on_send
        self._asked = False
        self._listening = 0
        self._began = asyncio.get_running_loop().time()

    async def ask(self, app: App) -> Self:
        """Make the request; once the application has returned, none of its tasks and timers is left (L7)."""
        loop: Any = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        timers = set(loop._scheduled)
        await app(self.scope, self.receive, self.send)
        assert asyncio.all_tasks() == before
        assert all(timer.cancelled() for timer in set(loop._scheduled) - timers)
        return self

    async def view(self, app: App) -> Self:
        """Make the request where others, and a relay, are at work; then nobody listens to this client any more (L7)."""
        await app(self.scope, self.receive, self.send)
        assert not self._listening
        return self

    async def receive(self) -> Message:
        """Give the request's empty body, then wait for the client to go."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._listening += 1
        try:
            await self.gone.wait()
        finally:
            self._listening -= 1
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message, if ASGI allows it here."""
        if self._on_send is not None:
            await self._on_send(message)
        if not self.messages:
            assert message["type"] == "http.response.start"
            assert all(name == name.lower() for name, _ in message["headers"])
        else:
            assert message["type"] == "http.response.body"
            assert not self.complete, "a message after the end"
            assert message["body"] or not message["more_body"], "an empty body in mid-stream"
            bodiless = self.scope["method"] == "HEAD" or self.status == 204
            assert not (bodiless and message["body"]), "a body where there is none"
        self.messages.append(message)
        self.times.append(asyncio.get_running_loop().time() - self._began)

    @property
    def status(self) -> int:
        """The response's status."""
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers; none may be there twice."""
        pairs = [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def writes(self) -> list[bytes]:
        """The parts of the body, as they were sent."""
        return [message["body"] for message in self.messages[1:]]

    @property
    def body(self) -> bytes:
        """The body."""
        return b"".join(self.writes)

    @property
    def json(self) -> Any:
        """What the body says, if it is JSON."""
        assert self.headers["content-type"] in {"application/json", "application/problem+json"}
        return json.loads(self.body)

    @property
    def complete(self) -> bool:
        """Whether the application has ended the body."""
        return len(self.messages) > 1 and not self.messages[-1]["more_body"]

    @property
    def events(self) -> list[ServerSentEvent]:
        """The events of the body."""
        return EventDecoder().feed(self.body)

    @property
    def names(self) -> list[str | None]:
        """What the body says: the data of each unnamed event, the name of each other one."""
        return [event.event or event.data for event in self.events]


class TwoParts:
    """A dialect whose terminal is two events, and whose heartbeat is not the native one."""

    name: str = "two_parts"
    headers: Mapping[str, str] = MappingProxyType({"X-Two-Parts": "v1"})
    has_ids: bool = False
    heartbeat: bytes = b": still here\n\n"
    resume: Literal["offset", "from_start"] = "from_start"

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise nothing but what says so itself."""
        return event.outcome

    def renderer(self, context: RenderContext) -> Renderer:
        """Render with the same class: there is nothing to remember."""
        del context
        return _TwoPartsRenderer()


class _TwoPartsRenderer:
    def preamble(self) -> Sequence[ServerSentEvent]:
        return ()

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        del offset
        return (event,)

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent(outcome.status, event="why"), ServerSentEvent("[DONE]"))


class Connection:
    """A raw HTTP/1.1 client on one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def get(self, path: str = "/", *, method: str = "GET", last_id: str | None = None) -> bytes:
        """Send a request; return the response's head."""
        more = "" if last_id is None else f"last-event-id: {last_id}\r\n"
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: test\r\n{more}\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")

    async def chunk(self) -> bytes:
        """Read one chunk of the body; empty: the body has ended as it should."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """Read the body to its end."""
        parts: list[bytes] = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)


class Uvicorn:
    """uvicorn with one application, on an ephemeral port of 127.0.0.1, in the test's own loop."""

    def __init__(self, port: int) -> None:
        self._port = port

    @asynccontextmanager
    async def connect(self, *, receive_buffer: int | None = None) -> AsyncGenerator[Connection]:
        """Open a connection, with a small buffer if the client is to be slow."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.setblocking(False)  # noqa: FBT003 - its name
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self._port))
        reader, writer = await asyncio.open_connection(sock=client, limit=receive_buffer or 2**16)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serve(app: App, http: Literal["h11", "httptools"] = "h11") -> AsyncGenerator[Uvicorn]:
    """Serve an application while the block runs, by one of uvicorn's two parsers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # what it accepts inherits this
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, http=http, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield Uvicorn(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listener.close()
