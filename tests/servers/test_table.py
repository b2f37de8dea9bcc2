"""Each framework under each server: what viewers get, and what becomes of those who go; `docs/servers.md` shows it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.adapters.frameworks import ask
from tests.adapters.servers import Connection
from tests.servers import clients
from tests.servers.clients import (
    answered,
    epoch_of,
    events,
    events_of,
    go_on,
    ids,
    nobody_is_left,
    old_http,
    opened,
    stop,
    watch,
    without_beats,
)
from tests.servers.conftest import SEND_TIMEOUT
from tests.servers.deploys import deploy
from tests.servers.places import Place, Served
from tests.servers.plays import BIG, WORDS, big_words, many_words
from tests.servers.table import LIMITS, column

pytestmark = pytest.mark.timeout(60)

HALF = len(WORDS) // 2
MARGIN = 16 << 20  # bytes: eight viewers, and what the interpreter keeps; of the log, each would have 19 MiB


@column("whole run")
def test_a_run_is_streamed_whole(up: Served) -> None:
    """I1, I3: who starts a run, who watches it, and who comes later get the same bytes, and end as HTTP wants it."""

    async def scenario() -> None:
        async with up.server.connect() as starter, up.server.connect() as viewer:
            await opened(starter, "/start/words-whole")
            bodies = [await clients.until(starter, b"\ndata: 11: ")]
            await opened(viewer, events("words-whole"))
            bodies.append(await clients.until(viewer, b"\ndata: 11: "))
            assert b"data: 12: " not in bodies[0] + bodies[1]  # it streams: the rest has not been said yet
            await go_on(up, "words-whole")
            whole = b"".join(ids(epoch_of(bodies[0]), WORDS))
            for client, body in zip((starter, viewer), bodies, strict=True):
                assert without_beats(body + await client.rest()) == whole
            await opened(viewer, events("words-whole"))  # on the same connection
            assert without_beats(await viewer.rest()) == whole
            seen = clients.last_id(whole)
            assert (await viewer.get(events("words-whole"), last_id=seen)).startswith(b"HTTP/1.1 204")

    watch(scenario())


@column("every offset")
def test_a_run_is_resumed_at_every_offset(up: Served) -> None:
    """I3: from each id on, live and ended, come exactly the records after it: no gap, no double."""

    async def scenario() -> None:
        epoch = (await answered(up, "/stage/start/words-offsets"))["epoch"]

        async def resumed(stack: AsyncExitStack, seen: str) -> Connection:
            client = await stack.enter_async_context(up.server.connect())
            await opened(client, events("words-offsets"), seen=seen)
            return client

        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(up.server.connect())
            await opened(first, events("words-offsets"))
            await clients.until(first, b"\ndata: 11: ")
            live = [await resumed(stack, f"{epoch}:{offset}") for offset in range(HALF + 1)]
            await go_on(up, "words-offsets")
            for offset, client in enumerate(live):
                assert without_beats(await client.rest()) == b"".join(ids(epoch, WORDS, offset))
        async with up.server.connect() as client:
            for offset in range(len(WORDS) + 1):
                await opened(client, events("words-offsets"), seen=f"{epoch}:{offset}")
                assert without_beats(await client.rest()) == b"".join(ids(epoch, WORDS, offset))
            head = await client.get(events("words-offsets"), last_id=f"{epoch}:{len(WORDS) + 1}")
            assert head.startswith(b"HTTP/1.1 204")
            head = await client.get(events("words-offsets"), last_id=f"{epoch}:{len(WORDS) + 2}")
            assert head.startswith(b"HTTP/1.1 409")

    watch(scenario())


@column("HTTP/1.0")
@pytest.mark.parametrize("keep_alive", [False, True], ids=["", "keep-alive"])
def test_a_client_speaks_an_old_http(place: Place, up: Served, keep_alive: bool) -> None:
    """F: HTTP/1.0 knows no chunks: the bytes come as they are, when they are said, until the connection ends."""

    async def scenario() -> None:
        head, body = await old_http(up, keep_alive=keep_alive)
        if (place.server, "HTTP/1.0") in LIMITS:
            assert b"transfer-encoding: chunked" in head
            body = clients.unchunked(body)
        else:
            assert b"transfer-encoding" not in head
        assert without_beats(body) == b"".join(ids(epoch_of(body), WORDS))
        await nobody_is_left(up)

    watch(scenario())


@column("HEAD, OPTIONS, a slash")
def test_a_client_asks_otherwise(up: Served) -> None:
    """F: HEAD has the head and no body, OPTIONS the methods, and a slash too many leads to the same."""

    async def scenario() -> None:
        epoch = (await answered(up, "/stage/start/silent-asked"))["epoch"]
        path = events("silent-asked")
        async with up.server.connect() as client:
            head = (await client.get(path, method="HEAD")).lower()
            assert head.startswith(b"http/1.1 200")
            assert b"content-type: text/event-stream" in head
            assert b"x-run-id: silent-asked" in head
            await nobody_is_left(up)
            await client.get("/stage/state")  # on the same connection: there was no body
        options = await ask(up.server, path, method="OPTIONS")
        assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
        await go_on(up, "silent-asked")
        slash = await ask(up.server, f"{path}/")
        if slash.status == 307:  # Starlette tells clients to come without it
            assert slash.headers["location"].endswith(path)
            slash = await ask(up.server, path)
        assert without_beats(slash.body) == b"".join(ids(epoch, ["a"]))

    watch(scenario())


@column("leaves in silence")
def test_a_client_leaves_in_silence(up: Served) -> None:
    """L7: a FIN is noticed though nothing is written; the run goes on, and is there for who comes back."""

    async def scenario() -> None:
        async with up.server.connect() as starter, up.server.connect() as viewer:
            await opened(starter, "/start/silent-left")
            await opened(viewer, events("silent-left"))
            body = await clients.until(starter, b"data: a\n\n")
            await clients.until(viewer, b"data: a\n\n")
            for client in (starter, viewer):
                clients.leave(client)
            await nobody_is_left(up)
        assert (await answered(up, "/relay/runs/silent-left"))["status"] == "running"
        await go_on(up, "silent-left")
        async with up.server.connect() as client:
            await opened(client, events("silent-left"), seen=clients.last_id(body))
            assert without_beats(await client.rest()) == b"".join(ids(epoch_of(body), ["a"], 1))

    watch(scenario())


@column("leaves in a burst")
def test_a_client_leaves_in_a_burst(up: Served) -> None:
    """L5, L7: a RST amid writes is noticed, without noise; the run goes on."""

    async def scenario() -> None:
        async with up.server.connect() as starter, up.server.connect() as viewer:
            await opened(starter, "/start/busy-left")
            await opened(viewer, events("busy-left"))
            for client in (starter, viewer):
                for _ in range(20):
                    assert await client.chunk()
                clients.cut(client)
            await nobody_is_left(up)
        async with up.server.connect() as client:
            await opened(client, events("busy-left"))
            assert without_beats(await clients.until(client, b":100\ndata: x"))
            await stop(up, "busy-left")
            assert b"event: end" in await client.rest()

    watch(scenario())


@column("cut in an event")
def test_a_client_is_cut_in_an_event(up: Served) -> None:
    """I3: cut within a frame, by a server that is in the midst of writing it, a viewer resumes whole."""
    cuts = [5, 40, BIG // 2, BIG, BIG + 40, BIG + 70, 2 * BIG + 100, 4 * BIG]

    async def scenario() -> None:
        epoch = (await answered(up, "/stage/start/big-cut"))["epoch"]
        heard = list[bytes]()
        for at in cuts:
            async with up.server.connect(receive_buffer=4096) as client:
                await opened(client, events("big-cut"))
                raw = b""
                while len(without_beats(clients.unchunked(raw))) < at:
                    raw += await client.reader.read(4096)
                heard.append(without_beats(clients.unchunked(raw))[:at])
                clients.cut(client)
        await nobody_is_left(up)
        whole = b"".join(ids(epoch, list(big_words())))
        async with AsyncExitStack() as stack:
            resumed = [await stack.enter_async_context(up.server.connect()) for _ in cuts]
            for client, body in zip(resumed, heard, strict=True):
                await opened(client, events("big-cut"), seen=clients.last_id(body))
            await go_on(up, "big-cut")
            for client, body in zip(resumed, heard, strict=True):
                assert events_of(body) + events_of(await client.rest()) == events_of(whole)

    watch(scenario())


@column("vanishes")
def test_a_client_vanishes(up: Served) -> None:
    """L4, L5: a host that takes no packet any more is dropped at `send_timeout`; the run goes on, and is resumed."""

    async def scenario() -> None:
        epoch = (await answered(up, "/stage/start/flood-lost"))["epoch"]
        whole = b"".join(ids(epoch, list(many_words())))
        async with up.server.connect() as lost, up.server.connect() as reading:
            await opened(lost, events("flood-lost"))
            heard = await clients.until(lost, b"\n\n")
            clients.vanish(lost)
            await opened(reading, events("flood-lost"))
            assert without_beats(await reading.rest()) == whole
            await nobody_is_left(up, within=SEND_TIMEOUT + 5)
            async with up.server.connect() as back:
                await opened(back, events("flood-lost"), seen=clients.last_id(heard))
                assert events_of(heard) + events_of(await back.rest()) == events_of(whole)

    watch(scenario())


@column("never reads")
def test_clients_never_read(up: Served) -> None:
    """L4, L5, L6: they are dropped at `send_timeout`, hold up nobody, and cost no more memory than a few events."""

    async def scenario() -> None:
        def look(state: Any) -> None:
            grown.append(state["memory"] - before)

        before = (await answered(up, "/stage/state"))["memory"]
        grown = list[int]()
        epoch = (await answered(up, "/stage/start/flood-stuck"))["epoch"]
        whole = b"".join(ids(epoch, list(many_words())))
        async with AsyncExitStack() as stack:
            stuck = [await stack.enter_async_context(up.server.connect(receive_buffer=4096)) for _ in range(8)]
            for client in stuck:
                await opened(client, events("flood-stuck"))
            reading = await stack.enter_async_context(up.server.connect())
            await opened(reading, events("flood-stuck"))
            assert without_beats(await reading.rest()) == whole
            await nobody_is_left(up, within=SEND_TIMEOUT + 5, look=look)
            for client in stuck:
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await client.rest()
        look(await answered(up, "/stage/state"))
        assert max(grown) < len(whole) + MARGIN  # the log has it once

    watch(scenario())


@column("SIGTERM, 100 streams")
def test_a_server_is_told_to_stop(place: Place) -> None:
    """L8: 503 for new runs, the grace for live ones, then `lost`; viewers end, and the server exits in silence."""
    watch(deploy(place))
