"""
How long one event takes that comes at a model's pace: until it is acknowledged, and until a viewer has it.

Times are those of single events. A source notes when it yields, the store below the relay when it has the answer. What
a thousand sources wait for comes as it does from upstreams, many a turn of the loop (`Pace`): with a timer for each
event, the timers would cost as much as the appends.
"""

import asyncio
import gc
from collections.abc import AsyncGenerator
from functools import partial
from statistics import median
from time import perf_counter, process_time

from benchmarks.latencies import milliseconds
from benchmarks.measure import TIMES, Table, at_most, rounded
from benchmarks.redis_floor import EVENT, FRAME, PACKED, BareLink, bare_publish, command
from benchmarks.redis_runs import Acknowledging
from benchmarks.redis_server import Server
from sse_relay import Relay, ServerSentEvent
from sse_relay.runs.source import RunContext
from sse_relay.stores.redis import RedisStore

__all__ = ["acknowledged", "bare_acknowledged", "pace_table", "seen", "slow_table"]

PACES = {10: 15.0, 20: 60.0}  # events a second of each run: what its p99 may be, in ms
_PAUSE = 0.005
_TICK = 0.001  # seconds: the finest timer that the loop has
BARE, OURS = "a bare script", "Relay"


class Pace:
    """
    Lets each of many have its turn, at a rate, one behind the other.

    Args:
        many: How many there are.
        rate: How many turns each has a second.
    """

    def __init__(self, many: int, rate: float) -> None:
        self._rate = many * rate
        self._due = [0] * many  # turns that came before they were waited for
        self._waiting: list[asyncio.Future[None] | None] = [None] * many
        self._loop = asyncio.get_running_loop()

    def turn(self, number: int) -> asyncio.Future[None]:
        """Wait for the next turn of one."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._due[number]:
            self._due[number] -= 1
            waiter.set_result(None)
        else:
            self._waiting[number] = waiter
        return waiter

    async def run(self, turns: int) -> None:
        """Give each so many turns."""
        count, given, start = turns * len(self._due), 0, perf_counter()
        while given < count:
            due = min(int((perf_counter() - start) * self._rate) + 1, count)
            for number in range(given, due):
                place = number % len(self._due)
                waiter, self._waiting[place] = self._waiting[place], None
                if waiter is None:
                    self._due[place] += 1
                else:
                    waiter.set_result(None)
            given = due
            await asyncio.sleep(_TICK)


async def seen(url: str, count: int) -> list[float]:
    """View one slow run in the process that produces it; tell how long each event took from its yield."""
    yielded: list[float] = []
    ready = asyncio.Event()

    async def source() -> AsyncGenerator[ServerSentEvent, None]:
        await ready.wait()
        for _ in range(count):
            await asyncio.sleep(_PAUSE)
            yielded.append(perf_counter())
            yield EVENT

    store = RedisStore.from_url(url)
    try:
        async with Relay(store) as relay:
            run = await relay.start(source())
            async with relay.subscribe(run.id) as events:
                ready.set()
                seen_at = [perf_counter() async for event in events if event.outcome is None]
    finally:
        await store.aclose()
    return [after - before for before, after in zip(yielded, seen_at, strict=True)]


async def acknowledged(_server: Server, url: str, runs: int, rate: float, seconds: float) -> tuple[list[float], float]:
    """Produce runs at a pace; tell how long each event took until acknowledged, and the CPU time of an event in μs."""
    count = max(int(rate * seconds), 1)
    store = Acknowledging.from_url(url)
    store.expect(runs * count)
    pace = Pace(runs, rate)

    def source(number: int, context: RunContext) -> AsyncGenerator[ServerSentEvent, None]:
        yielded = store.yielded[context.run_id] = []

        async def events() -> AsyncGenerator[ServerSentEvent, None]:
            for _ in range(count):
                await pace.turn(number)
                yielded.append(perf_counter())
                yield EVENT
            await store.done.wait()  # nor is what it takes to end a thousand runs at once

        return events()

    try:
        async with Relay(store) as relay:
            for number in range(runs):
                await relay.start(partial(source, number))
            gc.collect()  # what starting them has left behind is not measured
            used = process_time()
            await asyncio.gather(pace.run(count), store.done.wait())
            return store.seconds, (process_time() - used) * 1e6 / len(store.seconds)
    finally:
        await store.aclose()


async def bare_acknowledged(
    server: Server, url: str, runs: int, rate: float, seconds: float
) -> tuple[list[float], float]:
    """Do the same with a task a run that sends a packed script on a bare connection."""
    found: list[float] = []
    sha = str(server.client.script_load(PACKED)).encode()
    link = await BareLink.to(url)
    pace, count = Pace(runs, rate), max(int(rate * seconds), 1)

    async def write(number: int) -> None:
        sent = command(b"EVALSHA", sha, b"2", b"log:%d" % number, b"wakes", FRAME)
        for _ in range(count):
            await pace.turn(number)
            begun = perf_counter()
            await link.ask(sent)
            found.append(perf_counter() - begun)

    used = process_time()
    try:
        await asyncio.gather(pace.run(count), *[write(number) for number in range(runs)])
    finally:
        link.close()
    return found, (process_time() - used) * 1e6 / len(found)


CASES = {BARE: bare_acknowledged, OURS: acknowledged}


def slow_table(runner: asyncio.Runner, server: Server, *, count: int, rounds: int) -> Table:
    """Measure one slow run beside a bare PUBLISH, and beside the least script that also keeps what it publishes."""
    table = Table(
        f"One slow run: μs from yield to viewer ({server.name})",
        ("", "a bare PUBLISH, p50", "p99", "a bare script, p50", "p99", "Relay, p50", "p99", f"p50 {TIMES}", "target"),
    )
    sha = str(server.client.script_load(PACKED)).encode()
    for name, url in (("Unix socket", server.unix), ("loopback TCP", server.tcp)):
        bare: list[tuple[float, float]] = []
        kept: list[tuple[float, float]] = []
        ours: list[tuple[float, float]] = []
        for _ in range(rounds):
            bare.append(milliseconds(runner.run(bare_publish(url, count, _PAUSE))))
            kept.append(milliseconds(runner.run(bare_publish(url, count, _PAUSE, sha))))
            ours.append(milliseconds(runner.run(seen(url, count))))
        ratio = median(mine[0] / its[0] for mine, its in zip(ours, bare, strict=True))
        cells = [rounded(1000 * median(part), 0) for found in (bare, kept, ours) for part in zip(*found, strict=True)]
        table.add(name, *cells, rounded(ratio), at_most(2, ratio, TIMES))
    return table


def pace_table(runner: asyncio.Runner, server: Server, *, runs: int, seconds: float, rounds: int) -> Table:
    """Measure many runs at a pace, beside the bare script in turns."""
    table = Table(
        f"{runs:,} runs at a pace, Unix socket: ms from yield to acknowledged ({server.name})",
        ("", "p50", "p99", "target", "μs of CPU an event"),
    )
    for rate, limit in PACES.items():
        found: dict[str, list[tuple[float, float, float]]] = {BARE: [], OURS: []}
        for _ in range(rounds):
            for name, figures in found.items():
                server.empty()
                times, cpu = runner.run(CASES[name](server, server.unix, runs, rate, seconds))
                figures.append((*milliseconds(times), cpu))
        for name, figures in found.items():
            p50, p99, cpu = (median(part) for part in zip(*figures, strict=True))
            verdict = at_most(limit, p99, " ms") if name == OURS else ""
            table.add(f"{rate} events/s each, {name}", rounded(p50), rounded(p99), verdict, rounded(cpu, 1))
    return table
