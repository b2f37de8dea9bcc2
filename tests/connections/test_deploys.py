"""Deploys: servers in processes of their own are told to stop while streams are live."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sse_relay import EventDecoder
from tests.adapters.servers import Connection, Uvicorn

ROOT = Path(__file__).parents[2]
GRACE = 2.0
SERVERS = {
    "uvicorn": ["-m", "uvicorn", "tests.connections.deployed:app", "--port", "{port}"],
    "hypercorn": ["-m", "hypercorn", "-w", "0", "tests.connections.deployed:app", "--bind", "127.0.0.1:{port}"],
    "granian": ["-m", "granian", "--interface", "asgi", "tests.connections.deployed:app", "--port", "{port}"],
}
OTHERS = os.environ.get("SSE_RELAY_SERVERS_PYTHON", sys.executable)  # where hypercorn and granian are installed


class Deployed:
    """A server in a process of its own, and how to reach it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.server = Uvicorn(port)

    async def until_up(self) -> None:
        """Wait until it answers."""
        while True:
            assert self.process.returncode is None, "the server did not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def rest(client: Connection, head: bytes) -> bytes:
    """Read a body, in chunks or not."""
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return await client.reader.readexactly(int(size[1])) if size else await client.rest()


async def refused(clients: Iterable[Connection]) -> bytes:
    """Ask for new runs until there are none any more, each time on a connection that is there; tell the answer."""
    for number, client in enumerate(clients):
        head = await client.get(f"/start/brief-new-{number}")
        if not head.startswith(b"HTTP/1.1 200"):
            return head + await rest(client, head)
        await asyncio.sleep(0.05)
    raise AssertionError("new runs were not refused")


@asynccontextmanager
async def deployed(python: str, server: str, *options: str) -> AsyncGenerator[Deployed]:
    """Start a server; kill it in the end, should it be there still."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [argument.format(port=port) for argument in SERVERS[server]]
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    process = await asyncio.create_subprocess_exec(
        python, *arguments, *options, env={**os.environ, "PYTHONPATH": path, "GRACE": str(GRACE)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield Deployed(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def first(client: Connection, path: str) -> None:
    """Ask for a stream, and read its first event."""
    assert (await client.get(path)).startswith(b"HTTP/1.1 200")
    seen = b""
    while b"data: a\n\n" not in seen:
        seen += await client.chunk()


async def deploy(python: str, server: str, *options: str) -> None:
    """Tell a server with 20 live streams to stop, and look at how each of them ends."""
    loop = asyncio.get_running_loop()
    async with deployed(python, server, *options) as up, AsyncExitStack() as stack:
        await up.until_up()
        for number in range(3):
            async with up.server.connect() as client:
                await first(client, f"/start/elsewhere-{number}")
        paths = [f"/start/brief-{number}" for number in range(8)] + [f"/start/long-{number}" for number in range(8)]
        paths += [*[f"/runs/elsewhere-{number}/events" for number in range(3)], "/foreground"]
        clients = [await stack.enter_async_context(up.server.connect()) for _ in paths]
        await asyncio.gather(*[first(client, path) for client, path in zip(clients, paths, strict=True)])
        spare = [await stack.enter_async_context(up.server.connect()) for _ in range(20)]
        for client in spare:  # servers may take no new connections later
            await rest(client, await client.get("/nothing"))

        up.process.send_signal(signal.SIGTERM)
        told = loop.time()
        answer = await refused(spare[1:])
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"application/problem+json" in answer
        assert b'"code":"draining"' in answer
        await spare[0].get("/finish")
        bodies = await asyncio.gather(*[client.rest() for client in clients])
        said, _ = await up.process.communicate()
        took = loop.time() - told

    ends = [json.loads(events[-1].data or "") for events in map(EventDecoder().feed, bodies[:16]) if events]
    assert [end["status"] for end in ends] == ["completed"] * 8 + ["lost"] * 8
    assert {end["reason"] for end in ends[8:]} == {"shutdown"}
    retries = [re.fullmatch(rb"retry: (\d+)\n", body[-len(b"retry: 1000\n") :]) for body in bodies[16:19]]
    assert all(retry is not None and 1000 <= int(retry[1]) <= 3000 for retry in retries)
    assert not any(b"event: end" in body for body in bodies[16:19])
    assert b'"status":"cancelled","reason":"shutdown"' in bodies[19]
    assert b"Traceback" not in said, said.decode()
    assert GRACE - 0.6 < took < GRACE + 1, said.decode()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_uvicorn_is_told_to_stop(loop: str) -> None:
    """L8: 503 for new runs, the grace for live ones, then `lost`; viewers end, and uvicorn exits in silence."""
    asyncio.run(asyncio.wait_for(deploy(sys.executable, "uvicorn", "--loop", loop), 50))


@pytest.mark.evidence
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("server", "options"),
    [("hypercorn", []), ("hypercorn", ["-k", "uvloop"]), ("granian", ["--loop", "asyncio"])],
    ids=["hypercorn", "hypercorn on uvloop", "granian"],
)
def test_another_server_is_told_to_stop(server: str, options: list[str]) -> None:
    """L8: the same by servers that hear of signals from their event loop."""
    if subprocess.run([OTHERS, "-c", f"import {server}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{server} is not installed where SSE_RELAY_SERVERS_PYTHON points to")
    asyncio.run(asyncio.wait_for(deploy(OTHERS, server, *options), 50))
