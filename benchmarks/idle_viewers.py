"""
What an idle HTTP viewer holds in its server's memory.

``python -m benchmarks.idle_viewers NAME FD TRACED`` serves, on a socket that is open already, streams that send one
comment and then nothing: of an application that only waits for its client to leave, or of one silent run.
"""

import asyncio
import gc
import os
import resource
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median

from benchmarks.client import Address, read_body, request
from benchmarks.measure import Table, at_most, rounded
from benchmarks.servers import BARE, App, Message, Receive, Send
from sse_relay import Relay
from sse_relay.adapters.asgi import EventStreamResponse

__all__ = ["OURS", "held", "idle_table"]

OURS = "Relay, EventStreamResponse(subscription)"
TARGET = 4.0
WARM_UP = 20
_STATM = Path("/proc/self/statm")
_SPARE = 100  # descriptors for what is no connection


def idle_table(*, viewers: int, rounds: int) -> Table:
    """Measure, each figure in a process that has served nothing before."""
    _allow(viewers)
    cases = [(name, traced) for name in (BARE, OURS) for traced in (False, True)]
    found: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}
    for turn in range(rounds):
        for name, traced in cases if turn % 2 == 0 else reversed(cases):
            found[name, traced].append(held(name, viewers, traced=traced))
    table = Table(
        f"{viewers:,} idle viewers over uvicorn: kB each",
        ("", "resident memory", "over bare", "target", "allocated by Python", "over bare"),
    )
    for name in (BARE, OURS):
        cells: list[object] = []
        for traced in (False, True):
            size = median(found[name, traced])
            over = size - median(found[BARE, traced])
            cells += [rounded(size, 1), "" if name == BARE else f"{over:+.1f}"]
            if not traced:
                cells.append("" if name == BARE else at_most(TARGET, over, " kB"))
        table.add(name, *cells)
    return table


def held(name: str, viewers: int, *, traced: bool) -> float:
    """Connect so many viewers, and tell by how much the server has grown, in kB each."""
    with _serve(name, viewers, traced=traced) as address:
        with ExitStack() as stack:
            _connect(stack, address, WARM_UP)
        _until(address, 0)
        before = int(read_body(address, "/memory"))
        with ExitStack() as stack:
            _connect(stack, address, viewers)
            _until(address, viewers)
            after = int(read_body(address, "/memory"))
    return (after - before) / viewers / 1000


def _connect(stack: ExitStack, address: Address, viewers: int) -> None:
    """Connect viewers, until each has got its first byte of the stream."""
    for _ in range(viewers):
        connection = stack.enter_context(socket.create_connection(address, timeout=60))
        connection.sendall(request("/"))
        head = b""
        while not head.partition(b"\r\n\r\n")[2]:
            if not (part := connection.recv(1 << 12)):
                raise AssertionError(head)
            head += part


def _until(address: Address, viewers: int) -> None:
    """Wait until the server has exactly so many viewers."""
    while int(read_body(address, "/viewers")) != viewers:
        pass


@contextmanager
def _serve(name: str, viewers: int, *, traced: bool) -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0), backlog=max(128, viewers)) as listening:
        address, number = listening.getsockname(), listening.fileno()
        command = [sys.executable, "-m", "benchmarks.idle_viewers", name, str(number), str(viewers), str(int(traced))]
        process = subprocess.Popen(command, pass_fds=[number])
    try:  # with the socket closed here, nobody waits for a server that has failed
        yield address
    finally:
        process.kill()  # it has nothing to finish
        process.wait()


async def _bare(scope: Message, receive: Receive, send: Send) -> None:
    """Send a comment, and wait for the client to leave: the least that a viewer holds."""
    del scope
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


def _viewing(relay: Relay, run_id: str) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await EventStreamResponse(relay.subscribe(run_id))(scope, receive, send)

    return app


def _counted(app: App) -> App:
    """Answer ``GET /memory`` with the bytes that this process holds, and ``GET /viewers`` with how many view."""
    viewers = 0

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal viewers
        if scope["path"] == "/":
            viewers += 1
            try:
                await app(scope, receive, send)
            finally:
                viewers -= 1
            return
        body = str(viewers if scope["path"] == "/viewers" else _memory()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    return wrapped


def _memory() -> int:
    """Tell what Python has allocated, if that is traced; else the process's resident memory, or at least its peak."""
    gc.collect()
    if tracemalloc.is_tracing():
        return tracemalloc.get_traced_memory()[0]
    if _STATM.exists():
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _allow(viewers: int) -> None:
    """Allow this process a descriptor for each viewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < viewers + _SPARE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (viewers + _SPARE, hard))


async def _silent() -> AsyncGenerator[str, None]:
    await asyncio.Event().wait()
    yield ""


async def _main(name: str, number: int) -> None:
    uvicorn = import_module("uvicorn")
    async with Relay() as relay:
        app = _bare if name == BARE else _viewing(relay, (await relay.start(_silent())).id)
        config = uvicorn.Config(_counted(app), loop="asyncio", http="h11", lifespan="off", log_level="error")
        await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=number)])


if __name__ == "__main__":
    _allow(int(sys.argv[3]))
    if int(sys.argv[4]):
        tracemalloc.start()
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
