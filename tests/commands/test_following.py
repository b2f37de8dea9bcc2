"""Where the events of a stream come from."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator

import pytest

from sse_relay import (
    Cursor,
    InvalidCursorError,
    MemoryStore,
    Relay,
    RunNotFoundError,
    ServerSentEvent,
    StoreUnavailableError,
)
from sse_relay.adapters.asgi import relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.commands.exits import UserError
from sse_relay.commands.following import follow_run, follow_url, is_url
from sse_relay.stores.protocol import Page
from tests.adapters.servers import serve
from tests.client.peers import raw_server
from tests.commands.scene import place, run_async, texts
from tests.stores.redis.proxy import through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually


class Ear:
    """Keep what is heard."""

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.worries: list[str] = []

    @property
    def heard(self) -> bool:
        """Whether any event has come."""
        return bool(self.events)

    @property
    def names(self) -> list[str | None]:
        """The names of the events, or the data of those without."""
        return [event.event or event.data for event in self.events]

    def hear(self, event: ServerSentEvent) -> None:
        """Hear an event."""
        self.events.append(event)

    def worry(self, trouble: str) -> None:
        """Hear why nothing comes just now."""
        self.worries.append(trouble)


async def gated(go_on: asyncio.Event) -> AsyncGenerator[str]:
    """Say one word, and the other one when it is time."""
    yield "one"
    await go_on.wait()
    yield "two"


class Failing(MemoryStore):
    """Fail the second read."""

    reads = 0

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        """Read, or fail."""
        self.reads += 1
        if self.reads == 2:
            raise StoreUnavailableError("gone for a moment")
        return await super().read(run_id, after, limit=limit, **more)


def test_a_url() -> None:
    """A URL is told from a run's id by its scheme."""
    told = {target: is_url(target) for target in ("http://x", "HTTPS://x", "p1-http", "x://")}
    assert told == {"http://x": True, "HTTPS://x": True, "p1-http": False, "x://": False}


@run_async
async def test_a_read_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails in the middle of a replay is asked again: every event is there once (I1)."""
    monkeypatch.setattr("sse_relay.commands.following._FIRST_PAUSE", 0.001)
    ear = Ear()
    store = Failing()
    async with Relay(store) as relay:
        run = await relay.start(texts(4000)())
        await relay.wait(run.id)
        outcome = await follow_run(store, run.id, None, ear)
    assert [event.id for event in ear.events] == [f"{run.epoch}:{number}" for number in range(1, 4002)]
    assert ear.worries == ["gone for a moment; trying again"]
    assert outcome is not None


@run_async
async def test_a_run_through_an_outage(server: Server, prefix: str) -> None:
    """A viewer whose store goes away and comes back has every event once, and was told of it (I1)."""
    go_on = asyncio.Event()
    ear = Ear()
    async with place(server, prefix) as there, through(server.socket) as proxy:
        run = await there.relay.start(gated(go_on))
        store = server.store(prefix, proxy.path, deadline=0.2, probe=0.2)
        following = asyncio.create_task(follow_run(store, run.id, None, ear))
        await eventually(lambda: ear.names == ["one"])
        proxy.hold()
        go_on.set()
        await there.relay.wait(run.id)
        await eventually(lambda: proxy.held)
        proxy.release()
        proxy.cut()
        outcome = await following
        await store.aclose()
    assert ear.names == ["one", "two", "end"]
    assert outcome is not None
    assert outcome.status == "completed"


@run_async
async def test_from_a_place_on(server: Server, prefix: str) -> None:
    """A run is followed behind a cursor or an offset; what is neither is refused (I11)."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(5)())
        await there.relay.wait(run.id)
        store = server.store(prefix)
        for after in ("4", f"{run.epoch}:4"):
            ear = Ear()
            await follow_run(store, run.id, after, ear)
            assert ear.names == ["text", "end"]
        with pytest.raises(InvalidCursorError):
            await follow_run(store, run.id, "9" * 30, Ear())
        with pytest.raises(RunNotFoundError):
            await follow_run(store, "p1-nothing", None, Ear())
        await store.aclose()


@run_async
async def test_a_store_that_is_not_there(server: Server, prefix: str) -> None:
    """A store that does not answer from the beginning is an error at once, and no endless wait."""
    store = server.store(prefix, "/nowhere", deadline=0.5)
    with pytest.raises(StoreUnavailableError):
        await follow_run(store, "p1-any", None, Ear())
    await store.aclose()


@run_async
async def test_a_url_through_a_cut() -> None:
    """A stream over HTTP that is cut is gone on with behind its last id: nothing is lost or doubled (I1)."""
    go_on = asyncio.Event()
    ear = Ear()
    async with Relay() as relay:
        run = await relay.start(gated(go_on))
        app = relay_app(relay, authorize=lambda access: access.run is not None)

        async def cutting(scope: Scope, receive: Receive, send: Send) -> None:
            asked_again = any(name == b"last-event-id" for name, _ in scope["headers"])

            async def heard() -> dict[str, object]:
                if asked_again:
                    return dict(await receive())
                await eventually(lambda: ear.heard)
                go_on.set()
                return {"type": "http.disconnect"}

            await app(scope, heard, send)

        async with serve(cutting) as server:
            outcome = await follow_url(f"http://127.0.0.1:{server._port}/runs/{run.id}/events", {}, None, ear)
            url = f"http://127.0.0.1:{server._port}/runs/{run.id}/events"
            assert await follow_url(url, {}, ear.events[-1].id, ear) == outcome
    assert ear.names == ["one", "two", "end"]
    assert outcome is not None
    assert outcome.status == "completed"
    (worry,) = ear.worries
    assert re.fullmatch(r"the stream was cut \(.+\); connecting again in [34] s", worry)


@run_async
async def test_a_url_where_nobody_is() -> None:
    """A server that cannot be reached from the beginning is an error at once; so is a cut stream without ids."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: a\n\n"

    async def cut(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_server(cut) as url:
        with pytest.raises(UserError, match="no ids to go on after"):
            await follow_url(url, {}, None, Ear())
    with pytest.raises(UserError, match="no stream"):
        await follow_url("http://127.0.0.1:9/", {}, None, Ear())
    with pytest.raises(UserError, match="no URL"):
        await follow_url("http://x:port/", {}, None, Ear())


@run_async
async def test_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without httpx2 a URL is refused with what to install."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(UserError, match=r"sse-relay\[cli,client\]") as refused:
        await follow_url("http://127.0.0.1:9/", {}, None, Ear())
    assert refused.value.code == 2
