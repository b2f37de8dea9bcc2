"""
What a send costs, and how late it is, where many view one live run over HTTP.

The server is a process of its own; here are its viewers. An event says when it was made, on the clock that processes
share. A bare application takes turns with ours, each in a process that has served nothing before.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from benchmarks.client import Arrivals, connected, cpu_seconds
from benchmarks.latencies import milliseconds
from benchmarks.measure import TIMES, Table, at_most, rounded
from benchmarks.redis_server import Server
from benchmarks.servers import BARE
from benchmarks.viewed import PATH, RESPONSE, ROUTES, STAMP, Case, viewed

__all__ = ["CASES", "Reading", "live_table", "read"]

CASES = (Case(BARE), Case(RESPONSE), Case(ROUTES), Case(RESPONSE, in_redis=True))
CPU, P99 = 1.5, 2.0
_STAMPED = re.compile(rb"data: ([0-9.]{%d})\n\n" % STAMP)


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What came of it.

    Attributes:
        cpu: The server's CPU time of a send, in μs.
        p50: The median of how late they were, in ms.
        p99: The 99th percentile.
        events: How many came to each viewer.
    """

    cpu: float
    p50: float
    p99: float
    events: float


def read(case: Case, server: Server, viewers: int, *, rate: float, settle: float, seconds: float) -> Reading:
    """Connect so many viewers, and note for a while what comes to them."""
    server.empty()
    with viewed(case.name, viewers, store=case.store(server.unix), rate=rate) as address, ExitStack() as stack:
        arrivals = stack.enter_context(Arrivals(connected(stack, address, PATH, viewers)))
        arrivals.note(settle)
        arrivals.until_quiet()
        arrivals.found.clear()
        used = cpu_seconds(address)
        arrivals.note(seconds)
        arrivals.until_quiet()
        cpu = cpu_seconds(address) - used
        late = [at - float(stamp) for at, part in arrivals.found for stamp in _STAMPED.findall(part)]
    return Reading(cpu / len(late) * 1e6, *milliseconds(late), len(late) / viewers)


def live_table(server: Server, *, viewers: int, rate: float, settle: float, seconds: float, rounds: int) -> Table:
    """Measure, in turns."""
    found: dict[Case, list[Reading]] = {case: [] for case in CASES}
    for turn in range(rounds):
        for case in CASES if turn % 2 == 0 else reversed(CASES):
            found[case].append(read(case, server, viewers, rate=rate, settle=settle, seconds=seconds))
    table = Table(
        f"{viewers:,} viewers of one run over uvicorn, {rate:g} events a second",
        (
            "",
            "the server's CPU, μs a send",
            f"{TIMES} bare",
            "target",
            "ms from source to viewer, p50",
            "p99",
            f"p99 {TIMES} bare",
            "target",
        ),
    )
    for case in CASES:
        table.add(case, *_cells(case, found[case], found[CASES[0]]))
    return table


def _cells(case: Case, readings: Sequence[Reading], bare: Sequence[Reading]) -> list[object]:
    judged = case.name != BARE and not case.in_redis
    pairs = list(zip(readings, bare, strict=True))
    cpu = median(mine.cpu / its.cpu for mine, its in pairs)
    p99 = median(mine.p99 / its.p99 for mine, its in pairs)
    return [
        rounded(median(one.cpu for one in readings), 1), rounded(cpu), at_most(CPU, cpu, TIMES) if judged else "",
        rounded(median(one.p50 for one in readings), 1), rounded(median(one.p99 for one in readings), 1),
        rounded(p99), at_most(P99, p99, TIMES) if judged else "",
    ]  # fmt: skip
