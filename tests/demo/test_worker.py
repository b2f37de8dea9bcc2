"""A worker produces, leaves in good order, or dies as by `kill -9`."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from sse_relay import DrainingError, ErrorCatalog, MemoryStore, Outcome, Relay
from sse_relay.demo.worker import Worker, Workers
from sse_relay.runs.reaper import LOST
from sse_relay.testing import run_virtual

LEASE = 3.0


class Source:
    """
    Words, one a second.

    Attributes:
        closed: Whether their generator was closed.
    """

    def __init__(self) -> None:
        self.closed = False

    async def words(self) -> AsyncGenerator[str, None]:
        """Yield them."""
        try:
            for number in range(1000):
                yield f"word {number}"
                await asyncio.sleep(1)
        finally:
            self.closed = True


def a_store() -> MemoryStore:
    """Make a store on the running loop's clock."""
    return MemoryStore(clock=asyncio.get_running_loop().time)


def test_a_crash_is_no_goodbye() -> None:
    """A worker that crashes adds nothing more, seals nothing and gives no lease up; its sources are closed."""

    async def main() -> None:
        store, source = a_store(), Source()
        worker = Worker(store, lease=LEASE, errors=ErrorCatalog())
        await worker.open()
        run = await worker.start(source.words(), metadata={}, idle_timeout=60)
        await asyncio.sleep(10.5)
        before = await store.read(run.id)
        assert len(before.frames) == 11
        worker.crash()
        await worker.clear_away()
        assert source.closed
        assert await store.read(run.id) == before
        assert await store.lapsed() == []
        await asyncio.sleep(LEASE)
        assert await store.lapsed() == [run.id]
        assert (await store.read(run.id)).frames == before.frames

    run_virtual(main())


def test_another_relay_notices() -> None:
    """Who shares the store with a dead worker ends its runs: lost, once the lease is over, though nobody looks (L2)."""

    async def main() -> None:
        store = a_store()
        worker = Worker(store, lease=LEASE, errors=ErrorCatalog())
        await worker.open()
        async with Relay(store, lease=LEASE):
            run = await worker.start(Source().words(), metadata={}, idle_timeout=60)
            worker.crash()
            await asyncio.sleep(LEASE + 1)
            assert (await store.info(run.id)).outcome == LOST
            await worker.clear_away()

    run_virtual(main())


def test_leaving_is_a_goodbye() -> None:
    """A worker that drains seals what it cannot end."""

    async def main() -> None:
        store, source = a_store(), Source()
        workers = Workers(store, lease=LEASE, errors=ErrorCatalog())
        await workers.open()
        run = await workers.start(source.words(), metadata={}, idle_timeout=60)
        await workers.drain(2)
        assert asyncio.get_running_loop().time() <= 2
        assert (await store.info(run.id)).outcome == Outcome("lost", "shutdown")
        assert source.closed

    run_virtual(main())


def test_a_dead_worker_is_replaced() -> None:
    """After a crash the next worker takes runs at once, and the dead one's are none of its business."""

    async def main() -> None:
        store = a_store()
        workers = Workers(store, lease=LEASE, errors=ErrorCatalog())
        await workers.open()
        old = await workers.start(Source().words(), metadata={}, idle_timeout=60)
        await workers.crash()
        new = await workers.start(Source().words(), metadata={}, idle_timeout=60)
        assert asyncio.get_running_loop().time() == 0
        await asyncio.sleep(LEASE + 1)
        assert (await store.info(old.id)).outcome == LOST
        assert (await store.info(new.id)).status == "running"
        await workers.drain(0)
        assert (await store.info(new.id)).outcome == Outcome("lost", "shutdown")

    run_virtual(main())


def test_who_leaves_takes_nothing() -> None:
    """Workers that leave start no run and no further worker, and close a source that they refuse."""

    async def main() -> None:
        workers = Workers(a_store(), lease=LEASE, errors=ErrorCatalog())
        await workers.open()
        await workers.drain(0)
        with pytest.raises(DrainingError):
            await workers.crash()
        source = Source().words()
        with pytest.raises(DrainingError):
            await workers.start(source, metadata={}, idle_timeout=60)
        with pytest.raises(StopAsyncIteration):
            await anext(source)
        await workers.drain(0)
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_a_crash_in_the_instant_of_a_start() -> None:
    """A start that the crash overtakes ends with an error, and leaves no run; its source is closed."""

    async def main() -> None:
        store = a_store()
        workers = Workers(store, lease=LEASE, errors=ErrorCatalog())
        await workers.open()
        source = Source().words()
        start = asyncio.ensure_future(workers.start(source, metadata={}, idle_timeout=60))
        await asyncio.sleep(0)
        await workers.crash()
        with pytest.raises(DrainingError):
            await start
        with pytest.raises(StopAsyncIteration):
            await anext(source)
        assert [info async for info in store.runs()] == []
        await workers.drain(0)

    run_virtual(main())
