"""Faults between one process and its store."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack
from random import Random
from typing import Any

import pytest

from sse_relay import MemoryStore, RunNotFoundError, StoreUnavailableError
from sse_relay.stores.protocol import Answer, Ended, Grant, Seal, Wake
from sse_relay.testing import FaultyStore, StoreUnderTest, run_virtual, store_contract
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.under_test import frames, opening, sealed, start


def now() -> float:
    return asyncio.get_running_loop().time()


def memory(**options: Any) -> MemoryStore:
    return MemoryStore(clock=now, **options)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def length(store: MemoryStore, grant: Grant) -> int:
    return (await store.info(grant.run_id)).last_offset


FAULTS: dict[str, Callable[[FaultyStore], AbstractContextManager[object]]] = {
    "none": lambda _: ExitStack(),
    "delays": lambda handle: handle.delays(0.001),
    "delays of some": lambda handle: handle.delays(lambda: Random(1).random() / 100, "append", "read"),
    "late wake-ups": lambda handle: handle.late_wakeups(0.02),
    "doubled wake-ups": lambda handle: handle.late_wakeups(0.01, twice=True),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_a_faulty_store_is_a_store(law: StoreLaw, fault: str) -> None:
    """Every law of stores holds behind faults that no law excludes: none, delays, wake-ups that are late or doubled."""
    with ExitStack() as stack:

        def make(retention: float) -> StoreUnderTest:
            store = memory(retention=retention)
            here, there = FaultyStore(store), FaultyStore(store)
            for handle in (here, there):
                stack.enter_context(FAULTS[fault](handle))
            return StoreUnderTest(here, there)

        run_virtual(law(make))


@pytest.mark.parametrize(
    "fault",
    [
        lambda handle: handle.outage("apend"),
        lambda handle: handle.lost_replies("open", "aclose"),
        lambda handle: handle.delays(1, "wake"),
        lambda handle: handle.frozen("reed").__enter__(),
        lambda handle: handle.at(1, settle, "opne"),
        lambda handle: handle.takeover_at(1, "opne"),
        lambda handle: handle.frozen_at(1, 1.0, "opne"),
    ],
    ids=["outage", "lost_replies", "delays", "frozen", "at", "takeover_at", "frozen_at"],
)
def test_a_typo_is_refused(fault: Callable[[FaultyStore], object]) -> None:
    """A fault of an operation that there is not would never happen: it is a ValueError at once."""
    with pytest.raises(ValueError, match="a store has no operation"):
        fault(FaultyStore(MemoryStore()))


def test_an_outage_does_nothing() -> None:
    """What is asked during an outage is not done and says so; then it is done again."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant = await start(handle)
        with handle.outage("append", "read"):
            with pytest.raises(StoreUnavailableError):
                await handle.append(grant, 1, frames(1))
            with pytest.raises(StoreUnavailableError):
                await handle.read(grant.run_id)
            assert (await handle.info(grant.run_id)).last_offset == 0
        with handle.outage(), pytest.raises(StoreUnavailableError):
            await handle.info(grant.run_id)
        assert (await handle.append(grant, 1, frames(1))).answer is Answer.OK
        assert handle.calls["append"] == 2

    run_virtual(main())


def test_a_lost_reply_was_done() -> None:
    """What is asked is done, and the answer is lost, be it a refusal; as often as it was to be, and no more."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant = await start(handle)
        with handle.lost_replies("append", "info", times=2):
            with pytest.raises(StoreUnavailableError):
                await handle.append(grant, 1, frames(1))
            assert await length(store, grant) == 1
            with pytest.raises(StoreUnavailableError):
                await handle.info("nothing")
            assert (await handle.append(grant, 1, frames(1))).answer is Answer.DUPLICATE
        with pytest.raises(RunNotFoundError):
            await handle.info("nothing")

    run_virtual(main())


def test_faults_nest() -> None:
    """Faults are layers: the outer one comes first on the way there and last on the way back; leaving takes one off."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant = await start(handle)
        with handle.delays(2, "append"):
            with handle.delays(1), handle.lost_replies("append"):
                with pytest.raises(StoreUnavailableError):
                    await handle.append(grant, 1, frames(1))
                assert now() == pytest.approx(3)  # a lost answer is no longer waited for
                await handle.info(grant.run_id)
                assert now() == pytest.approx(5)
            await handle.append(grant, 2, frames(2))
            assert now() == pytest.approx(9)
        await handle.append(grant, 3, frames(3))
        assert now() == pytest.approx(9)

    run_virtual(main())


