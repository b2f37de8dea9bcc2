"""A store that writes down what was asked of another one, and what it answered."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from sse_relay import MemoryStore
from sse_relay.stores.protocol import Page, Wake
from sse_relay.testing import FaultyStore, History, StoreUnderTest, run_virtual, store_contract
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.under_test import frames, opening


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_a_right_store_is_recorded_without_a_finding(law: StoreLaw, slow: bool) -> None:
    """A recorded store is a store by every law, and whatever the laws ask of a right one breaks no invariant."""
    histories: list[History] = []

    def make(retention: float) -> StoreUnderTest:
        histories.append(history := History())
        store = MemoryStore(retention=retention, clock=asyncio.get_running_loop().time)
        here, there = FaultyStore(store), FaultyStore(store)
        if slow:
            stack.enter_context(here.delays(0.001))
            stack.enter_context(there.delays(0.002))
        return StoreUnderTest(history.recorded(here), history.recorded(there))

    with ExitStack() as stack:
        run_virtual(law(make))
    for history in histories:
        history.check()


def test_what_wakes_is_recorded() -> None:
    """I4: the records that come with a wake-up are held against the log, and passed on as they are."""

    async def main() -> None:
        history, heard = History(), list[Wake]()
        store = history.recorded(MemoryStore())
        grant = (await store.open(opening())).grant
        assert grant is not None
        (await store.follow(heard.append)).watch(grant.run_id)
        await store.append(grant, 1, frames("a"))
        await store.cancel(grant.run_id, "user")
        assert [(wake.page and wake.page.first, wake.cancel) for wake in heard] == [(1, None), (None, "user")]
        history.check()
        info = await store.info(grant.run_id)
        memory: Any = store.store
        for watchers in memory._watchers.values():
            for on_wake in watchers.values():
                on_wake(Wake(grant.run_id, Page(info, grant.epoch, 1, frames("x"), 0)))
        with pytest.raises(AssertionError, match=r"I4: run .* a wake-up: record \w+:1 is b'data: x"):
            history.check()

    run_virtual(main())


def test_whom_a_start_has_ended_is_recorded() -> None:
    """I2, I8: the state of a run that was replaced is held against what is told of it later."""

    async def main() -> None:
        for ends in (True, False):
            history = History()
            memory = MemoryStore()
            store = history.recorded(memory)
            old = (await store.open(opening(key="k"))).info
            await store.open(opening(key="k", on_conflict="replace"))
            if not ends:
                memory._registry._runs[old.id].outcome = None
            await store.cancel(old.id, "user")
            if ends:
                history.check()
            else:
                with pytest.raises(AssertionError, match=r"I8: run .* is running again, after it was cancelled"):
                    history.check()

    run_virtual(main())
