"""Producers, reapers and cancellers that are killed before and after each write: every run ends, once."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from random import Random
from typing import get_args

import pytest

from tests.processes.mortals import Mortals, mortals
from tests.processes.roles import Role, Task
from tests.processes.scene import EVENTS, KEY, LATE, scene
from tests.processes.server import KeptServer

LEASE = 2.0
KILLED = -9
ROLES: list[Role] = [role for role in get_args(Role) if role != "block"]


@dataclass(frozen=True)
class Point:
    """
    Where a process dies, and what is to become of the run.

    Attributes:
        role: What the process does.
        call: At which call of its store.
        moment: Before it is sent, or after it was answered.
        outcome: How the run ends; none: there is no run.
        events: How many events it has.
        others: How many runs there are besides.
    """

    role: Role
    call: str
    moment: str
    outcome: str | None
    events: int = EVENTS
    others: int = 0

    def __str__(self) -> str:
        return f"{self.role}-{self.moment}-{self.call.replace(' ', '-')}"


POINTS = [
    Point("produce", "open", "before", None),
    Point("produce", "open", "after", "lost", 0),
    Point("produce", "append 1", "before", "lost", 0),
    Point("produce", "append 1", "after", "lost", 1),
    Point("produce", "append 2", "before", "lost", 1),
    Point("produce", "append 2", "after", "lost", 2),
    Point("produce", "append 4", "before", "lost", 3),
    Point("produce", "append 4", "after", "completed", 3),
    Point("hold", "renew", "before", "lost", 3),
    Point("hold", "renew", "after", "lost", 3),
    Point("reap", "look", "before", "lost"),
    Point("reap", "look", "after", "lost"),
    Point("sweep", "lapsed", "before", "lost"),
    Point("sweep", "lapsed", "after", "lost"),
    Point("sweep", "look", "before", "lost"),
    Point("sweep", "look", "after", "lost"),
    Point("start", "open", "before", "lost"),
    Point("start", "open", "after", "lost", others=1),
    Point("replace", "open", "before", "completed"),
    Point("replace", "open", "after", "cancelled", others=1),
    Point("cancel", "cancel", "before", "completed"),
    Point("cancel", "cancel", "after", "cancelled"),
    Point("cancel", "look", "before", "lost"),  # the canceller looks whether the producer is dead
    Point("cancel", "look", "after", "lost"),
    Point("cancel", "end", "before", "lost"),  # and when the grace is over, it seals
    Point("cancel", "end", "after", "cancelled"),
]


@pytest.mark.timeout(30)
def test_whoever_dies_at_a_write_leaves_a_run_that_ends_once(server: KeptServer) -> None:
    """I2, I5, I8, L2: killed right before or after any write, the run ends within lease + 2 s, as the log says."""

    async def main() -> None:
        async with mortals() as those:
            at_once = asyncio.Semaphore(6)
            deaths = [_die_at(point, those, server, at_once) for point in POINTS]
            results = await asyncio.gather(*deaths, return_exceptions=True)
        wrong = [f"{point}: {result!r}" for point, result in zip(POINTS, results, strict=True) if result is not None]
        assert not wrong, "\n".join(wrong)

    asyncio.run(main())


async def _die_at(point: Point, those: Mortals, server: KeptServer, at_once: asyncio.Semaphore) -> None:
    task = Task(
        point.role, f"unix://{server.socket}", str(point), LEASE, key=KEY,
        call=point.call, moment=point.moment, seconds=1.0,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        async with at_once:
            here = await stack.enter_async_context(scene(server, task))
            seen = here.watch() if here.looks_on and point.outcome is not None else None
            pid = await those.bear(replace(task, run="" if task.role in {"start", "replace"} else here.run))
            assert await those.ended(pid) == KILLED
            died = time.monotonic()
        if point.outcome == "completed":
            here.let_go.set()
        await here.look_on()
        trails = await here.all_seen()
        assert time.monotonic() - died < here.within
        assert len(trails) == point.others + (point.outcome is not None)
        if point.outcome is not None:
            trail = trails[here.run]
            assert trail.outcome is not None
            assert (trail.outcome[0], trail.seen) == (point.outcome, point.events + 1)
            assert seen is None or await seen == trail


@pytest.mark.evidence
@pytest.mark.timeout(300)
def test_two_hundred_die_at_any_moment(server: KeptServer, seed: int) -> None:
    """I2, I5, I8, L2: killed at any moment of its life, a process leaves runs that end within lease + 2 s, once."""
    random = Random(seed)
    kills = list[Role]()

    async def kill_some(those: Mortals) -> None:
        while len(kills) < 200:
            role, prefix = random.choice(ROLES), f"{random.random()}"
            if await _die_somewhen(role, prefix, random.random() ** 3, those, server) == KILLED:
                kills.append(role)

    async def main() -> None:
        async with mortals() as those, asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(kill_some(those))

    asyncio.run(main())
    assert set(kills) == set(ROLES)


async def _die_somewhen(role: Role, prefix: str, age: float, those: Mortals, server: KeptServer) -> int:
    """Kill a process of that role at that age, unless it has done all it had to; tell how it ended."""
    task = Task(role, f"unix://{server.socket}", prefix, LEASE, key=KEY, events=300, seconds=0.2)
    async with scene(server, task) as here:
        pid = await those.bear(replace(task, run="" if role in {"start", "replace"} else here.run))
        await asyncio.sleep(age)
        await those.kill(pid)
        died = time.monotonic()
        here.let_go.set()
        await here.look_on()
        trails = await here.all_seen()
        late = time.monotonic() - died - here.within
        assert late < 0, f"{late:.1f} s late after a {role} had died {age:.3f} s old: {trails}"
        return await those.ended(pid)


@pytest.mark.timeout(30)
def test_a_zombie_is_fenced(server: KeptServer) -> None:
    """I6, L2: of a producer whose loop hangs past its lease others see that it is lost, and then nothing more of it."""
    task = Task("block", f"unix://{server.socket}", "zombie", LEASE, seconds=LEASE + LATE + 0.5)

    async def main() -> None:
        async with mortals() as those, scene(server, task) as here:
            pid = await those.bear(replace(task, run=here.run))
            await those.hears(pid, "ready")
            async with asyncio.timeout(LEASE + LATE):
                seen = await here.watch()
            assert seen.outcome == ["lost", "lease_expired"]
            assert seen.seen == task.events + 1
            assert "zombie" not in those.said[pid]
            told = await those.hears(pid, "zombie")
            assert told["status"] == "lost"
            assert set(told["answers"][: task.events]) == {"ok"}
            assert set(told["answers"][task.events :]) <= {"fenced"}
            assert told["last_answer"] == "fenced"
            assert await those.ended(pid) == 0
            assert await here.all_seen() == {here.run: seen}

    asyncio.run(main())