def test_wake_ups_are_dropped() -> None:
    """All wake-ups are lost, or those that a function picks; the others of the same store are heard."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        heard: list[Wake] = []
        grant = await start(handle)
        (await handle.follow(heard.append)).watch(grant.run_id)
        with handle.dropped_wakeups():
            await store.append(grant, 1, frames(1))
        assert not heard
        with handle.dropped_wakeups(lambda wake: wake.cancel is not None):
            await store.cancel(grant.run_id, "user")
            await store.append(grant, 2, frames(2))
        assert [wake.page and wake.page.first for wake in heard] == [2]
        with handle.late_wakeups(5):
            await store.append(grant, 3, frames(3))
        assert len(heard) == 1
        await asyncio.sleep(6)
        assert [wake.page and wake.page.first for wake in heard] == [2, 3]
        with handle.late_wakeups(5, twice=True):
            await store.append(grant, 4, frames(4))
        assert len(heard) == 3
        await asyncio.sleep(6)
        assert [wake.page and wake.page.first for wake in heard] == [2, 3, 4, 4]

    run_virtual(main())


def test_a_frozen_process_goes_on_where_it_was() -> None:
    """While it is frozen nothing of it gets through, either way; then all of it does, in order."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        heard: list[Wake] = []
        grant = await start(handle)
        (await handle.follow(heard.append)).watch(grant.run_id)
        with handle.delays(1, "info"):
            under_way = asyncio.create_task(handle.info(grant.run_id))
            await asyncio.sleep(0.5)
        with handle.frozen():
            asked = asyncio.create_task(handle.append(grant, 3, frames(3)))
            for offset in (1, 2):
                await store.append(grant, offset, frames(offset))
            await asyncio.sleep(100)
            assert not asked.done()
            assert not under_way.done()  # the answer is there, and not heard
            assert not heard
            assert await length(store, grant) == 2
        assert (await asked).answer is Answer.OK
        assert (await under_way).last_offset == 2
        assert [wake.page and wake.page.first for wake in heard] == [1, 2, 3]
        with handle.frozen("append"):
            asked = asyncio.create_task(handle.append(grant, 4, frames(4)))
            await handle.info(grant.run_id)
            await store.cancel(grant.run_id, "user")
            assert heard[-1].cancel == "user"
            assert not asked.done()
        await asked

    run_virtual(main())


def test_freezes_nest() -> None:
    """A process that is frozen twice goes on when both are over."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        heard: list[Wake] = []
        grant = await start(handle)
        (await handle.follow(heard.append)).watch(grant.run_id)
        with handle.frozen():
            with handle.frozen():
                asked = asyncio.create_task(handle.info(grant.run_id))
                await store.append(grant, 1, frames(1))
                await settle()
            await settle()
            assert not asked.done()
            assert not heard
        await asked
        assert len(heard) == 1

    run_virtual(main())


def test_what_a_frozen_process_gave_up_on_arrives_late() -> None:
    """I6: an append whose caller has given up goes out at the thaw as it was, and the store has to fence it."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        first, second = await start(handle), await start(handle)
        with handle.frozen():
            for grant in (first, second):
                batch = frames("a", "b")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await handle.append(grant, 1, batch)
                batch.clear()
            await store.end(second.run_id, sealed("lost"))
            assert await length(store, first) == 0
        await settle()
        assert list((await store.read(first.run_id)).frames) == frames("a", "b")
        assert list((await store.read(second.run_id)).frames) == [sealed("lost").frame]
        assert not handle._late

    run_virtual(main())


def test_a_late_refusal_is_nobodys() -> None:
    """What is refused when it arrives late is not complained of: nobody waits for it."""

    async def main() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        handle = FaultyStore(memory())
        with handle.frozen(), pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await handle.info("nothing")
        await settle()
        gc.collect()
        assert handle.calls["info"] == 1
        assert not handle._late
        assert not complaints

    run_virtual(main())


def test_a_vanished_process_is_gone() -> None:
    """Nothing of it goes through again, and nothing reaches it; what hangs can be cancelled, and never arrives."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        heard: list[Wake] = []
        grant = await start(handle)
        (await handle.follow(heard.append)).watch(grant.run_id)
        with handle.frozen():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await handle.append(grant, 1, frames("given up"))
            handle.vanish()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await handle.append(grant, 1, frames("given up"))
            hanging = asyncio.create_task(handle.append(grant, 1, frames("never")))
            await store.cancel(grant.run_id, "user")
            await settle()
            assert not handle._held
        await store.append(grant, 1, frames(1))
        await asyncio.sleep(1000)
        assert not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not heard
        assert list((await store.read(grant.run_id)).frames) == frames(1)
        await handle.aclose()

    run_virtual(main())


def test_what_is_late_vanishes_too() -> None:
    """What went out at a thaw and stands still again is gone with its process, and no task is left (L7)."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant = await start(handle)
        with handle.frozen(), pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await handle.append(grant, 1, frames(1))
        with handle.frozen():
            await settle()
            assert handle._late
            handle.vanish()
            await settle()
            assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await length(store, grant) == 0

    run_virtual(main())


