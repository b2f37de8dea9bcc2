"""What runs cost that are kept in Redis, on a server of our own, beside the least that the same server takes."""

import asyncio
from dataclasses import dataclass

from benchmarks.measure import Table
from benchmarks.redis_footprint import footprint_table, idle_table
from benchmarks.redis_live import Load, live_table
from benchmarks.redis_replay import replay_table
from benchmarks.redis_server import serving
from benchmarks.redis_waiting import pace_table, slow_table
from benchmarks.redis_writing import writing_table

__all__ = ["QUICK", "tables"]


@dataclass(frozen=True, slots=True)
class _Load:
    """How much is measured."""

    rounds: int
    events: int
    slow: int
    runs: int
    paced: float
    live: list[Load]
    replayed: int
    stored: int
    idle: tuple[int, ...]
    seconds: float


FULL = _Load(
    rounds=3, events=50_000, slow=200, runs=1000, paced=3.0,
    live=[
        Load(5000, 1, 10_000, 4.0, p50=0.5, p99=5.0, cpu=40.0),
        Load(1, 1000, 30, 4.0, p99=15.0),
    ],
    replayed=10_000, stored=100, idle=(100, 1000), seconds=5.0,
)  # fmt: skip
QUICK = _Load(
    rounds=1, events=500, slow=5, runs=20, paced=0.2,
    live=[Load(20, 1, 100, 0.7, p50=0.5, p99=5.0, cpu=40.0), Load(1, 5, 30, 0.7, p99=15.0)],
    replayed=1000, stored=2, idle=(5,), seconds=0.2,
)  # fmt: skip


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    load = QUICK if quick else FULL
    with asyncio.Runner() as runner, serving() as server:
        return [
            writing_table(runner, server, events=load.events, rounds=load.rounds),
            slow_table(runner, server, count=load.slow, rounds=load.rounds),
            pace_table(runner, server, runs=load.runs, seconds=load.paced, rounds=load.rounds),
            live_table(runner, server, load.live, rounds=load.rounds),
            replay_table(runner, server, count=load.replayed, rounds=3 * load.rounds),
            footprint_table(runner, server, runs=load.stored),
            idle_table(runner, server, runs=load.idle, seconds=load.seconds),
        ]
