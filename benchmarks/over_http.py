"""What the edge costs over uvicorn, on a real socket, read by another process."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.client import Slow, cpu_seconds, hold, read_all
from benchmarks.fast_run import PATHS, fast_run_table
from benchmarks.measure import TIMES, Samples, Table, at_least, at_most, interleave, rounded
from benchmarks.servers import BARE, OURS, RATE, Address, installed, serve

__all__ = ["tables"]

STARLETTE = "Starlette StreamingResponse"


@dataclass(frozen=True, slots=True)
class _Load:
    """How much is served."""

    count: int
    rounds: int
    slow_rounds: int
    streams: int
    seconds: float
    spread: float
    settle: float

    @property
    def lifetime(self) -> float:
        """How long slow streams last: the first has to be there still when the measurement ends."""
        return 2 * self.spread + self.settle + self.seconds


FULL = _Load(count=20_000, rounds=9, slow_rounds=7, streams=500, seconds=8.0, spread=1.0, settle=0.5)
QUICK = _Load(count=500, rounds=1, slow_rounds=1, streams=20, seconds=0.4, spread=0.2, settle=0.1)


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    load = QUICK if quick else FULL
    with ExitStack() as stack:
        serving = {name: serve(name, count=load.count, seconds=load.lifetime) for name in installed()}
        servers = {name: stack.enter_context(server) for name, server in serving.items()}
        for address in servers.values():
            cpu_seconds(address)  # it is there
        found = [_fast(servers, load), _slow(servers, load)]
    return [*found, fast_run_table(count=load.count, rounds=load.rounds)]


def _fast(servers: Mapping[str, Address], load: _Load) -> Table:
    found: dict[str, Samples] = {}
    for path in PATHS:
        cases = {name: partial(read_all, address, f"/{path}", load.count) for name, address in servers.items()}
        found[path] = interleave(cases, load.rounds)
    peer = STARLETTE if STARLETTE in servers else BARE
    columns = [column for kind in PATHS.values() for column in (kind, f"{TIMES} {peer.partition(' ')[0]}")]
    table = Table("A fast source over uvicorn: events a second", ("the source:", *columns, "target"))
    for name in servers:
        cells: list[object] = []
        for samples in found.values():
            cells += [rounded(1 / samples.median(name), 0), rounded(samples.ratio(peer, name))]
        if name == OURS and peer == STARLETTE:
            cells.append(at_least(4, found["ready"].ratio(peer, name), TIMES))
        table.add(name, *cells)
    return table


def _slow(servers: Mapping[str, Address], load: _Load) -> Table:
    """Measure each beside the bare application, at the same time: what disturbs one then disturbs the other."""
    found: dict[str, list[tuple[Slow, Slow]]] = {name: [] for name in servers if name != BARE}
    for _ in range(load.slow_rounds):
        for name, pairs in found.items():
            pairs.append(asyncio.run(_side_by_side(servers[BARE], servers[name], load)))
    table = Table(
        f"{load.streams} slow streams over uvicorn, {RATE} events a second each: the server's CPU",
        ("", "CPU, % of a core", "μs an event", f"{TIMES} bare", "target"),
    )
    table.add(BARE, *_cost([bare for pairs in found.values() for bare, _ in pairs], load))
    for name, pairs in found.items():
        ratio = median(slow.cpu / bare.cpu for bare, slow in pairs)
        verdict = at_most(1.25, ratio, TIMES) if name == OURS else ""
        table.add(name, *_cost([slow for _, slow in pairs], load), rounded(ratio), verdict)
    return table


async def _side_by_side(bare: Address, other: Address, load: _Load) -> tuple[Slow, Slow]:
    one, two = await asyncio.gather(
        *[
            hold(address, "/slow", streams=load.streams, spread=load.spread, settle=load.settle, seconds=load.seconds)
            for address in (bare, other)
        ]
    )
    expected = load.streams * load.seconds * RATE
    for slow in (one, two):
        if not 0.8 * expected <= slow.events <= 1.2 * expected:
            raise AssertionError(slow.events)
    return one, two


def _cost(found: list[Slow], load: _Load) -> tuple[str, str]:
    cpu = median(slow.cpu for slow in found) / load.seconds
    return rounded(cpu * 100, 1), rounded(cpu / (load.streams * RATE) * 1e6, 1)
