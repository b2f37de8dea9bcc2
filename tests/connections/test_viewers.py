"""Runs over real sockets, by a real server, on both event loops: viewers that come, go, stop reading and come back."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sse_relay import EventDecoder, MemoryStore, Relay, ServerSentEvent
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Receive, Scope, Send
from tests.adapters.relays import BEAT, open_to_all
from tests.adapters.servers import Connection, Uvicorn, serve
from tests.adapters.sources import play, silence
from tests.connections.conftest import Parser, Run


def events_of(body: bytes) -> list[ServerSentEvent]:
    """Read a body."""
    return EventDecoder().feed(body)


def names(body: bytes) -> list[str | None]:
    """What a body says: the data of each unnamed event, the name of each other one."""
    return [event.event or event.data for event in events_of(body)]


async def until(client: Connection, text: bytes) -> bytes:
    """Read a body until it has a text."""
    body = b""
    while text not in body:
        body += await client.chunk()
    return body


class Gate:
    """A source that says a word whenever it is told to."""

    def __init__(self) -> None:
        self._words: asyncio.Queue[str | None] = asyncio.Queue()

    def say(self, *words: str | None) -> None:
        """Let it say words; None: let it end."""
        for word in words:
            self._words.put_nowait(word)

    async def source(self) -> AsyncGenerator[str, None]:
        """Say them."""
        while (word := await self._words.get()) is not None:
            yield word


async def nobody_views(relay: Relay) -> None:
    """Wait until the relay keeps nothing for viewers any more; the test's own deadline is the limit."""
    while relay._tail._windows:  # noqa: ASYNC110 - there is no event for what must not be there
        await asyncio.sleep(0.001)


def test_several_viewers_see_the_same(run: Run, http: Parser) -> None:
    """I1, L4: ten viewers, early and late, of a run that is silent at first: the first byte at once, then all alike."""

    async def main() -> None:
        gate = Gate()
        async with Relay() as relay, serve(open_to_all(relay), http) as server, AsyncExitStack() as stack:
            info = await relay.start(gate.source())
            clients = [await stack.enter_async_context(server.connect()) for _ in range(10)]
            for client in clients[:5]:
                head = await client.get(f"/runs/{info.id}/events")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert f"x-run-id: {info.id}\r\n".encode() in head
                assert await client.chunk() == BEAT
            gate.say("a", "b")
            early = [await until(client, b"data: b\n\n") for client in clients[:5]]
            for client in clients[5:]:
                await client.get(f"/runs/{info.id}/events")
            gate.say("c", None)
            bodies = [seen + await client.rest() for seen, client in zip(early, clients[:5], strict=True)]
            bodies += [(await client.rest()).removeprefix(BEAT) for client in clients[5:]]
            assert len(set(bodies)) == 1
            assert names(bodies[0]) == ["a", "b", "c", "end"]

    run(main())


def test_a_page_is_reloaded(run: Run, http: Parser) -> None:
    """C, I3: a client that is cut in mid-stream comes back with its last id to the rest; without one, to the whole."""

    async def main() -> None:
        gate = Gate()
        async with Relay() as relay, serve(open_to_all(relay), http) as server:
            info = await relay.start(gate.source())
            path = f"/runs/{info.id}/events"
            async with server.connect() as client:
                await client.get(path)
                gate.say("a", "b")
                seen = await until(client, b"data: b\n\n")
            await nobody_views(relay)  # the cut is noticed, though the run is silent
            assert (await relay.info(info.id)).status == "running"
            gate.say("c")
            async with server.connect() as resumed, server.connect() as reloaded:
                await resumed.get(path, last_id=events_of(seen)[-1].id)
                await reloaded.get(path)
                await until(resumed, b"data: c\n\n")
                gate.say("d", None)
                assert names(await resumed.rest()) == ["d", "end"]
                assert names(await reloaded.rest()) == ["a", "b", "c", "d", "end"]

    run(main())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_connection_is_used_again(run: Run, http: Parser, method: str) -> None:
    """F: after a stream, a 204, a problem, a state, all on one connection: no stray byte, no missing end."""

    async def main() -> None:
        async with Relay() as relay, serve(open_to_all(relay), http) as server, server.connect() as client:
            info = await relay.start(play("a"), key="chat")
            await relay.wait(info.id)
            path = f"/runs/{info.id}/events"
            places: list[Any] = [None, f"{info.epoch}:2", f"{info.epoch}:3", "nonsense", None]
            for last_id, status in zip(places, [200, 204, 409, 400, 200], strict=True):
                head = await client.get(path, method=method, last_id=last_id)
                assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
                if status == 204:
                    assert b"content-type" not in head
                    assert b"transfer-encoding" not in head
                elif method == "GET":
                    body = await client.rest()
                    assert names(body) == ["a", "end"] if status == 200 else json.loads(body)["status"] == status
            head = await client.get("/keys/chat/latest", method=method)
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if method == "GET":
                assert json.loads(await client.reader.readexactly(length))["status"] == "completed"
            head = await client.get("/runs/unknown", method=method)
            assert head.startswith(b"HTTP/1.1 404 ")

    run(main())


