"""Responses over real sockets, by a real server, on both event loops."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any

import pytest

from sse_relay import CancelToken, EventDecoder, cancellable, watch_outcome
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.testing import Probe
from tests.adapters.servers import serve
from tests.adapters.sources import Mode, play, silence
from tests.connections.conftest import Parser, Run


class Application:
    """
    Answer each request with a new source.

    Attributes:
        returned: Set once a response has returned.
        outcomes: How the sources ended.
    """

    def __init__(self, make: Callable[[Scope], AsyncIterable[object]], **options: Any) -> None:
        self._make = make
        self._options = options
        self.returned = asyncio.Event()
        self.outcomes: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        source = watch_outcome(self._make(scope), lambda outcome: self.outcomes.append(outcome.status))
        await EventStreamResponse(source, **self._options)(scope, receive, send)
        self.returned.set()


def names(body: bytes) -> list[str | None]:
    """What a body says: the data of each unnamed event, the name of each other one."""
    return [event.event or event.data for event in EventDecoder().feed(body)]


def test_a_stream_arrives_whole(run: Run, http: Parser) -> None:
    """F: status, headers, every event, the terminal, and a body that ends as HTTP wants it."""

    async def main() -> None:
        async with serve(Application(lambda _: Probe(1000)), http) as server, server.connect() as client:
            head = await client.get()
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\ncontent-type: text/event-stream; charset=utf-8\r\n" in head
            assert b"connection:" not in head.lower()
            assert names(await client.rest()) == [*map(str, range(1000)), "end"]

    run(main())


def test_a_connection_is_used_again(run: Run, http: Parser) -> None:
    """F: after a stream, after an error before the first event, the same connection takes the next request."""

    def source(scope: Scope) -> AsyncGenerator[object, None]:
        return play(ValueError("secret")) if scope["path"] == "/error" else play("a", 0.01, scope["path"])

    async def main() -> None:
        async with serve(Application(source), http) as server, server.connect() as client:
            for path in ("/1", "/2"):
                assert (await client.get(path)).startswith(b"HTTP/1.1 200 ")
                assert names(await client.rest()) == ["a", path, "end"]
            head = await client.get("/error")
            assert head.startswith(b"HTTP/1.1 500 ")
            assert b"\r\ncontent-type: application/problem+json\r\n" in head
            assert b"secret" not in await client.rest()
            assert (await client.get("/3")).startswith(b"HTTP/1.1 200 ")
            assert names(await client.rest()) == ["a", "/3", "end"]

    run(main())


def test_requests_run_side_by_side(run: Run, http: Parser) -> None:
    """F: two streams that wait for each other both end."""

    async def main() -> None:
        turns = {"/1": asyncio.Event(), "/2": asyncio.Event()}

        async def source(path: str) -> AsyncGenerator[object, None]:
            yield "a"
            turns[path].set()
            await turns["/2" if path == "/1" else "/1"].wait()
            yield path

        application = Application(lambda scope: source(scope["path"]))
        async with serve(application, http) as server, server.connect() as one, server.connect() as two:
            await one.get("/1")
            assert names(await one.chunk()) == ["a"]
            await two.get("/2")
            assert names(await one.rest()) == ["/1", "end"]
            assert names(await two.rest()) == ["a", "/2", "end"]

    run(main())


@pytest.mark.parametrize("mode", ["close", "continue"])
def test_a_client_leaves(run: Run, http: Parser, mode: Mode) -> None:
    """Defect 4, F: a client that closes its connection ends a silent stream at once, or lets it run to its end."""

    async def main() -> None:
        release = silence()
        application = Application(lambda _: play("a", release), on_disconnect=mode)
        async with serve(application, http) as server:
            async with server.connect() as client:
                await client.get()
                assert names(await client.chunk()) == ["a"]
            if mode == "continue":
                release.set()
            await application.returned.wait()
            assert application.outcomes == ["cancelled" if mode == "close" else "completed"]

    run(main())


@pytest.mark.parametrize("mode", ["close", "continue"])
def test_a_stream_is_stopped_by_its_token(run: Run, http: Parser, mode: Mode) -> None:
    """Defect 4, E, F: by another request, while it is silent: a terminal, a body that ends, the outcome told once."""

    async def main() -> None:
        token, closed = CancelToken(), list[str]()

        async def source() -> AsyncGenerator[object, None]:
            try:
                yield "a"
                await silence().wait()
            finally:
                closed.append("closed")

        def make(scope: Scope) -> AsyncIterable[object]:
            if scope["path"] == "/stop":
                token.cancel("user")
                return play("stopped")
            return cancellable(source(), token)

        application = Application(make, on_disconnect=mode)
        async with serve(application, http) as server, server.connect() as client, server.connect() as other:
            await client.get()
            assert names(await client.chunk()) == ["a"]
            await other.get("/stop")
            (end,) = EventDecoder().feed(await client.rest())
            assert json.loads(end.data or "") == {"status": "cancelled", "reason": "user", "error": None}
            assert closed == ["closed"]
            assert sorted(application.outcomes) == ["cancelled", "completed"]

    run(main())


@pytest.mark.parametrize("mode", ["close", "continue"])
def test_a_client_never_reads(run: Run, http: Parser, mode: Mode) -> None:
    """L4, L6: a client whose buffers are full is dropped at `send_timeout`, without a terminal; a run goes on."""

    async def main() -> None:
        count = 100 if mode == "continue" else 1_000_000
        big = "x" * 65_536
        application = Application(lambda _: play(*[big] * count), send_timeout=0.5, on_disconnect=mode)
        async with serve(application, http) as server, server.connect(receive_buffer=4096) as client:
            await client.get()
            began = asyncio.get_running_loop().time()
            await application.returned.wait()
            assert asyncio.get_running_loop().time() - began > 0.4
            assert application.outcomes == ["cancelled" if mode == "close" else "completed"]
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.rest()

    run(main())
