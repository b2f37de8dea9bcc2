"""A fault at every step of a producer: whatever comes after it is fenced, and the run ends once."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from sse_relay import Cursor, CursorMismatchError, MemoryStore, Relay, ServerSentEvent
from sse_relay.stores.protocol import Answer, Appended, Grant, RunInfo, Seal
from sse_relay.testing import FaultAt, FaultyStore, History, Probe, fault_at_every_step, run_virtual
from sse_relay.testing.stores.under_test import frames, sealed, start, wrote
from tests.runs.faults import memory, said, settle, view

LEASE = 2.0
FAULTS: dict[str, tuple[FaultAt, set[str]]] = {
    "taken over": (FaultyStore.takeover_at, {"lost", "completed"}),
    "frozen for a moment": (lambda handle, step: handle.frozen_at(step, LEASE / 4), {"completed"}),
    "frozen past its lease": (lambda handle, step: handle.frozen_at(step, LEASE + 1.5), {"lost", "completed"}),
    "frozen for long": (lambda handle, step: handle.frozen_at(step, 60.0), {"lost", "completed"}),
}


class Answering(MemoryStore):
    """A store that keeps what it answers to appends."""

    def __init__(self, given: list[Answer]) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.given = given

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        self.given.append(answered.answer)
        return answered


@pytest.mark.parametrize("fault", FAULTS)
def test_a_producer_with_a_fault_at_every_step(fault: str) -> None:
    """I2, I5, I6, L2, defect 2: taken over or frozen before any operation, and thawed, it commits nothing behind."""
    happens, statuses = FAULTS[fault]

    async def main() -> None:
        history, ended, told, given = History(), list[RunInfo](), list[RunInfo](), list[Answer]()
        store = history.recorded(Answering(given))
        probe = Probe(0)

        async def work(handle: FaultyStore) -> None:
            nonlocal probe
            probe = Probe(4, waits=True)
            told.clear()
            zombie = Relay(handle, lease=LEASE, on_transition=told.append)
            with handle.delays(0.003, "open", "append"):
                async with Relay(store, lease=LEASE) as other, zombie as relay:
                    run = await relay.start(probe)
                    await relay.wait(run.id)
                    ended.append(await other.info(run.id))
                    await asyncio.sleep(1)

        async def check(step: int) -> None:
            run = ended[-1]
            async with Relay(store) as relay:
                log = await view(relay, run.id)
                assert await relay.info(run.id) == run, step
            assert said(log) == [*map(str, range(len(log) - 1)), "end"], step
            assert [event.outcome for event in log] == [None] * (len(log) - 1) + [run.outcome], step
            assert probe.closed, step
            assert sum(info.outcome is not None for info in told) <= 1, step
            history.check()

        assert await fault_at_every_step(store, happens, work, check) > 8
        assert {run.status for run in ended} == statuses
        assert (Answer.FENCED in given) == ("lost" in statuses)
        await settle()

    run_virtual(main())


class Relayed(MemoryStore):
    """A store where the right to produce may be handed over: a log of many epochs."""

    async def hand_over(self, run_id: str) -> Grant:
        """Raise the fence, and give the right to somebody else."""
        run = self._registry.get(run_id)
        run.fence += 1
        run._ends.append(run.last_offset)
        run._epochs.append(f"epoch-{run.fence:03}")
        return Grant(run_id, run._epochs[-1], run.fence, 1000.0)


@pytest.mark.parametrize("size", [1, 3, 600])
def test_a_log_of_many_epochs(size: int) -> None:
    """I3, I4, I7, I11: from every cursor of every epoch, in the window and paged, on any relay, one log is seen."""

    async def main() -> None:
        history = History()
        relayed = Relayed(clock=asyncio.get_running_loop().time)
        store = history.recorded(relayed)
        async with Relay(store) as here, Relay(FaultyStore(store)) as there:
            grant = await start(store, lease=1000.0)
            run_id = grant.run_id
            live = [asyncio.create_task(seen(history, relay, run_id, 0)) for relay in (here, there)]
            ends: dict[str, int] = {}
            last = 0
            for count in (size, 0, 2 * size, 1):
                await asyncio.sleep(0.01)
                if count:
                    await wrote(store, grant, last + 1, frames(*range(last + 1, last + count + 1)))
                last += count
                ends[grant.epoch] = last
                zombie, grant = grant, await relayed.hand_over(run_id)
                await store.info(run_id)  # the history hears of the new epoch
                late = await store.append(zombie, last + 1, frames("late"))
                assert late.answer is Answer.FENCED
            await wrote(store, grant, last + 1, [], sealed())
            ends[grant.epoch] = last + 1
            whole = await live[0]
            assert said(whole) == [*map(str, range(1, last + 1)), "end"]
            assert await live[1] == whole
            assert [Cursor.parse(event.id or "") for event in whole] == [
                record.cursor for record in history.log(run_id)
            ]
            places = range(last + 2) if size < 600 else (0, 1, 499, 500, 501, 599, 600, 601, last, last + 1)
            for epoch, end in ends.items():
                for offset in places:
                    for relay in (here, there):
                        if offset <= end:
                            assert await seen(history, relay, run_id, Cursor(epoch, offset)) == whole[offset:]
                            continue
                        with pytest.raises(CursorMismatchError) as raised:
                            await seen(history, relay, run_id, Cursor(epoch, offset))
                        assert raised.value.kind == "rolled_back"
            for offset in places:
                assert await seen(history, here, run_id, offset) == whole[offset:]
            with pytest.raises(CursorMismatchError) as raised:
                await seen(history, there, run_id, Cursor("another-epoch", 1))
            assert raised.value.kind == "foreign"
        history.check()
        await settle()

    async def seen(history: History, relay: Relay, run_id: str, after: Cursor | int) -> list[ServerSentEvent]:
        async with history.subscribe(relay, run_id, after) as events:
            return [event async for event in events]

    run_virtual(main())


def test_viewers_in_the_window_across_a_takeover() -> None:
    """I1, I4, I7: whoever watches while a run is taken over sees its records, and then the other epoch's end."""

    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            for number in range(40):
                await asyncio.sleep(0.01)
                yield str(number)

        history = History()
        store = history.recorded(memory())
        for step in range(1, 30):
            handle = FaultyStore(store)
            async with Relay(handle) as here, Relay(FaultyStore(store)) as there:
                with handle.takeover_at(step, "append") as taken:
                    run = await here.start(source())
                    viewers = []
                    for relay in (here, there):
                        for after in (0, 5):
                            await asyncio.sleep(0.03)
                            viewers.append(asyncio.create_task(read(history, relay, run.id, after)))
                    logs = [await viewer for viewer in viewers]
                assert taken.reached
                log = logs[0]
                assert said(log)[:-1] == [str(number) for number in range(step - 1)]
                epochs = {Cursor.parse(event.id or "").epoch for event in log[:-1]}
                assert epochs <= {run.epoch}
                assert Cursor.parse(log[-1].id or "").epoch != run.epoch
                assert logs[2] == log
        history.check()
        await settle()

    async def read(history: History, relay: Relay, run_id: str, after: int) -> list[ServerSentEvent]:
        try:
            async with history.subscribe(relay, run_id, after) as events:
                return [event async for event in events]
        except CursorMismatchError:  # it has not come so far
            return []

    run_virtual(main())