def test_a_viewer_that_never_reads_is_dropped(run: Run, http: Parser) -> None:
    """L4, L5, L6: it holds up neither the run nor others; it is dropped in time, and resumes whole."""

    async def main() -> None:
        gate = Gate()
        async with (
            Relay() as relay,
            serve(open_to_all(relay, send_timeout=0.5), http) as strict,
            serve(open_to_all(relay), http) as server,
        ):
            info = await relay.start(gate.source())
            path = f"/runs/{info.id}/events"
            async with strict.connect(receive_buffer=4096) as stuck, server.connect() as reading:
                for client in (stuck, reading):
                    await client.get(path)
                gate.say(*[f"{number} {'x' * 20_000}" for number in range(200)], None)
                whole = await reading.rest()
                assert len(events_of(whole)) == 201
                await nobody_views(relay)
                heard = b""
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    while True:
                        heard += await stuck.chunk()
                seen = events_of(heard)
                assert len(seen) < 201
            async with server.connect() as client:
                await client.get(path, last_id=seen[-1].id if seen else None)
                assert seen + events_of(await client.rest()) == events_of(whole)

    run(main())


def test_a_viewer_that_reads_slowly_gets_it_all(run: Run, http: Parser) -> None:
    """L5: each write may take its time: a viewer that reads a little at a time is not dropped, and holds up nobody."""

    async def main() -> None:
        gate = Gate()
        async with Relay() as relay, serve(open_to_all(relay, send_timeout=5), http) as server:
            info = await relay.start(gate.source())
            async with server.connect(receive_buffer=4096) as slow, server.connect() as fast:
                for client in (slow, fast):
                    await client.get(f"/runs/{info.id}/events")
                gate.say(*[f"{number} {'x' * 20_000}" for number in range(40)], None)
                whole = await fast.rest()
                assert (await relay.info(info.id)).status == "completed"
                parts = []
                while part := await slow.chunk():
                    parts.append(part)
                    await asyncio.sleep(0.01)
                assert events_of(b"".join(parts)) == events_of(whole)

    run(main())


def test_a_run_is_stopped_from_another_connection(run: Run, http: Parser) -> None:
    """Defect 4, L3: a POST ends a silent run; its viewers are told, and the answer says the same."""

    async def main() -> None:
        async with Relay() as relay, serve(open_to_all(relay), http) as server:
            info = await relay.start(play("a", silence()))
            async with server.connect() as viewer, server.connect() as other:
                await viewer.get(f"/runs/{info.id}/events")
                await until(viewer, b"data: a\n\n")
                head = await other.get(f"/runs/{info.id}/cancel", method="POST")
                assert head.startswith(b"HTTP/1.1 200 ")
                end = events_of(await viewer.rest())[-1]
                assert json.loads(end.data or "") == {"status": "cancelled", "reason": "user", "error": None}

    run(main())


def test_a_drain_ends_every_body(run: Run, http: Parser) -> None:
    """L8: a relay that drains ends the bodies of its viewers as HTTP wants it; they resume at another process."""

    async def main() -> None:
        gate, store = Gate(), MemoryStore()
        async with Relay(store) as here, Relay(store) as there, AsyncExitStack() as stack:
            info = await there.start(gate.source())
            path = f"/runs/{info.id}/events"
            draining = await stack.enter_async_context(serve(open_to_all(here), http))
            staying: Uvicorn = await stack.enter_async_context(serve(open_to_all(there), http))
            clients = [await stack.enter_async_context(draining.connect()) for _ in range(3)]
            for client in clients:
                await client.get(path)
            gate.say("a")
            bodies = [await until(client, b"data: a\n\n") for client in clients]
            await here.drain(1)
            for body, client in zip(bodies, clients, strict=True):
                said = await client.rest()
                assert re.fullmatch(rb"retry: \d+\n", said)  # a clean end, without an `end`
                head = await client.get(path, last_id=events_of(body)[-1].id)
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1\r\n" in head
                await client.rest()
            client = await stack.enter_async_context(staying.connect())
            await client.get(path, last_id=events_of(bodies[0])[-1].id)
            gate.say("b", None)
            assert names(await client.rest()) == ["b", "end"]

    run(main())


@pytest.mark.parametrize("run_id", ["x%0d%0aset-cookie:%20admin=1", "%0d%0a%0d%0a<script>"])
def test_a_run_id_from_a_path_brings_no_header(run: Run, http: Parser, run_id: str) -> None:
    """I12: an application that subscribes to whatever its path says does not let a client write headers."""

    async def main() -> None:
        async with Relay() as relay:

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await EventStreamResponse(relay.subscribe(scope["path"].removeprefix("/")))(scope, receive, send)

            async with serve(app, http) as server, server.connect() as client:
                head = await client.get(f"/{run_id}")
                assert head.startswith(b"HTTP/1.1 404 ")
                assert b"set-cookie" not in head
                assert b"x-run-id" not in head
                assert json.loads(await client.rest())["code"] == "run_not_found"

    run(main())
