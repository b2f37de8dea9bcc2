"""What runs cost that are detached from their requests; no peer has them, so a bare asyncio stands beside."""

import asyncio
from dataclasses import dataclass

from benchmarks import many_runs
from benchmarks.fan_out import fan_out_table
from benchmarks.footprint import footprint_table
from benchmarks.many_runs import many_runs_table
from benchmarks.measure import Table
from benchmarks.replay import replay_table
from benchmarks.starting import start_table

__all__ = ["tables"]


@dataclass(frozen=True, slots=True)
class _Load:
    """How much is measured."""

    rounds: int
    viewers: int
    events: int
    replayed: int
    starts: int
    stored: int
    many: many_runs.Load


FULL = _Load(
    rounds=11, viewers=1000, events=100, replayed=10_000, starts=300, stored=100_000,
    many=many_runs.Load(runs=10_000, rounds=11, viewers=1000, events=100, replayed=10_000, starts=300, idle=10.0),
)  # fmt: skip
QUICK = _Load(
    rounds=1, viewers=20, events=40, replayed=1000, starts=10, stored=1000,
    many=many_runs.Load(runs=20, rounds=1, viewers=20, events=20, replayed=1000, starts=5, idle=0.1),
)  # fmt: skip


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    load = QUICK if quick else FULL
    with asyncio.Runner() as runner:
        return [
            fan_out_table(runner, viewers=load.viewers, events=load.events, rounds=load.rounds),
            replay_table(runner, count=load.replayed, rounds=2 * load.rounds),
            footprint_table(runner, count=load.stored),
            start_table(runner, count=load.starts, rounds=load.rounds),
            many_runs_table(runner, load.many),
        ]
