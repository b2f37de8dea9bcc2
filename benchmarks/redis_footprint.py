"""What a run holds in Redis, and what live runs ask of it while nothing happens."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import process_time
from typing import Any

from benchmarks.measure import TIMES, Table, at_most, rounded
from benchmarks.redis_floor import FRAME
from benchmarks.redis_runs import claimed, written
from benchmarks.redis_server import Server
from sse_relay import Relay
from sse_relay.stores.redis import RedisStore

__all__ = ["IDLE", "Idle", "Size", "calls", "footprint_table", "idle", "idle_table", "size"]

SHAPES = [(1000, 200, (1, 5, 20, 50)), (50, 60, (1, 5))]
_JUDGED = (200, 5)  # bytes of an event, and the least batch
_SENT = {"evalsha", "eval", "ping", "subscribe", "unsubscribe", "psubscribe", "ssubscribe", "xread", "publish", "hello"}


@dataclass(frozen=True, slots=True)
class Size:
    """
    What runs hold, in bytes each.

    Attributes:
        payload: Of their frames.
        used: By how much the server has grown.
        keys: As ``MEMORY USAGE`` tells of all their keys.
    """

    payload: int
    used: float
    keys: float


async def size(server: Server, url: str, runs: int, *, events: int, length: int, batch: int) -> Size:
    """Write live runs."""
    server.empty()
    frame = FRAME[: length - 4] + b'"}\n\n'
    store = RedisStore.from_url(url)
    try:
        await written(store, await claimed(store, 1), frame, 2, 1)  # its scripts and connections are there by now
        server.empty()
        before = server.told("memory")["used_memory"]
        await written(store, await claimed(store, runs), frame, events, batch)
        after = server.told("memory")["used_memory"]
    finally:
        await store.aclose()
    keys: list[bytes] = list(server.client.scan_iter(count=1000))
    pipe = server.client.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=0)
    return Size(events * len(frame), (after - before) / runs, sum(pipe.execute()) / runs)


def footprint_table(runner: asyncio.Runner, server: Server, *, runs: int) -> Table:
    """Measure."""
    table = Table(
        f"Memory of a run in Redis, {runs} of them: over the bytes of its frames ({server.name})",
        ("", "frames, kB", "used_memory, kB", TIMES, "target", "MEMORY USAGE, kB", TIMES),
    )
    for events, length, batches in SHAPES:
        for batch in batches:
            found = runner.run(size(server, server.unix, runs, events=events, length=length, batch=batch))
            used, keys = found.used / found.payload, found.keys / found.payload
            judged = at_most(1.1, used, TIMES) if length == _JUDGED[0] and batch >= _JUDGED[1] else ""
            table.add(
                f"{events:,} events of {length} bytes, in batches of {batch}", rounded(found.payload / 1000, 1),
                rounded(found.used / 1000, 1), rounded(used), judged, rounded(found.keys / 1000, 1), rounded(keys),
            )  # fmt: skip
    return table


@dataclass(frozen=True, slots=True)
class Idle:
    """
    What one silent process asks of Redis.

    Attributes:
        connections: How many it has.
        commands: How many it sends, a second.
        inner: How many calls of the server's commands that makes, with those inside of scripts.
        client: Its CPU time, in ms a second.
        server: That of Redis.
    """

    connections: int
    commands: float
    inner: float
    client: float
    server: float


@asynccontextmanager
async def watching(url: str, relay: Relay, runs: int) -> AsyncIterator[None]:
    """View runs that nobody here produces, each by one task."""
    store = RedisStore.from_url(url)
    try:
        async with _viewed(relay, [grant.run_id for grant in await claimed(store, runs)]):
            await store.aclose()
            yield
    finally:
        await store.aclose()


@asynccontextmanager
async def producing(_url: str, relay: Relay, runs: int) -> AsyncIterator[None]:
    """Produce runs that are silent, and view them."""

    async def source() -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""

    async with _viewed(relay, [(await relay.start(source())).id for _ in range(runs)]):
        yield


@asynccontextmanager
async def _viewed(relay: Relay, ids: list[str]) -> AsyncIterator[None]:
    entered = asyncio.Semaphore(0)

    async def view(run_id: str) -> None:
        async with relay.subscribe(run_id) as events:
            entered.release()
            async for _ in events:
                pass

    viewers = [asyncio.ensure_future(view(run_id)) for run_id in ids]
    for _ in viewers:
        await entered.acquire()
    try:
        yield
    finally:
        for viewer in viewers:
            viewer.cancel()
        await asyncio.wait(viewers)


IDLE = {"watched here, produced elsewhere": watching, "produced and watched here": producing}


async def idle(name: str, server: Server, url: str, runs: int, seconds: float) -> Idle:
    """Hold silent runs for a while."""
    server.empty()
    others = len(server.client.client_list())
    store = RedisStore.from_url(url)
    try:
        async with Relay(store) as relay, IDLE[name](url, relay, runs):
            await asyncio.sleep(1.2 * seconds)  # what the beginning brought is over
            before, used, served = calls(server), process_time(), server.cpu()
            await asyncio.sleep(seconds)
            client, by_server, after = process_time() - used, server.cpu() - served, calls(server)
            connections = len(server.client.client_list()) - others
    finally:
        await store.aclose()
    sent, inner = (now - then for now, then in zip(after, before, strict=True))
    return Idle(connections, sent / seconds, inner / seconds, client * 1000 / seconds, by_server * 1000 / seconds)


def calls(server: Server) -> tuple[int, int]:
    """Count what clients sent, and what all of it called, but for our own questions."""
    stats: dict[str, Any] = dict(server.told("commandstats"))
    calls = {re.sub(r"^cmdstat_|[|].*$", "", name): found["calls"] for name, found in stats.items()}
    return sum(calls.get(name, 0) for name in _SENT), sum(calls.values())


def idle_table(runner: asyncio.Runner, server: Server, *, runs: tuple[int, ...], seconds: float) -> Table:
    """Measure."""
    table = Table(
        f"Live, silent runs, one viewer each, in one process ({server.name})",
        (
            "",
            "connections",
            "target",
            "commands sent a second",
            "target",
            "with those of scripts",
            "CPU, ms a second",
            "of Redis",
        ),
    )
    for name in IDLE:
        for count in runs:
            found = runner.run(idle(name, server, server.unix, count, seconds))
            table.add(
                f"{count:,} {name}", found.connections, at_most(3, found.connections), rounded(found.commands, 1),
                at_most(10, found.commands, "/s"), rounded(found.inner, 0), rounded(found.client, 1),
                rounded(found.server, 1),
            )  # fmt: skip
    return table
