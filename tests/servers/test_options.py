"""Servers with other options than the table's: what holds as well, and what they do not let hold."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.adapters.servers import Connection
from tests.servers.clients import (
    answered,
    epoch_of,
    events,
    ids,
    old_http,
    opened,
    until,
    watch,
    without_beats,
)
from tests.servers.deploys import GRACE, deploy
from tests.servers.places import Place, Served, served
from tests.servers.plays import WORDS

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "place",
    [
        Place("uvicorn", "bare", more=("--loop", "asyncio", "--http", "h11")),
        *[
            pytest.param(Place(server, "bare", pinned=True, more=more), marks=pytest.mark.evidence)
            for server, more in [
                ("hypercorn", ("--worker-class", "uvloop")),
                ("granian", ("--loop", "asyncio")),
                ("granian", ("--runtime-mode", "mt")),
            ]
        ],
    ],
    ids=str,
)
def test_another_loop_or_parser_is_told_to_stop(place: Place) -> None:
    """L8: on its other event loop, and by its other parser, it does what the table says."""
    watch(deploy(place))


@pytest.mark.parametrize("keep_alive", [False, True], ids=["", "keep-alive"])
def test_a_client_speaks_an_old_http_to_h11(keep_alive: bool) -> None:
    """F: uvicorn's other parser knows that HTTP/1.0 has no chunks."""

    async def scenario() -> None:
        with served(Place("uvicorn", "bare", more=("--http", "h11"))) as up:
            head, body = await old_http(up, keep_alive=keep_alive)
        assert b"transfer-encoding" not in head
        assert without_beats(body) == b"".join(ids(epoch_of(body), WORDS))

    watch(scenario())


@asynccontextmanager
async def two_viewers(up: Served) -> AsyncGenerator[list[Connection]]:
    """View a run of the relay that is drained, and one of another process."""
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(up.server.connect()) for _ in range(2)]
        await answered(up, "/stage/elsewhere/silent-2")
        for client, path in zip(viewers, ("/start/silent-1", events("silent-2")), strict=True):
            await opened(client, path)
            await until(client, b"data: a\n\n")
        yield viewers


@pytest.mark.evidence
def test_hypercorn_tells_its_workers_nothing() -> None:
    """A limit: with worker processes hypercorn waits for its graceful timeout of 3 seconds, and cuts the streams."""

    async def scenario() -> None:
        with served(Place("hypercorn", "bare", pinned=True, more=("--workers", "1")), GRACE=GRACE) as up:
            async with two_viewers(up) as viewers:
                stopping = asyncio.create_task(asyncio.to_thread(up.stop))
                for client in viewers:
                    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                        await client.rest()
                assert await stopping > 3

    watch(scenario())
