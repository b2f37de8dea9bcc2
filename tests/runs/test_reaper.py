"""End runs over their producers' heads."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sse_relay import Outcome, Relay, RunNotFoundError
from sse_relay.runs.reaper import LOST, Reaper
from sse_relay.stores.protocol import Page, RunInfo
from sse_relay.testing import History, cancel_at_every_await, cancelled_at, run_virtual
from tests.runs.faults import memory, numbers, process, said, settle, view
from tests.runs.test_opening import request


def test_a_living_run_is_left_alone() -> None:
    """Looking seals a run only once its lease has passed; then it is lost, and told of once (L2)."""

    async def main() -> None:
        store: Any = memory()
        told: list[tuple[RunInfo, Page]] = []
        reaper = Reaper(store, 4.0, lambda info, page: told.append((info, page)))
        opened, _ = await request(1).open(store, 4.0)
        assert (await reaper.look(opened.info.id)).status == "running"
        await asyncio.sleep(4)
        info = await reaper.look(opened.info.id)
        assert (info.status, info.last_offset) == ("lost", 1)
        assert await reaper.look(opened.info.id) == info
        ((ended, last),) = told
        assert ended == info
        assert last == await store.read(info.id)
        with pytest.raises(RunNotFoundError):
            await reaper.look("nothing")

    run_virtual(main())


def test_whoever_is_first_seals() -> None:
    """Of two who end a run one is told that it did, and the outcome is that one's (I2, I8)."""

    async def main() -> None:
        store: Any = memory()
        told: list[Any] = []
        opened, _ = await request(1).open(store, 4.0)
        for name in ("first", "second"):
            reaper = Reaper(store, 4.0, lambda info, _: told.append(info.outcome and info.outcome.reason))
            info = await reaper.end(opened.info.id, Outcome("cancelled", name))
            assert info.outcome == Outcome("cancelled", "first")
        assert told == ["first"]

    run_virtual(main())


def test_the_sweep_finds_whatever_lapses() -> None:
    """Unobserved, a thousand dead producers' runs are lost within a second of their leases, an outage apart (L2)."""

    async def main() -> None:
        store: Any = process(memory())
        told: list[float] = []
        reaper = Reaper(store, 10.0, lambda *_: told.append(asyncio.get_running_loop().time()))
        sweeping = asyncio.create_task(reaper.sweep())
        for _ in range(1000):
            await request(1).open(store, 10.0)
        await asyncio.sleep(5)
        assert store.calls["lapsed"] <= 5
        await asyncio.sleep(15)
        assert len(told) == 1000
        assert max(told) <= 11
        await request(1).open(store, 10.0)
        for fault, value in (("down", True), ("down", False)):
            await asyncio.sleep(9)
            setattr(store, fault, value)
        await asyncio.sleep(1.5)
        assert len(told) == 1000
        await asyncio.sleep(2.5)
        assert len(told) == 1001
        sweeping.cancel()

    run_virtual(main())


@pytest.mark.parametrize("fault", ["down", "hung"])
def test_after_an_outage_the_producers_come_first(fault: str) -> None:
    """I5, L2: runs that lapsed in an outage are left a moment to who holds what they said; then they are lost."""

    async def main() -> None:
        store = memory()
        handle = process(store)
        async with Relay(handle) as relay:
            dead, _ = await request(1).open(store, 10.0)
            run = await relay.start(numbers(None, 0.1))
            await asyncio.sleep(1)
            setattr(handle, fault, True)
            await asyncio.sleep(30)
            setattr(handle, fault, False)
            for _ in range(20):
                assert (await relay.info(dead.info.id)).status == "running"
                await relay.info(run.id)
                await asyncio.sleep(0.1)
            assert (await relay.info(run.id)).status == "failed"
            await asyncio.sleep(2)
            assert (await store.info(dead.info.id)).status == "lost"

    run_virtual(main())


async def nothing(_: int) -> list[str]:
    """Tell of no run."""
    return []


async def dead(store: Any, key: str | None = None) -> str:
    """Leave a run whose lease has passed."""
    opened, _ = await request(1, key=key).open(store, 2.0)
    await asyncio.sleep(2)
    return opened.info.id


REAPS: dict[str, Callable[[Relay, str], Coroutine[Any, Any, object]]] = {
    "info": lambda relay, run_id: relay.info(run_id),
    "wait": lambda relay, run_id: relay.wait(run_id),
    "active": lambda relay, _: relay.active("k"),
    "start": lambda relay, _: relay.start(numbers(1), key="k"),
    "subscribe": view,
    "cancel": lambda relay, run_id: relay.cancel(run_id, grace=0),
}


@pytest.mark.parametrize("again", [0, 1])
@pytest.mark.parametrize("how", REAPS)
def test_whoever_reaps_may_be_cancelled(how: str, again: int) -> None:
    """I9, I2, L2: a call that reaps, cancelled at any await, once or twice, leaves a run that ends once, for all."""

    async def main() -> None:
        history, told = History(), list[RunInfo]()
        store = history.recorded(memory())
        handle = process(store, pause=lambda: asyncio.sleep(0.001))
        handle.lapsed = nothing  # no sweep: only whoever looks
        async with Relay(handle, on_transition=told.append) as relay, Relay(handle) as other:
            run_id = await dead(store, "k")

            async def reap() -> None:
                await REAPS[how](relay, run_id)

            async def check(step: int) -> None:
                nonlocal run_id
                await asyncio.sleep(1)
                ended = await other.info(run_id)
                assert ended.outcome is not None, step
                assert ended.outcome.status in {"lost", "cancelled"}, step
                assert said(await view(other, run_id)) == ["end"], step
                assert [info.outcome for info in told if info.id == run_id] in ([], [ended.outcome]), step
                if (active := await other.active("k")) is not None:
                    await other.wait(active.id)
                run_id = await dead(store, "k")

            assert await cancel_at_every_await(reap, check, again=again) >= 1
            history.check()
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
def test_a_sweep_may_be_cancelled(again: int) -> None:
    """I9, I2: a sweep that is cancelled at any await leaves runs that the next one seals, each once."""

    async def main() -> None:
        history, told = History(), list[str]()
        store = history.recorded(memory())
        slow = process(store, pause=lambda: asyncio.sleep(0.001))
        swept = 0
        for step in range(1, 30):
            runs = [await dead(store) for _ in range(3)]
            told.clear()
            with pytest.raises(asyncio.CancelledError):
                await cancelled_at(
                    Reaper(slow, 2.0, lambda info, _: told.append(info.id)).sweep(), {step, step + again}
                )
            swept += not await store.lapsed()
            for _ in range(2):
                for run_id in runs:
                    reaper = Reaper(store, 2.0, lambda info, _: told.append(info.id))
                    assert (await reaper.look(run_id)).outcome == LOST, step
            assert len(told) == len(set(told)), step
            for run_id in runs:
                assert (await store.read(run_id)).last == 1, step
        assert 0 < swept < 29
        history.check()
        await settle()

    run_virtual(main())
