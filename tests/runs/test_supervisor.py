"""Watch over the runs of one process: from the claim to the seal."""

import asyncio

import pytest

from sse_relay import Outcome, Relay
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import Probe, run_virtual
from tests.runs.faults import memory, numbers, process, settle, silence, view


def test_nothing_is_kept_of_a_run_that_is_over() -> None:
    """L6: a process that has run a thousand sources holds no task, lease, watch or source of them."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as relay:
            for number in range(1000):
                run = await relay.start(numbers(1, 0.0), key=str(number % 7))
                await relay.wait(run.id)
            await asyncio.sleep(1)
            assert not relay._supervisor._live
            assert not relay._supervisor._keeper._held
            assert not store._watchers
            assert len(relay._tasks) == 2  # the sweep, and the tail's look
        await settle()

    run_virtual(main())


def test_a_takeover_stops_the_old_producer_at_once() -> None:
    """A producer that hears that its run was given away stops its source without another append (I6)."""

    async def main() -> None:
        store = memory()
        handle = process(store)
        async with Relay(handle) as here, Relay(store) as there:
            probe = Probe(None, waits=True)
            await here.start(probe, key="k")
            await asyncio.sleep(1)
            handle.calls.clear()
            await there.start(silence(), key="k", on_conflict="replace")
            await asyncio.sleep(0.1)
            assert probe.closed
            assert handle.calls["append"] <= 1

    run_virtual(main())


def test_the_end_is_told_though_the_store_is_gone() -> None:
    """A run that was sealed is told of also when its state cannot be read back."""

    async def main() -> None:
        handle, told = process(memory()), list[RunInfo]()
        async with Relay(handle, on_transition=told.append) as relay:
            handle.down = {"info"}
            run = await relay.start(numbers(1))
            await asyncio.sleep(1)
            assert [(info.status, info.outcome) for info in told] == [
                ("running", None),
                ("completed", Outcome("completed")),
            ]
            assert told[1].id == run.id

    run_virtual(main())


@pytest.mark.parametrize("seed", range(20))
def test_two_relays_race_for_one_key(seed: int) -> None:
    """§1.7: of starts that race for a key, one run at a time is active, and each run ends once, told once each."""

    async def main() -> None:
        store = memory()
        told: list[RunInfo] = []
        pause = 0.001 * (seed % 4)
        async with (
            Relay(process(store, pause=lambda: asyncio.sleep(pause)), on_transition=told.append) as here,
            Relay(process(store, pause=lambda: asyncio.sleep(0.002)), on_transition=told.append) as there,
        ):
            starts = [
                relay.start(
                    numbers(5, 0.003),
                    key="k",
                    on_conflict=("replace", "join")[(seed + index) % 2],
                )
                for index in range(5)
                for relay in (here, there)
            ]
            infos = await asyncio.gather(*starts)
            made = {info.id for info in infos if not info.joined}
            for run_id in made:
                assert (await there.wait(run_id)).status in {"completed", "cancelled"}
                events = await view(there, run_id)
                assert [event.event for event in events].count("end") == 1
            await asyncio.sleep(1)
            assert {info.id async for info in here.runs()} == made
            assert sum(info.outcome == Outcome("completed") for info in told) == 1
            assert len(told) == 2 * len(made)
        await settle()

    run_virtual(main())
