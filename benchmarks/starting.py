"""How long it takes from `start` until a viewer has the first event."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from statistics import median
from time import perf_counter_ns, process_time_ns

from benchmarks.fixtures import TEXT
from benchmarks.measure import Table, at_most, interleave, rounded
from sse_relay import Relay, ServerSentEvent

__all__ = ["often", "relayed", "start_table"]

EVENT = ServerSentEvent(TEXT, event="text")
BARE = "a task and a queue"
OURS = "Relay: start, subscribe, first event"
TARGET = 150.0

Clock = Callable[[], int]


async def source(rest: asyncio.Event) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield one event, then wait until the measurement is over."""
    yield EVENT
    await rest.wait()


async def queued(clock: Clock) -> int:
    """Start a task that fills a queue, and get the first event out of it."""
    rest = asyncio.Event()
    start = clock()
    queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()

    async def fill() -> None:
        async for event in source(rest):
            queue.put_nowait(event)

    task = asyncio.create_task(fill())
    await queue.get()
    cost = clock() - start
    rest.set()
    await task
    return cost


async def relayed(relay: Relay, clock: Clock) -> int:
    """Start a run, subscribe, and get the first event."""
    rest = asyncio.Event()
    start = clock()
    run = await relay.start(source(rest))
    async with relay.subscribe(run.id) as events:
        await anext(events)
        cost = clock() - start
        rest.set()
        async for _ in events:
            pass
    return cost


async def started(relay: Relay, clock: Clock) -> int:
    """Start a run."""
    rest = asyncio.Event()
    start = clock()
    run = await relay.start(source(rest))
    cost = clock() - start
    rest.set()
    await relay.wait(run.id)
    return cost


def start_table(runner: asyncio.Runner, *, count: int, rounds: int) -> Table:
    """Measure."""
    relay = runner.run(Relay().__aenter__())
    ways: dict[str, Callable[[Clock], Awaitable[int]]] = {
        BARE: queued,
        "Relay: start alone": lambda clock: started(relay, clock),
        OURS: lambda clock: relayed(relay, clock),
    }
    cases = {
        f"{name} {unit}": _case(runner, way, clock, count)
        for name, way in ways.items()
        for unit, clock in (("CPU", process_time_ns), ("wall clock", perf_counter_ns))
    }
    try:
        samples = interleave(cases, rounds)
    finally:
        runner.run(relay.drain(0))
    table = Table(
        "Until the first event: μs, medians", ("", "CPU", "over bare", "target", "wall clock", "over bare", "target")
    )
    for name in ways:
        cells: list[object] = []
        for unit in ("CPU", "wall clock"):
            cost, extra = samples.median(f"{name} {unit}"), samples.extra(f"{name} {unit}", f"{BARE} {unit}")
            cells += [rounded(cost, 1), "" if name == BARE else f"{extra:+.1f}"]
            cells.append(at_most(TARGET, cost, " μs") if name == OURS else "")
        table.add(name, *cells)
    return table


def _case(
    runner: asyncio.Runner, way: Callable[[Clock], Awaitable[int]], clock: Clock, count: int
) -> Callable[[], float]:
    return lambda: runner.run(often(way, clock, count))


async def often(way: Callable[[Clock], Awaitable[int]], clock: Clock, count: int) -> float:
    """Tell the median of many times, in microseconds."""
    return median([await way(clock) for _ in range(count)]) / 1000
