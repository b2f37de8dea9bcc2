"""
Whether the figures grow while the same process, and the same relay, has many other runs that are live and silent.

``python -m benchmarks.many_runs LOAD RUNS`` is such a process: it reads the name of a figure, and writes what it is.
Two take turns, one with the other runs and one without, so that what else the machine does hits both.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from time import process_time_ns

from benchmarks.fan_out import PACED, SOURCES, Audience, view
from benchmarks.measure import TIMES, Table, at_most, interleave, rounded
from benchmarks.replay import BYTES, CASES, OBJECTS, replayed, stored
from benchmarks.starting import often, relayed
from sse_relay import Relay

__all__ = ["FIGURES", "Load", "beside", "many_runs_table", "silent_runs"]

TARGET = 1.1
REPLAYS = 7  # in one answer: they are short
WITHOUT, BESIDE = "without", "beside"
IDLE = "CPU of all of them, ms a second"


@dataclass(frozen=True, slots=True)
class Load:
    """How much is measured."""

    runs: int
    rounds: int
    viewers: int
    events: int
    replayed: int
    starts: int
    idle: float  # how long to look at silent runs, in seconds


async def delivery(kind: str, relay: Relay, load: Load) -> float:
    """Fan a source out, and tell the microseconds of a delivery."""
    audience = Audience(load.viewers)
    return await view(relay, SOURCES[kind](load.events, audience), audience) / audience.got / 1000


async def replay(name: str, relay: Relay, load: Load) -> float:
    """Replay a run, and tell the nanoseconds of an event."""
    run_id = await stored(relay, load.replayed)
    return median([await replayed(CASES[name], relay, run_id, load.replayed) for _ in range(REPLAYS)])


async def start(relay: Relay, load: Load) -> float:
    """Start runs, and tell the microseconds until the first event."""
    return await often(lambda clock: relayed(relay, clock), process_time_ns, load.starts)


async def silence(_relay: Relay, load: Load) -> float:
    """Do nothing, and tell the milliseconds of CPU that this costs in a second."""
    before = process_time_ns()
    await asyncio.sleep(load.idle)
    return (process_time_ns() - before) / load.idle / 1e6


FIGURES: dict[str, Callable[[Relay, Load], Awaitable[float]]] = {
    "a delivery, source suspends, μs": partial(delivery, "suspends"),
    "a delivery, a model's pace, μs": partial(delivery, PACED),
    "replay as bytes, ns an event": partial(replay, BYTES),
    "replay as events, ns an event": partial(replay, OBJECTS),
    "start to first event, CPU, μs": start,
    IDLE: silence,
}


def many_runs_table(runner: asyncio.Runner, load: Load) -> Table:
    """Measure."""
    table = Table(f"{load.runs:,} live, silent runs beside", ("", WITHOUT, BESIDE, TIMES, "target"))
    with beside(load, 0) as alone, beside(load, load.runs) as crowded:
        asked = {WITHOUT: alone, BESIDE: crowded}
        names = [name for name in FIGURES if name != IDLE]
        cases = {f"{name} {case}": partial(ask, name) for name in names for case, ask in asked.items()}
        samples = interleave(cases, load.rounds)
        for name in names:
            ratio = samples.ratio(f"{name} {BESIDE}", f"{name} {WITHOUT}")
            figures = [rounded(samples.median(f"{name} {case}"), 0 if "ns" in name else 2) for case in asked]
            table.add(name, *figures, rounded(ratio), at_most(TARGET, ratio, TIMES))
        table.add(IDLE, *[rounded(ask(IDLE)) for ask in asked.values()])
    table.add("memory of a silent run, kB", "", rounded(runner.run(_memory(max(load.runs // 10, 1))), 1))
    return table


@contextmanager
def beside(load: Load, runs: int) -> Iterator[Callable[[str], float]]:
    """Start a process with so many silent runs; what is given takes the name of a figure, and asks it."""
    command = [sys.executable, "-m", "benchmarks.many_runs", json.dumps(asdict(load)), str(runs)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        lines, answers = process.stdin, process.stdout
        if lines is None or answers is None:
            raise AssertionError(command)

        def ask(name: str) -> float:
            lines.write(f"{name}\n")
            lines.flush()
            return float(answers.readline())

        try:
            yield ask
        finally:
            process.kill()  # it has nothing to finish


@asynccontextmanager
async def silent_runs(relay: Relay, count: int) -> AsyncIterator[None]:
    """Hold so many runs, whose sources wait; let them end at last."""
    silent, over = asyncio.Semaphore(0), asyncio.Event()

    async def source() -> AsyncGenerator[str, None]:
        silent.release()
        await over.wait()
        yield ""

    ids = [(await relay.start(source())).id for _ in range(count)]
    for _ in ids:
        await silent.acquire()
    try:
        yield
    finally:
        over.set()
        for run_id in ids:
            await relay.wait(run_id)


async def _memory(runs: int) -> float:
    """Tell what Python allocates for a silent run, in kB."""
    async with Relay() as relay:
        async with silent_runs(relay, runs):
            pass  # what is made once is there by now
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with silent_runs(relay, runs):
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return (after - before) / runs / 1000


async def _answer(load: Load, runs: int) -> None:
    async with Relay() as relay, silent_runs(relay, runs):
        while name := (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n"):
            gc.collect()
            print(await FIGURES[name](relay, load), flush=True)


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    gc.collect()
    gc.freeze()
    asyncio.run(_answer(Load(**json.loads(sys.argv[1])), int(sys.argv[2])))
