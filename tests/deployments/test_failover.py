"""The primary dies, and Sentinel makes a replica the primary."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sse_relay import CursorMismatchError, Relay
from tests.deployments.sentinels import Group, store_at
from tests.deployments.viewing import View, numbers
from tests.deployments.working import working
from tests.stores.redis.waiting import eventually

pytestmark = [pytest.mark.evidence, pytest.mark.timeout(90)]

_logger = logging.getLogger(__name__)
LEASE = 10.0  # seconds
LONGER = 30.0  # than two primaries are there at once, and each is somebody's: the run must not be lost by either
TAIL = 20  # records


async def process_killed(group: Group) -> None:
    """The primary dies."""
    group.primary.signal(signal.SIGKILL)


async def machine_killed(group: Group) -> None:
    """The primary dies, and with it the sentinel that everybody asks first."""
    group.sentinels[0].signal(signal.SIGKILL)
    group.primary.signal(signal.SIGKILL)


async def machine_frozen(group: Group) -> None:
    """They neither answer nor hang up."""
    group.sentinels[0].signal(signal.SIGSTOP)
    group.primary.signal(signal.SIGSTOP)


async def machine_thawed(group: Group) -> None:
    """They come back when another is the primary: for a time there are two."""
    await machine_frozen(group)
    await eventually(lambda: group.elected != group.primary.port)
    group.primary.signal(signal.SIGCONT)
    group.sentinels[0].signal(signal.SIGCONT)
    await eventually(lambda: group.primary.ask("ROLE")[0] == "slave")


@pytest.mark.parametrize("severed", [False, True], ids=["replicated", "severed"])
@pytest.mark.parametrize("fault", [process_killed, machine_killed, machine_frozen, machine_thawed])
def test_runs_go_on_through_a_failover(
    fault: Callable[[Group], Awaitable[None]], severed: bool, group: Group, prefix: str
) -> None:
    """I1, I4, I5, I7: each run completes and each viewer sees all of it once; what was lost is sent again."""

    async def main() -> None:
        enough = asyncio.Event()
        lease = LONGER if fault is machine_thawed else LEASE
        async with store_at(group.places, prefix) as store, Relay(store, lease=lease) as relay:
            mine = [(await relay.start(numbers(enough))).id for _ in range(3)]
            async with working(group.places, prefix, lease=lease, produces=2, views=mine) as worker:
                views = [View(run_id) for run_id in [*mine, *worker.run_ids] for _ in range(2)]
                async with following(relay, views):
                    await more(views)
                    if severed:
                        group.sever()
                        await more(views)
                        assert all(behind(group, store._keys.run(run_id)) for run_id in mine)
                    await fault(group)
                    await more(views, since=time.monotonic() + 0.5)
                    enough.set()
                    theirs = await worker.finish()
        _logger.info("the longest silence: %.2f s here, %.2f s there", longest(views), longest(theirs))
        for view in [*views, *theirs]:
            view.check()
            assert view.status == "completed"
            assert len(view.seen) == max(len(other.seen) for other in [*views, *theirs] if other.run_id == view.run_id)

    asyncio.run(main())


@pytest.mark.parametrize("state", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "deaf"])
def test_one_sentinel_is_not_needed(state: signal.Signals, group: Group, prefix: str) -> None:
    """L1: with the first sentinel of the list dead or deaf, a process begins, and its run is sealed."""

    async def main() -> None:
        group.sentinels[0].signal(state)
        async with store_at(group.places, prefix) as store, Relay(store, lease=LEASE) as relay, asyncio.timeout(10):
            run = await relay.start(source("one"))
            assert (await relay.wait(run.id)).status == "completed"

    async def source(*items: str) -> AsyncIterator[str]:
        for item in items:
            yield item

    asyncio.run(main())


def test_what_died_with_its_producer_is_refused(group: Group, prefix: str) -> None:
    """I7, L2: primary and producer die at once: the run is lost, and cursors that only they knew are refused."""

    async def main() -> None:
        async with (
            store_at(group.places, prefix) as store,
            Relay(store, lease=3.0) as relay,
            working(group.places, prefix, lease=3.0, produces=2) as worker,
        ):
            views = [View(run_id) for run_id in worker.run_ids]
            async with following(relay, views):
                await more(views)
                group.sever()
                await more(views)
                worker.kill()
                group.primary.signal(signal.SIGKILL)
            for view in views:
                view.check()
                assert (view.status, set(view.refused)) == (None, {"rolled_back"})
                assert (await relay.wait(view.run_id)).status == "lost"
                await check_what_is_left(relay, view)

    asyncio.run(main())


async def check_what_is_left(relay: Relay, view: View) -> None:
    """A new viewer sees what the replica had, and the end; from any cursor beyond that there is no way on."""
    left = View(view.run_id)
    await left.follow(relay)
    left.check()
    assert left.status == "lost"
    kept = len(left.seen)
    assert kept < len(view.seen)
    assert left.seen == view.seen[:kept]
    for cursor, _ in view.seen[kept:]:
        with pytest.raises(CursorMismatchError, match="rolled_back"):
            async with relay.subscribe(view.run_id, cursor):
                pass
    async with relay.subscribe(view.run_id, view.seen[kept - 1][0]) as events:
        assert [event.event async for event in events] == ["end"]


def test_a_run_that_no_replica_knew_is_not_found(group: Group, prefix: str) -> None:
    """I7: a run that died with the primary is said to be gone, and its source is closed."""

    async def main() -> None:
        closed = asyncio.Event()
        enough = asyncio.Event()

        async def source() -> AsyncIterator[str]:
            try:
                async for number in numbers(enough):
                    yield number
            finally:
                closed.set()

        async with store_at(group.places, prefix) as store, Relay(store, lease=LEASE) as relay:
            group.sever()
            run = await relay.start(source())
            view = View(run.id)
            async with following(relay, [view]):
                await more([view])
                group.primary.signal(signal.SIGKILL)
            view.check()
            assert view.refused == ["gone"]
            await closed.wait()

    asyncio.run(main())


@asynccontextmanager
async def following(relay: Relay, views: list[View]) -> AsyncGenerator[None, None]:
    """Let each viewer follow its run, and wait until they see no more."""
    async with asyncio.TaskGroup() as tasks:
        for view in views:
            tasks.create_task(view.follow(relay))
        yield


async def more(views: list[View], since: float | None = None) -> None:
    """Wait until each viewer has seen a number of records more, since a moment, or the end."""
    since = time.monotonic() if since is None else since

    def has(view: View) -> bool:
        return view.over or sum(seen > since for seen in view.times[-TAIL:]) == TAIL

    await eventually(lambda: all(map(has, views)))


def behind(group: Group, name: str) -> bool:
    """Tell whether no replica has what the primary has of a run."""
    here, *there = [int(node.ask("HGET", name, "last")) for node in (group.primary, *group.replicas)]
    return max(there) < here


def longest(views: list[View]) -> float:
    """The longest time for which any viewer saw nothing."""
    return max(view.silence for view in views)
