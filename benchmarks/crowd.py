"""What many HTTP viewers of one run cost the process that serves them, silent and live."""

from dataclasses import dataclass

from benchmarks.idle_viewers import memory_table, store_table
from benchmarks.live_viewers import live_table
from benchmarks.measure import Table
from benchmarks.redis_server import serving
from benchmarks.viewed import allowed

__all__ = ["QUICK", "tables"]


@dataclass(frozen=True, slots=True)
class _Load:
    """How much is measured."""

    idle: int
    few: int
    idle_rounds: int
    idle_settle: float
    idle_seconds: float
    viewers: int
    rate: float
    settle: float
    seconds: float
    rounds: int


FULL = _Load(
    idle=5000, few=100, idle_rounds=3, idle_settle=6.0, idle_seconds=20.0,
    viewers=1000, rate=10, settle=1.0, seconds=6.0, rounds=5,
)  # fmt: skip
QUICK = _Load(
    idle=20, few=5, idle_rounds=1, idle_settle=0.1, idle_seconds=1.2,
    viewers=20, rate=50, settle=0.1, seconds=0.4, rounds=1,
)  # fmt: skip


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    load = QUICK if quick else FULL
    idle = allowed(load.idle)
    fewer = "" if idle == load.idle else f" ({load.idle:,} are more descriptors than this system allows)"
    with serving() as server:
        return [
            memory_table(server, viewers=idle, rounds=load.idle_rounds, title=f"{idle:,} idle viewers{fewer}"),
            store_table(
                server, counts=(min(load.few, idle), idle), settle=load.idle_settle, seconds=load.idle_seconds
            ),
            live_table(
                server, viewers=load.viewers, rate=load.rate, settle=load.settle, seconds=load.seconds,
                rounds=load.rounds,
            ),
        ]  # fmt: skip
