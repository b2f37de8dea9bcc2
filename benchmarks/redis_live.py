"""How late viewers are, and what reading costs, while another process writes (`redis_load`)."""

import asyncio
import gc
import json
import re
import subprocess
import sys
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, process_time
from typing import TypeAlias

from benchmarks.latencies import milliseconds
from benchmarks.measure import Table, at_most, rounded
from benchmarks.redis_floor import command, connected
from benchmarks.redis_load import STAMP
from benchmarks.redis_server import Server
from sse_relay import Relay
from sse_relay.stores.redis import RedisStore

__all__ = ["CASES", "Load", "Reading", "live_table", "read"]

# By turns when an event was seen, and how late it was: it leaves the garbage collector nothing to look at.
Found: TypeAlias = "array[float]"
_STAMPED = re.compile(rb"data: ([0-9.]{%d})" % STAMP)
SETTLE = 0.5  # seconds, whose events do not count
BARE, OURS = "a bare SUBSCRIBE", "Relay"


@dataclass(frozen=True, slots=True)
class Load:
    """
    What is read.

    Attributes:
        streams: How many runs.
        viewers: How many view each.
        rate: The events of all of them, a second.
        seconds: How long.
        p50: The target of the median, in ms; None: it has none.
        p99: The target of the 99th percentile.
        cpu: The target of the reader's CPU time of an event, in μs.
    """

    streams: int
    viewers: int
    rate: float
    seconds: float
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None

    @property
    def events(self) -> int:
        """How many are written."""
        return max(int(self.rate * self.seconds), 1)

    def __str__(self) -> str:
        if self.streams == 1:
            return f"1 run, {self.viewers:,} viewers, {self.rate:g} events/s"
        return f"{self.streams:,} runs, {self.rate:,.0f} events/s"


@dataclass(slots=True)
class Reading:
    """
    What came of it.

    Attributes:
        seconds: How late each event was.
        reader: The CPU time of the reader, in seconds.
        server: That of Redis.
        writer: That of the writer.
    """

    seconds: list[float]
    reader: float
    server: float
    writer: float


async def read(name: str, server: Server, url: str, load: Load) -> Reading:
    """Let another process write, and read all of it here."""
    server.empty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.redis_load", url, str(load.streams), str(load.rate), str(load.seconds),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    lines, answers = process.stdin, process.stdout
    if lines is None or answers is None:
        raise AssertionError(process)
    found: Found = array("d")
    try:
        ids: list[str] = json.loads(await _line(answers))
        async with CASES[name](url, ids, load, found) as seen_all:
            gc.collect()
            used, served = process_time(), server.cpu()
            begun = monotonic()
            lines.write(b"go\n")
            written = float(await _line(answers))
            async with asyncio.timeout(30):
                await seen_all()
            reader, by_server = process_time() - used, server.cpu() - served
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    late = [seconds for at, seconds in zip(found[::2], found[1::2], strict=True) if at - seconds >= begun + SETTLE]
    return Reading(late, reader, by_server, written)


async def _line(answers: asyncio.StreamReader) -> bytes:
    if not (line := await answers.readline()):
        raise RuntimeError("the writer has failed; it says above why")
    return line


Followed = AsyncGenerator[Callable[[], Awaitable[object]], None]


@asynccontextmanager
async def relayed(url: str, ids: list[str], load: Load, found: Found) -> Followed:
    """View each run by as many subscriptions as are wanted, of one relay."""
    entered, seen_all = asyncio.Semaphore(0), asyncio.Event()
    store = RedisStore.from_url(url)

    async def view(relay: Relay, run_id: str) -> None:
        async with relay.subscribe(run_id) as events:
            entered.release()
            async for event in events:
                if event.outcome is None:
                    now = monotonic()
                    found.extend((now, now - float((event.data or "")[:STAMP])))
                    if len(found) == 2 * load.events * load.viewers:
                        seen_all.set()

    async with Relay(store) as relay:
        viewers = [asyncio.ensure_future(view(relay, run_id)) for run_id in ids for _ in range(load.viewers)]
        for _ in viewers:
            await entered.acquire()
        yield seen_all.wait
        for viewer in viewers:
            viewer.cancel()
        await asyncio.wait(viewers)
    await store.aclose()


@asynccontextmanager
async def bare(url: str, _ids: list[str], load: Load, found: Found) -> Followed:
    """Hear what is published of all runs on one bare connection, and look for nothing but the times in it."""
    reader, writer = await connected(url)
    writer.write(command(b"PSUBSCRIBE", b"*"))
    await reader.readuntil(b":1\r\n")

    async def hear() -> None:
        left, rest = load.events, b""
        while left:
            rest += await reader.read(1 << 16)
            end = rest.rfind(b"\n\n\r\n") + 1  # of a message: an event that was cut is read with the next part
            now = monotonic()
            for stamp in _STAMPED.findall(rest[:end]):
                found.extend((now, now - float(stamp)))
                left -= 1
            rest = rest[end:]

    hearing = asyncio.ensure_future(hear())
    try:
        yield lambda: hearing
    finally:
        hearing.cancel()
        writer.close()


CASES = {BARE: bare, OURS: relayed}


def live_table(runner: asyncio.Runner, server: Server, loads: list[Load], *, rounds: int) -> Table:
    """Measure, in turns."""
    table = Table(
        f"Viewers of what another process writes, Unix socket: ms from append to viewer ({server.name})",
        (
            "",
            "p50",
            "target",
            "p99",
            "target",
            "reader, μs of CPU an event",
            "target",
            "of the reader",
            "Redis",
            "writer",
        ),
    )
    for load in loads:
        found: dict[str, list[Reading]] = {name: [] for name in CASES}
        for _ in range(rounds):
            for name in CASES:
                found[name].append(runner.run(read(name, server, server.unix, load)))
        for name, readings in found.items():
            table.add(f"{load}: {name}", *_cells(name, load, readings))
    return table


def _cells(name: str, load: Load, readings: list[Reading]) -> list[object]:
    """Tell the middle one of the readings, by its 99th percentile; the last three cells are % of a core."""
    middle = sorted(readings, key=lambda reading: milliseconds(reading.seconds)[1])[len(readings) // 2]
    p50, p99 = milliseconds(middle.seconds)
    cpu = middle.reader * 1e6 / load.events
    cells: list[object] = []
    for value, limit, unit in ((p50, load.p50, " ms"), (p99, load.p99, " ms"), (cpu, load.cpu, " μs")):
        judged = name == OURS and limit is not None
        cells += [rounded(value, 1 if "μ" in unit else 2), at_most(limit or 0, value, unit) if judged else ""]
    shares = [f"{part / load.seconds:.0%}" for part in (middle.reader, middle.server, middle.writer)]
    return [*cells, *shares]
