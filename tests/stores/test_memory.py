"""The store in memory: it keeps the whole contract, and has bounds."""

import asyncio
import gc
import time
import tracemalloc
from typing import Any

import pytest

from sse_relay import Outcome, RunConflictError
from sse_relay.stores.memory import MemoryStore
from sse_relay.stores.protocol import Answer, Ended, Grant, Opening, Seal, Wake
from sse_relay.testing import StoreLaw, StoreUnderTest, run_virtual, store_contract

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")
LOST = Seal(Outcome("lost"), b"event: end\ndata: lost\n\n")
REPLACED = Seal(Outcome("cancelled", "replaced"), b"event: end\ndata: replaced\n\n")


async def start(store: MemoryStore, lease: float = 10.0, **options: Any) -> Grant:
    grant = (await store.open(Opening(lease, REPLACED, LOST, **options))).grant
    assert grant is not None
    return grant


def ignore(wake: Wake) -> None:
    del wake


@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_the_contract_is_kept(law: StoreLaw) -> None:
    """I1 to I9, L2, L3, L7, defects 1, 2, 7 to 9, 15, 17 and 19: the store in memory keeps every law."""

    def make(retention: float) -> StoreUnderTest:
        return StoreUnderTest(MemoryStore(retention=retention, clock=asyncio.get_running_loop().time))

    run_virtual(law(make))


@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_the_contract_is_kept_with_bounds(law: StoreLaw) -> None:
    """Bounds that are not reached change nothing, whatever is done when they are."""

    def make(retention: float) -> StoreUnderTest:
        clock = asyncio.get_running_loop().time
        store = MemoryStore(retention=retention, max_events=1000, max_bytes=10**6, on_full="trim", clock=clock)
        return StoreUnderTest(store)

    run_virtual(law(make))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retention": 0}, "retention must be positive, not 0"),
        ({"retention": -1}, "retention must be positive, not -1"),
        ({"retention": float("nan")}, "retention must be positive, not nan"),
        ({"max_events": 0}, "max_events must be positive, not 0"),
        ({"max_bytes": -5}, "max_bytes must be positive, not -5"),
        ({"on_full": "drop"}, 'on_full must be "fail" or "trim", not \'drop\''),
    ],
    ids=str,
)
def test_wrong_bounds_are_refused(options: dict[str, Any], problem: str) -> None:
    """A store is not made with a bound that makes no sense."""
    with pytest.raises(ValueError, match=problem):
        MemoryStore(**options)


def test_a_full_log_ends_with_a_seal() -> None:
    """L6: a log at its bound answers FULL, stays as it is, keeps its lease, and takes the seal that says so."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = MemoryStore(max_events=2, clock=loop.time)
        grant = await start(store)
        assert (await store.append(grant, 1, [b"1", b"2"])).answer is Answer.OK
        told = await store.append(grant, 3, [b"3"])
        assert (told.answer, told.last_offset) == (Answer.FULL, 2)
        assert (await store.append(grant, 3, [b"3"], SEAL)).answer is Answer.FULL
        assert (await store.info(grant.run_id)).status == "running"
        assert (await store.append(grant, 3, [], SEAL)).answer is Answer.OK
        assert list((await store.read(grant.run_id)).frames) == [b"1", b"2", SEAL.frame]

    run_virtual(main())


def test_bounds_are_per_run() -> None:
    """One full log takes nothing from another."""

    async def main() -> None:
        store = MemoryStore(max_events=1, max_bytes=5)
        for _ in range(3):
            grant = await start(store)
            assert (await store.append(grant, 1, [b"12345"])).answer is Answer.OK
            assert (await store.append(grant, 2, [b"6"])).answer is Answer.FULL

    run_virtual(main())


def test_a_trimmed_log_says_so() -> None:
    """Defect 15, I7: a reader who needed what was trimmed is told where the log goes on; one who did not is not."""

    async def main() -> None:
        store = MemoryStore(max_events=3, on_full="trim")
        grant = await start(store)
        for offset in range(1, 8):
            assert (await store.append(grant, offset, [b"%d" % offset])).answer is Answer.OK
        page = await store.read(grant.run_id)
        assert (page.after, page.first, list(page.frames)) == (0, 5, [b"5", b"6", b"7"])
        page = await store.read(grant.run_id, page.records()[0].cursor)
        assert (page.after, page.first, list(page.frames)) == (5, 6, [b"6", b"7"])
        await store.append(grant, 8, [], SEAL)
        page = await store.read(grant.run_id, 4)
        assert (page.after, page.first, list(page.frames)) == (4, 6, [b"6", b"7", SEAL.frame])
        assert page.info.outcome == SEAL.outcome

    run_virtual(main())


def test_a_wake_up_of_a_trimmed_batch_tells_the_gap() -> None:
    """I7: a batch longer than the log comes with what is left of it, and says that something is missing."""

    async def main() -> None:
        store, heard = MemoryStore(max_events=2, on_full="trim"), list[Wake]()
        grant = await start(store)
        (await store.follow(heard.append)).watch(grant.run_id)
        await store.append(grant, 1, [b"1", b"2", b"3"])
        (wake,) = heard
        assert wake.page is not None
        assert (wake.page.after, wake.page.first, list(wake.page.frames)) == (0, 2, [b"2", b"3"])

    run_virtual(main())


def test_nothing_leaks() -> None:
    """L7: twice the retention after the last of them nothing is left of runs, keys, starts and followers."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        store = MemoryStore(retention=100, clock=loop.time)
        follower = await store.follow(ignore)
        for number in range(100):
            options: dict[str, Any] = {
                "key": f"{number % 10}",
                "idempotency_key": f"{number}",
                "on_conflict": "replace",
            }
            grant = await start(store, **options)
            follower.watch(grant.run_id)
            await store.append(grant, 1, [b"1"], SEAL if number % 3 else None)
            await store.cancel(grant.run_id, "user")
        await follower.aclose()
        await asyncio.sleep(205)
        assert [info async for info in store.runs()] == []
        left = {name: value for name, value in vars(store._registry).items() if hasattr(value, "__len__")}
        assert len(left) == 6
        assert not any(left.values())
        assert store._watchers == {}

    run_virtual(main())


