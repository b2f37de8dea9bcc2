"""A server is told to stop while a hundred streams are live."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from tests.adapters.servers import Connection
from tests.servers.clients import events_of, opened, until
from tests.servers.places import Place, Served, served

GRACE = 2.0
_BRIEF, _LONG, _ELSEWHERE = 40, 40, 19


async def rest(client: Connection, head: bytes) -> bytes:
    """Read a body, in chunks or not."""
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return await client.reader.readexactly(int(size[1])) if size else await client.rest()


@asynccontextmanager
async def spare(up: Served) -> AsyncGenerator[list[Connection]]:
    """Open connections that have been used: servers may take no new ones later."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(up.server.connect()) for _ in range(20)]
        for client in connections:
            await rest(client, await client.get("/stage/state"))
        yield connections


async def refused(clients: Iterable[Connection]) -> tuple[bytes, bytes]:
    """Ask for new runs until there are none any more, each time on a connection that is there; tell the answer."""
    for number, client in enumerate(clients):
        head = await client.get(f"/start/silent-new-{number}")
        if not head.startswith(b"HTTP/1.1 200"):
            return head, await rest(client, head)
        await asyncio.sleep(0.05)
    raise AssertionError("new runs were not refused")


async def deploy(place: Place) -> None:
    """Tell a server with 100 live streams to stop, and look at how each of them ends."""
    with served(place, GRACE=GRACE) as up:
        async with AsyncExitStack() as stack:

            async def connected() -> Connection:
                return await stack.enter_async_context(up.server.connect())

            brief = [f"silent-brief-{number}" for number in range(_BRIEF)]
            paths = [f"/start/{name}" for name in brief] + [f"/start/silent-long-{number}" for number in range(_LONG)]
            for number in range(_ELSEWHERE):  # runs of another process, as far as this relay knows
                client = await connected()
                await rest(client, await client.get(f"/stage/elsewhere/silent-elsewhere-{number}"))
                paths.append(f"/relay/runs/silent-elsewhere-{number}/events")
            paths.append("/stage/foreground")
            assert len(paths) == 100
            streams = [await connected() for _ in paths]

            async def first(client: Connection, path: str) -> None:
                await opened(client, path)
                await until(client, b"data: a\n\n")

            await asyncio.gather(*[first(client, path) for client, path in zip(streams, paths, strict=True)])
            director, *others = await stack.enter_async_context(spare(up))

            stopping = asyncio.create_task(asyncio.to_thread(up.stop))
            head, body = await refused(others)
            assert head.startswith(b"HTTP/1.1 503"), head
            assert json.loads(body)["code"] == "draining"
            await director.get(f"/stage/go/{'/'.join(brief)}")
            bodies = await asyncio.gather(*[client.rest() for client in streams])
            took = await stopping

        ends = [json.loads(events_of(body)[-1].data or "") for body in bodies[: _BRIEF + _LONG]]
        assert [end["status"] for end in ends] == ["completed"] * _BRIEF + ["lost"] * _LONG
        assert {end["reason"] for end in ends[_BRIEF:]} == {"shutdown"}
        elsewhere, foreground = bodies[_BRIEF + _LONG : -1], bodies[-1]
        retries = [int(found[1]) for body in elsewhere if (found := re.search(rb"(?:^|\n)retry: (\d+)\n$", body))]
        assert len(retries) == _ELSEWHERE  # a clean end that asks to come back
        assert all(1000 <= retry <= 3000 for retry in retries)
        assert len(set(retries)) > _ELSEWHERE // 2  # not all at once
        assert not any(b"event: end" in body for body in elsewhere)
        assert b'"status":"cancelled","reason":"shutdown"' in foreground
        assert "Traceback" not in up.log, up.log
        assert GRACE - 0.6 < took < GRACE + 1, f"{took} seconds\n{up.log}"
        assert up.process.returncode in {0, -15}
