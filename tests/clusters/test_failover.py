"""A primary dies, and the Cluster makes its replica the primary."""

import asyncio
import logging
import os
import signal
import time

import pytest

from sse_relay import Relay
from sse_relay.stores.redis.keys import hash_slot
from tests.deployments.viewing import View, numbers
from tests.stores.redis.clusters import Cluster, Member
from tests.stores.redis.waiting import eventually

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(120)]

_logger = logging.getLogger(__name__)
_LEASE = 90.0  # seconds: on a busy machine an election may take half a minute, and no run is to be lost meanwhile
_FOUND_WITHIN = 2.5  # seconds, from when the Cluster has another primary
_SILENT = 4.0  # seconds until it is noticed that a node neither answers nor hangs up: a deadline, and a sweep


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_runs_go_on_through_a_failover(fault: signal.Signals, replicated: Cluster, prefix: str) -> None:
    """I1, I4, I5: runs complete, viewers see each record once, and the new primary is found in two seconds or so."""

    async def main() -> None:
        stores, enough = (replicated.store(prefix), replicated.store(prefix)), asyncio.Event()
        async with Relay(stores[0], lease=_LEASE) as mine, Relay(stores[1], lease=_LEASE) as yours:
            runs = [await mine.start(numbers(enough), key=f"{place}") for place in range(12)]
            views = [View(run.id) for run in runs for _ in range(2)]
            following = [asyncio.create_task(view.follow(yours)) for view in views]
            await eventually(lambda: all(len(view.seen) > 50 for view in views))
            dying, heir = replicated.primaries[0], replicated.replicas[0]
            theirs = [view for view in views if replicated.owner(hash_slot(stores[0]._keys.run(view.run_id))) is dying]
            killed = time.monotonic()
            os.kill(dying.process.pid, fault)

            await eventually(lambda: rules(heir))
            elected = time.monotonic()
            await go_on(theirs)
            found = time.monotonic()
            _logger.info("elected after %.2f s, all runs go on %.2f s later", elected - killed, found - elected)
            await asyncio.sleep(1.0)
            enough.set()
            await asyncio.gather(*following)
        for store in stores:
            await store.aclose()
        assert theirs
        assert found < max(elected, killed + (_SILENT if fault == signal.SIGSTOP else 0.0)) + _FOUND_WITHIN
        for view in views:
            view.check()
            assert (view.status, view.refused) == ("completed", [])

    asyncio.run(main())


def test_the_old_primary_is_left(replicated: Cluster, prefix: str) -> None:
    """I6: after a failover by command, where no connection breaks, calls and wake-ups go to the new primary."""

    async def main() -> None:
        stores, enough = (replicated.store(prefix), replicated.store(prefix)), asyncio.Event()
        async with Relay(stores[0]) as mine, Relay(stores[1]) as yours:
            runs = [await mine.start(numbers(enough)) for _ in range(12)]
            views = [View(run.id) for run in runs]
            following = [asyncio.create_task(view.follow(yours)) for view in views]
            for heir in replicated.replicas:
                await go_on(views)
                heir.asks.execute_command("CLUSTER FAILOVER")
                await eventually(lambda heir=heir: rules(heir))  # type: ignore[misc]
                await go_on(views)
            enough.set()
            await asyncio.gather(*following)
        for store in stores:
            await store.aclose()
        for view in views:
            view.check()
            assert (view.status, view.refused) == ("completed", [])
        _logger.info("the longest silence: %.2f s", max(view.silence for view in views))

    asyncio.run(main())


def rules(member: Member) -> bool:
    """Tell whether a node is a primary."""
    return "role:master" in member.asks.execute_command("INFO replication")


async def go_on(views: list[View]) -> None:
    """Wait until each viewer has seen something new."""
    now = time.monotonic()
    await eventually(lambda: all(view.times and view.times[-1] > now for view in views))