def test_followers_leave_nothing() -> None:
    """L6: a follower that no longer watches a run, or is closed, is forgotten, and the run's list with the last one."""

    async def main() -> None:
        store = MemoryStore()
        grant = await start(store)
        first, second = [await store.follow(ignore) for _ in range(2)]
        for follower in (first, second, first):
            follower.watch(grant.run_id)
        first.unwatch(grant.run_id)
        assert len(store._watchers[grant.run_id]) == 1
        await second.aclose()
        assert store._watchers == {}

    run_virtual(main())


def test_what_a_follower_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A follower that fails is found in the log, with its run, and the append is done."""

    def fails(wake: Wake) -> None:
        raise ValueError(wake.run_id)

    async def main() -> str:
        store = MemoryStore()
        grant = await start(store)
        (await store.follow(fails)).watch(grant.run_id)
        assert (await store.append(grant, 1, [b"1"])).answer is Answer.OK
        return grant.run_id

    run_id = run_virtual(main())
    (record,) = caplog.records
    assert record.getMessage() == f"a follower of run {run_id} failed"
    assert record.exc_info is not None


def test_a_follower_may_change_what_is_followed() -> None:
    """A follower that leaves, or makes another one watch, while it is told of a run breaks no wake-up."""

    async def main() -> None:
        store, heard = MemoryStore(), list[str]()
        grant = await start(store)

        def leave(wake: Wake) -> None:
            heard.append("first")
            first.unwatch(wake.run_id)
            third.watch(wake.run_id)

        first = await store.follow(leave)
        second = await store.follow(lambda _: heard.append("second"))
        third = await store.follow(lambda _: heard.append("third"))
        first.watch(grant.run_id)
        second.watch(grant.run_id)
        await store.append(grant, 1, [b"1"])
        await store.append(grant, 2, [b"2"])
        assert heard == ["first", "second", "second", "third"]

    run_virtual(main())


def test_an_event_costs_its_bytes() -> None:
    """L6: an event that was appended through the store takes its payload and 100 bytes at most."""

    async def main() -> float:
        store = MemoryStore()
        grant = await start(store)
        before = tracemalloc.get_traced_memory()[0]
        for offset in range(1, 5001):
            await store.append(grant, offset, [b"data: %92d\n\n" % offset])
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / 5000

    tracemalloc.start()
    try:
        assert run_virtual(main()) <= len(b"data: %92d\n\n" % 0) + 100
    finally:
        tracemalloc.stop()


def test_the_clock_is_the_time_of_day() -> None:
    """Without a clock of its own a store tells when a run was opened as people would, and never goes back."""

    async def main() -> None:
        store = MemoryStore()
        grant = await start(store)
        assert (await store.info(grant.run_id)).created_at == pytest.approx(time.time(), abs=60)

    run_virtual(main())


def test_two_followed_ends_are_one() -> None:
    """I2: an end that is asked again changes nothing, wakes nobody and is not told to have sealed."""

    async def main() -> None:
        store, heard = MemoryStore(), list[Wake]()
        grant = await start(store)
        (await store.follow(heard.append)).watch(grant.run_id)
        first = await store.end(grant.run_id, LOST)
        assert await store.end(grant.run_id, SEAL) == Ended(first.info, sealed=False)
        assert first.sealed
        assert len(heard) == 1

    run_virtual(main())


def test_a_refused_start_says_which_run_is_there() -> None:
    """G1: the error names the key and the active run, also where only the id is taken."""

    async def main() -> None:
        store = MemoryStore()
        grant = await start(store, key="k", run_id="mine")
        asked: list[dict[str, Any]] = [{"key": "k"}, {"run_id": "mine"}]
        for options in asked:
            with pytest.raises(RunConflictError) as caught:
                await start(store, **options)
            assert caught.value.run_id == grant.run_id

    run_virtual(main())


def test_closing_keeps_what_is_stored() -> None:
    """A store that was closed by one relay goes on for the others."""

    async def main() -> None:
        store = MemoryStore()
        grant = await start(store)
        await store.aclose()
        assert (await store.append(grant, 1, [b"1"])).answer is Answer.OK

    run_virtual(main())
