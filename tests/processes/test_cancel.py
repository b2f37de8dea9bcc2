"""Cancel from another process, whatever has become of the producer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sse_relay.stores.protocol import RunInfo
from tests.processes.mortals import Mortals, mortals
from tests.processes.roles import Role, Task
from tests.processes.scene import Scene, scene
from tests.processes.server import KeptServer

GRACE = 0.5
MARGIN = 1.0  # for one round trip, on a machine that is busy
LEASE = 4.0  # longer than the grace: nobody takes a silent producer for dead meanwhile


def _cancelled(
    server: KeptServer, role: Role, prepare: Callable[[Mortals, int, Scene], Awaitable[object]], lease: float = LEASE
) -> RunInfo:
    """Cancel the run of another process from here, and from a viewer's seat see it end; tell the run."""
    task = Task(role, f"unix://{server.socket}", "cancel", lease, seconds=60)

    async def main() -> RunInfo:
        async with mortals() as those, scene(server, task) as here:
            pid = await those.bear(replace(task, run=here.run))
            await those.hears(pid, "ready")
            seen = here.watch()
            await prepare(those, pid, here)
            began = time.monotonic()
            info = await here.relay.cancel(here.run, grace=GRACE)
            assert time.monotonic() - began < GRACE + MARGIN
            async with asyncio.timeout(MARGIN):
                trail = await seen
            assert info.outcome is not None
            assert trail.outcome == [info.outcome.status, info.outcome.reason]
            assert trail.seen == info.last_offset == task.events + 1
            assert await here.relay.cancel(here.run) == info
            return info

    return asyncio.run(main())


async def _alive(those: Mortals, pid: int, here: Scene) -> None:
    """It waits for a model that says nothing, or hangs."""


async def _dead(those: Mortals, pid: int, here: Scene) -> None:
    await those.kill(pid)


async def _lapsed(those: Mortals, pid: int, here: Scene) -> None:
    await those.kill(pid)
    await here.relay.wait(here.run, timeout=here.within)


@pytest.mark.parametrize(
    ("role", "prepare"), [("hold", _alive), ("block", _alive), ("hold", _dead)], ids=["silent", "blocked", "dead"]
)
def test_a_run_is_cancelled_from_another_process(
    server: KeptServer, role: Role, prepare: Callable[[Mortals, int, Scene], Awaitable[object]]
) -> None:
    """L3: a silent producer, a hanging one and a dead one hold up no cancel for longer than the grace."""
    info = _cancelled(server, role, prepare)
    assert info.outcome is not None
    assert (info.status, info.outcome.reason) == ("cancelled", "user")


def test_a_run_that_was_lost_before_stays_lost(server: KeptServer) -> None:
    """L3, I2: past its lease the run of a dead producer is lost, and a cancel changes that no more."""
    assert _cancelled(server, "hold", _lapsed, lease=1.0).status == "lost"
