"""
The same job at the edge: a response sends a source's events to a `send` that does nothing.

So there is no server and no socket, but all that a response does for each event: read, encode, watch the time, send.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import process_time_ns

from benchmarks.measure import Samples, Table, interleave, rounded
from benchmarks.servers import APPS, BARE, App, Message, Send, Streams, bursts, installed, ready, suspending

__all__ = ["drive", "edge_table"]

SOURCES = {"suspends": suspending, "bursts of 20": bursts, "ready": ready}


def edge_table(runner: asyncio.Runner, *, count: int, rounds: int) -> Table:
    """Measure."""
    found: dict[str, Samples] = {}
    names = installed()
    for kind, source in SOURCES.items():
        streams: Streams = {"/": partial(source, count)}
        found[kind] = interleave({name: _case(runner, APPS[name](streams), count) for name in names}, rounds)
    columns = [column for kind in SOURCES for column in (kind, "over bare")]
    table = Table("A response without a server: μs an event", ("the source:", *columns))
    for name in names:
        cells: list[str] = []
        for samples in found.values():
            cells += [rounded(samples.median(name)), "" if name == BARE else f"{samples.extra(name, BARE):+.2f}"]
        table.add(name, *cells)
    return table


async def drive(app: App, send: Send) -> None:
    """Let an application answer one request for ``/``, of a client that stays."""
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return requests.pop() if requests else await asyncio.get_running_loop().create_future()

    await app(_scope(), receive, send)


def _case(runner: asyncio.Runner, app: App, count: int) -> Callable[[], float]:
    async def answer() -> float:
        sent = 0

        async def send(message: Message) -> None:
            nonlocal sent
            sent += message.get("body", b"").count(b"data: ")

        start = process_time_ns()
        await drive(app, send)
        cost = process_time_ns() - start
        if not count <= sent <= count + 1:  # our own `end` is one more
            raise AssertionError(sent)
        return cost / count / 1000

    return lambda: runner.run(answer())


def _scope() -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