def test_something_at_a_step() -> None:
    """A step comes once, before the n-th operation of those that are named, and tells whether it was reached."""

    async def main() -> None:
        handle = FaultyStore(memory())
        grant = await start(handle)
        counts: list[int] = []

        async def count() -> None:
            counts.append(handle.calls["append"])

        with handle.at(2, count, "append") as step, handle.at(9, count) as never:
            for offset in (1, 2, 3):
                assert step.reached == (offset == 3)
                await handle.info(grant.run_id)
                await handle.append(grant, offset, frames(offset))
        assert counts == [2]
        assert not never.reached

    run_virtual(main())


def test_a_takeover_at_a_step() -> None:
    """I6: before that operation another process ends every run, and what comes is fenced."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant, other = await start(handle), await start(handle)
        with handle.takeover_at(2, "append") as taken:
            assert (await handle.append(grant, 1, frames(1))).answer is Answer.OK
            assert not taken.reached
            assert (await handle.append(grant, 2, frames(2))).answer is Answer.FENCED
            assert taken.reached
        for run_id in (grant.run_id, other.run_id):
            assert (await store.info(run_id)).status == "lost"
        third = await start(handle)
        assert (await handle.append(third, 1, frames(1))).answer is Answer.OK

    run_virtual(main())


def test_a_takeover_of_a_run_that_goes_meanwhile() -> None:
    """A run that is gone by the time when it is to be taken over holds no other takeover up."""

    class Forgets(MemoryStore):
        async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
            if run_id == "gone":
                raise RunNotFoundError(run_id)
            return await super().end(run_id, seal, lapsed_only=lapsed_only)

    async def main() -> None:
        store = Forgets()
        handle = FaultyStore(store)
        grant = await start(handle)
        await start(handle, run_id="gone")
        with handle.takeover_at(1, "info"):
            assert (await handle.info(grant.run_id)).status == "lost"

    run_virtual(main())


def test_frozen_from_a_step_on() -> None:
    """From before that operation the process stands still for so many seconds, and then goes on."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        grant = await start(handle)
        with handle.frozen_at(2, 30.0) as frozen:
            await handle.append(grant, 1, frames(1))
            assert now() == 0
            asked = asyncio.create_task(handle.append(grant, 2, frames(2)))
            await asyncio.sleep(29)
            assert frozen.reached
            assert await length(store, grant) == 1
            await asked
            assert now() == 30

    run_virtual(main())


WORK: list[Callable[[FaultyStore, Grant], Coroutine[Any, Any, object]]] = [
    lambda handle, grant: handle.append(grant, 1, frames(1)),
    lambda handle, grant: handle.end(grant.run_id, sealed()),
    lambda handle, _: handle.open(opening()),
]


@pytest.mark.parametrize("work", WORK, ids=["append", "end", "open"])
def test_a_cancelled_call_is_cancelled(work: Callable[[FaultyStore, Grant], Coroutine[Any, Any, object]]) -> None:
    """I9: behind any fault CancelledError propagates at once."""

    async def main() -> None:
        for frozen in (False, True):
            handle = FaultyStore(memory())
            grant = await start(handle)
            with handle.frozen() if frozen else handle.delays(5):
                for wait in (0, 3, 7):
                    asked = asyncio.create_task(work(handle, grant))
                    await asyncio.sleep(wait)
                    asked.cancel()
                    await asyncio.wait({asked}, timeout=0.1)
                    assert asked.cancelled()
        await settle()

    run_virtual(main())


def test_a_freeze_that_is_thrown_away_does_nothing() -> None:
    """A context that nobody leaves is collected after its loop, and then sends nothing on."""

    async def main() -> None:
        store = FaultyStore(MemoryStore())
        freeze = store.frozen()
        freeze.__enter__()
        asking = asyncio.create_task(store.info("r"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        kept.append(freeze)

    kept: list[Any] = []
    asyncio.run(main())
    kept.pop().gen.close()
