"""What an idle HTTP viewer holds in its server's memory, and asks of its store."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from time import sleep

from benchmarks.client import connected, cpu_seconds, read_body
from benchmarks.measure import Table, at_most, rounded
from benchmarks.redis_footprint import calls
from benchmarks.redis_server import Server
from benchmarks.servers import BARE, Address
from benchmarks.viewed import PATH, RESPONSE, ROUTES, Case, viewed

__all__ = ["CASES", "Asked", "asked", "held", "memory_table", "store_table"]

CASES = (Case(BARE), Case(RESPONSE), Case(ROUTES), Case(RESPONSE, in_redis=True), Case(ROUTES, in_redis=True))
TARGET = 4.0
MORE = 0.5  # commands a second: with thousands of viewers more, none of them can have sent one
CONNECTIONS = 3
WARM_UP = 20


def memory_table(server: Server, *, viewers: int, rounds: int, title: str) -> Table:
    """Measure, each figure in a process that has served nothing before."""
    found: dict[Case, list[float]] = {case: [] for case in CASES}
    for turn in range(rounds):
        for case in CASES if turn % 2 == 0 else reversed(CASES):
            found[case].append(held(case, server, viewers, traced=False))
    traced = {case: held(case, server, viewers, traced=True) for case in CASES}  # the same each time
    table = Table(
        f"{title} over uvicorn: kB each",
        ("", "resident memory", "over bare", "target", "allocated by Python", "over bare"),
    )
    bare = CASES[0]
    for case in CASES:
        if case == bare:
            table.add(case, rounded(median(found[bare]), 1), "", "", rounded(traced[bare], 1))
            continue
        over = median(mine - its for mine, its in zip(found[case], found[bare], strict=True))
        table.add(
            case, rounded(median(found[case]), 1), f"{over:+.1f}", at_most(TARGET, over, " kB"),
            rounded(traced[case], 1), f"{traced[case] - traced[bare]:+.1f}",
        )  # fmt: skip
    return table


def held(case: Case, server: Server, viewers: int, *, traced: bool) -> float:
    """Connect so many viewers, and tell by how much their server has grown, in kB each."""
    server.empty()
    with viewed(case.name, viewers, store=case.store(server.unix), traced=traced) as address:
        with ExitStack() as stack:
            connected(stack, address, PATH, WARM_UP)
            _until(address, WARM_UP)
        _until(address, 0)
        before = int(read_body(address, "/memory"))
        with ExitStack() as stack:
            connected(stack, address, PATH, viewers)
            _until(address, viewers)
            after = int(read_body(address, "/memory"))
    return (after - before) / viewers / 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What the server of idle viewers asks of Redis, with all else that its process does for them.

    Attributes:
        connections: How many it has.
        commands: How many it sends, a second.
        inner: How many calls of Redis's commands that makes, with those inside of scripts.
        cpu: Its CPU time, in ms a second; heartbeats are most of it.
    """

    connections: int
    commands: float
    inner: float
    cpu: float


def asked(case: Case, server: Server, viewers: int, *, settle: float, seconds: float) -> Asked:
    """Connect so many viewers of one silent run, and look on for a while."""
    server.empty()
    others = len(server.client.client_list())
    with viewed(case.name, viewers, store=case.store(server.unix)) as address, ExitStack() as stack:
        connected(stack, address, PATH, viewers)
        _until(address, viewers)
        sleep(settle)  # what their coming brought is over
        before, used = calls(server), cpu_seconds(address)
        sleep(seconds)
        cpu, after = cpu_seconds(address) - used, calls(server)
        connections = len(server.client.client_list()) - others
    sent, inner = (now - then for now, then in zip(after, before, strict=True))
    return Asked(connections, sent / seconds, inner / seconds, cpu * 1000 / seconds)


def store_table(server: Server, *, counts: Sequence[int], settle: float, seconds: float) -> Table:
    """Measure with few and with many."""
    table = Table(
        f"Idle viewers of one silent run in Redis, over uvicorn ({server.name})",
        (
            "",
            "connections",
            "target",
            "commands sent a second",
            "more than with the fewest",
            "target",
            "with those of scripts",
            "CPU, ms a second",
        ),
    )
    for case in CASES:
        if not case.in_redis:
            continue
        found = {count: asked(case, server, count, settle=settle, seconds=seconds) for count in counts}
        for count in counts:
            table.add(f"{count:,}, {case.name}", *_cells(found, count))
    return table


def _cells(found: Mapping[int, Asked], count: int) -> list[object]:
    here, fewest = found[count], min(found)
    more = here.commands - found[fewest].commands
    compared = ["", ""] if count == fewest else [f"{more:+.1f}", at_most(MORE, more, "/s more")]
    return [
        here.connections, at_most(CONNECTIONS, here.connections), rounded(here.commands, 1), *compared,
        rounded(here.inner, 1), rounded(here.cpu, 1),
    ]  # fmt: skip


def _until(address: Address, viewers: int) -> None:
    """Wait until the server has exactly so many viewers."""
    while int(read_body(address, "/viewers")) != viewers:
        pass
