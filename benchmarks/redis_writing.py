"""
How many events a second one process writes, acknowledged, while 100 runs are as fast as they may.

Beside it: what the server takes from a bare socket, and the writer that is usual, with a pipeline a task.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from time import perf_counter
from typing import Any

from redis.asyncio import Redis

from benchmarks.measure import TIMES, Samples, Table, at_least, interleave, rounded
from benchmarks.redis_floor import EVENT, FRAME, PACKED, command, connect, pipelined
from benchmarks.redis_runs import Acknowledging, claimed, written
from benchmarks.redis_server import Server
from sse_relay import Relay, ServerSentEvent
from sse_relay.stores.redis import RedisStore

__all__ = ["BATCHES", "CASES", "OURS", "USUAL", "once", "writing_table"]

BATCHES = (1, 5, 20, 50)
RUNS = 100
TOGETHER = 50  # what the usual writer pipelines
XADD = "a bare socket, XADD"
USUAL = "redis-py, 50 XADD and EXPIRE a pipeline"
SUSPENDING = "Relay.start, the source suspends"
OURS = "Relay.start"

Case = Callable[[Server, str, int], Awaitable[float]]
"""Writes about so many events by a URL, and tells the microseconds of one."""


async def bare_xadd(_server: Server, url: str, count: int) -> float:
    """Pipeline an XADD for each event."""
    words = [command(b"XADD", b"log:%d" % run, b"*", b"b", FRAME) for run in range(RUNS)]
    return _bare(url, words * (count // RUNS), 2, count // RUNS * RUNS)


async def bare_script(batch: int, server: Server, url: str, count: int) -> float:
    """Pipeline a script for each batch."""
    sha: Any = server.client.script_load(PACKED)
    packed = FRAME * batch
    words = [command(b"EVALSHA", sha.encode(), b"2", b"log:%d" % run, b"wakes", packed) for run in range(RUNS)]
    turns = max(count // RUNS // batch, 1)
    return _bare(url, words * turns, 1, RUNS * turns * batch)


def _bare(url: str, commands: Sequence[bytes], lines: int, events: int) -> float:
    with closing(connect(url)) as sock:
        begun = perf_counter()
        pipelined(sock, commands, lines)
        return (perf_counter() - begun) * 1e6 / events


async def usual(_server: Server, url: str, count: int) -> float:
    """Give each of 100 tasks a pipeline of 50 XADD and an EXPIRE, again and again."""
    turns = max(count // RUNS // TOGETHER, 1)
    client: Redis = Redis.from_url(url)

    async def write(log: str) -> None:
        for _ in range(turns):
            async with client.pipeline(transaction=False) as pipe:
                for _ in range(TOGETHER):
                    pipe.xadd(log, {"b": FRAME})
                pipe.expire(log, 3600)
                await pipe.execute()

    async with client:
        await asyncio.gather(*[client.ping() for _ in range(RUNS)])  # its pool's connections are there by now
        begun = perf_counter()
        await asyncio.gather(*[write(f"log:{run}") for run in range(RUNS)])
        return (perf_counter() - begun) * 1e6 / (turns * TOGETHER * RUNS)


async def appended(batch: int, _server: Server, url: str, count: int) -> float:
    """Append to 100 runs, one batch at a time each."""
    each = max(count // RUNS // batch, 1) * batch
    store = RedisStore.from_url(url)
    try:
        grants = await claimed(store, RUNS)
        begun = perf_counter()
        await written(store, grants, FRAME, each, batch)
        return (perf_counter() - begun) * 1e6 / (each * RUNS)
    finally:
        await store.aclose()


async def relayed(_server: Server, url: str, count: int, *, suspends: bool = False) -> float:
    """Run 100 sources; the clock starts when all of them may begin, and stops when all is acknowledged."""
    gate = asyncio.Event()
    begun: list[float] = []

    async def source() -> AsyncGenerator[ServerSentEvent, None]:
        await gate.wait()
        for _ in range(count // RUNS):
            if suspends:
                await asyncio.sleep(0)
            yield EVENT

    store = Acknowledging.from_url(url)
    try:
        async with Relay(store) as relay:
            store.expect(count // RUNS * RUNS)
            for _ in range(RUNS):
                await relay.start(source())
            begun.append(perf_counter())
            gate.set()
            await store.done.wait()
            return (perf_counter() - begun[0]) * 1e6 / (count // RUNS * RUNS)
    finally:
        await store.aclose()


CASES: dict[str, Case] = {
    XADD: bare_xadd,
    **{f"a bare socket, a script with {batch}": partial(bare_script, batch) for batch in BATCHES},
    USUAL: usual,
    **{f"store.append with {batch}": partial(appended, batch) for batch in BATCHES},
    SUSPENDING: partial(relayed, suspends=True),
    OURS: relayed,
}


def writing_table(runner: asyncio.Runner, server: Server, *, events: int, rounds: int) -> Table:
    """Measure."""
    table = Table(
        f"From yield to acknowledged, 100 fast runs: events a second ({server.name})",
        ("", "Unix socket", f"{TIMES} redis-py", "target", "loopback TCP", f"{TIMES} redis-py"),
    )
    found: list[Samples] = []
    for url in (server.unix, server.tcp):
        cases = {name: _case(runner, case, server, url, _fair(name, events)) for name, case in CASES.items()}
        found.append(interleave(cases, rounds))
    for name in CASES:
        cells: list[object] = []
        for samples in found:
            rate, ratio = 1e6 / samples.median(name), samples.ratio(USUAL, name)
            cells += [rounded(rate, 0), rounded(ratio)]
            if samples is found[0]:
                cells.append(_judged(rate, ratio) if name == OURS else "")
        table.add(name, *cells)
    return table


def _judged(rate: float, ratio: float) -> object:
    fast, faster = at_least(200_000, rate, "/s"), at_least(2.5, ratio, TIMES)
    return type(fast)(f"{fast.target}, {faster.target}", fast.met and faster.met)


def _fair(name: str, events: int) -> int:
    """Write fewer where each event is a call: so that all cases take about as long."""
    return max(events // 5, 1) if name.endswith("with 1") or name in {USUAL, SUSPENDING} else events


def _case(runner: asyncio.Runner, case: Case, server: Server, url: str, count: int) -> Callable[[], float]:
    def run() -> float:
        server.empty()
        return runner.run(once(case, server, url, count))

    return run


async def once(case: Case, server: Server, url: str, count: int) -> float:
    """Write once, and tell the microseconds of an event."""
    return await case(server, url, count)
