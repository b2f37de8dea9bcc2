"""
What one delivery costs: one producer, many viewers in the same process.

Three sources, for what costs is to wake a viewer, not to hand it an event: one suspends before each event, one sends 20
at once, and one waits until every viewer has the event before, as a model does that is slower than we are. There each
delivery is a wake-up of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from time import process_time_ns

from benchmarks.fixtures import TEXT
from benchmarks.measure import Samples, Table, at_most, interleave, rounded
from sse_relay import Relay, ServerSentEvent

__all__ = ["CASES", "PACED", "SOURCES", "Audience", "fan_out_table", "paced", "view"]

EVENT = ServerSentEvent(TEXT, event="text")
BURST = 20
FUTURES = "a log, a future for each viewer"
OURS = "Relay, a subscription for each viewer"
PACED = "a model's pace"
TARGET = 1.5


class Audience:
    """
    Viewers who count what they get, so that a source can wait for them.

    Attributes:
        viewers: How many they are.
        got: How many deliveries there were.
        due: Which of them somebody waits for.
    """

    def __init__(self, viewers: int) -> None:
        self.viewers = viewers
        self.got = 0
        self.due = -1
        self.started = asyncio.Event()
        self._missing = viewers
        self._seated = asyncio.Event()
        self._reached = asyncio.Event()

    def enter(self) -> None:
        """Take a seat: from now on this viewer misses nothing."""
        self._missing -= 1
        if not self._missing:
            self._seated.set()

    async def begin(self) -> int:
        """Let the source begin once all are there; tell the CPU time by then."""
        await self._seated.wait()
        await asyncio.sleep(0)
        self.started.set()
        return process_time_ns()

    async def have(self, count: int) -> None:
        """Wait until everyone has got so many events."""
        self.due = count * self.viewers
        if self.got < self.due:
            self._reached.clear()
            await self._reached.wait()

    def reached(self) -> None:
        """Let the source go on."""
        self._reached.set()


Source = Callable[[int, Audience], AsyncGenerator[ServerSentEvent, None]]


async def suspending(count: int, audience: Audience) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield events, each after a turn of the loop."""
    await audience.started.wait()
    for _ in range(count):
        await asyncio.sleep(0)
        yield EVENT


async def bursts(count: int, audience: Audience) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield events, 20 after each turn of the loop."""
    await audience.started.wait()
    for index in range(count):
        if index % BURST == 0:
            await asyncio.sleep(0)
        yield EVENT


async def paced(count: int, audience: Audience) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield events, each once every viewer has the one before."""
    await audience.started.wait()
    for index in range(count):
        await audience.have(index)
        yield EVENT


SOURCES: dict[str, Source] = {"suspends": suspending, "bursts of 20": bursts, PACED: paced}


async def futures(source: AsyncIterator[ServerSentEvent], audience: Audience) -> int:
    """Keep a list, and a future for each viewer that has come to its end: the least that asyncio costs."""
    loop = asyncio.get_running_loop()
    log: list[ServerSentEvent | None] = []
    waiting: list[asyncio.Future[None]] = []

    async def follow() -> None:
        audience.enter()
        seen = 0
        while True:
            if seen == len(log):
                future = loop.create_future()
                waiting.append(future)
                await future
            event = log[seen]
            seen += 1
            if event is None:
                return
            audience.got += 1
            if audience.got == audience.due:
                audience.reached()

    def add(event: ServerSentEvent | None) -> None:
        log.append(event)
        for future in waiting:
            future.set_result(None)
        waiting.clear()

    async def produce() -> None:
        async for event in source:
            add(event)
        add(None)

    return await _timed(audience, [produce(), *[follow() for _ in range(audience.viewers)]])


async def queues(source: AsyncIterator[ServerSentEvent], audience: Audience) -> int:
    """Keep a queue for each viewer: the common way."""
    everyone: list[asyncio.Queue[ServerSentEvent | None]] = []

    async def follow() -> None:
        queue: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue()
        everyone.append(queue)
        audience.enter()
        while await queue.get() is not None:
            audience.got += 1
            if audience.got == audience.due:
                audience.reached()

    async def produce() -> None:
        async for event in source:
            for queue in everyone:
                queue.put_nowait(event)
        for queue in everyone:
            queue.put_nowait(None)

    return await _timed(audience, [produce(), *[follow() for _ in range(audience.viewers)]])


async def relayed(source: AsyncIterator[ServerSentEvent], audience: Audience) -> int:
    """Start a run, and subscribe each viewer."""
    async with Relay() as relay:
        return await view(relay, source, audience)


async def view(relay: Relay, source: AsyncIterator[ServerSentEvent], audience: Audience) -> int:
    """As `relayed`, with a relay that is there already."""
    run = await relay.start(source)

    async def follow() -> None:
        async with relay.subscribe(run.id) as events:
            audience.enter()
            async for event in events:
                if event.outcome is None:
                    audience.got += 1
                    if audience.got == audience.due:
                        audience.reached()

    return await _timed(audience, [follow() for _ in range(audience.viewers)])


async def _timed(audience: Audience, work: list[Coroutine[None, None, None]]) -> int:
    """Tell the CPU time from the first event until everyone has come to the end."""
    begun = asyncio.ensure_future(audience.begin())
    await asyncio.gather(*work)
    return process_time_ns() - begun.result()


CASES: dict[str, Callable[[AsyncIterator[ServerSentEvent], Audience], Awaitable[int]]] = {
    FUTURES: futures,
    "a queue for each viewer": queues,
    OURS: relayed,
}


def fan_out_table(runner: asyncio.Runner, *, viewers: int, events: int, rounds: int) -> Table:
    """Measure."""
    found: dict[str, Samples] = {}
    for kind, source in SOURCES.items():
        cases = {name: _case(runner, name, source, viewers, events) for name in CASES}
        found[kind] = interleave(cases, rounds)
    columns = [column for kind in SOURCES for column in (kind, "over bare", "target")]
    table = Table(f"One producer, {viewers:,} viewers in its process: μs of CPU a delivery", ("the source:", *columns))
    for name in CASES:
        cells: list[object] = []
        for samples in found.values():
            cells += [rounded(samples.median(name)), "" if name == FUTURES else f"{samples.extra(name, FUTURES):+.2f}"]
            cells.append(at_most(TARGET, samples.median(name), " μs") if name == OURS else "")
        table.add(name, *cells)
    return table


def _case(runner: asyncio.Runner, name: str, source: Source, viewers: int, events: int) -> Callable[[], float]:
    async def run() -> float:
        audience = Audience(viewers)
        cost = await CASES[name](source(events, audience), audience)
        if audience.got != viewers * events:
            raise AssertionError(audience.got)
        return cost / audience.got / 1000

    return lambda: runner.run(run())
