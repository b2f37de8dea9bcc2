"""One live tail per process, any number of viewers."""

import asyncio
from typing import Any

import pytest

from sse_relay import DrainingError, Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.runs.tail import Tail
from sse_relay.runs.tasks import Tasks
from sse_relay.stores.protocol import Grant, Wake
from sse_relay.testing import run_virtual
from tests.runs.faults import memory, process
from tests.runs.test_opening import request


async def opened(store: Any) -> Grant:
    found, _ = await request(1).open(store, 1000.0)
    assert found.grant is not None
    return found.grant


def test_a_tail_hears_of_what_is_watched_and_no_more() -> None:
    """One follower hears of all runs that are viewed or produced here; the last one out is forgotten (L6)."""

    async def main() -> None:
        store: Any = memory()
        tasks, heard = Tasks(), list[Wake]()
        tail = Tail(store, tasks.spawn)
        await tail.open()
        grant = await opened(store)
        run_id = grant.run_id
        first, second = tail.enter(run_id), tail.enter(run_id)
        assert first is second
        tail.produce(run_id, heard.append)
        await store.append(grant, 1, [b"data: 1\n\n"])
        assert first.after(grant.epoch, 0) is not None
        assert len(heard) == 1
        for _ in range(2):
            tail.leave(run_id, first)
        assert tail.enter(run_id) is not first
        tail.leave(run_id, tail._windows[run_id])
        await store.append(grant, 2, [b"data: 2\n\n"])
        assert len(heard) == 2
        tail.produced(run_id)
        tail.produced(run_id)
        await store.append(grant, 3, [b"data: 3\n\n"])
        assert len(heard) == 2
        assert not store._watchers
        await tail.aclose()
        await tasks.close(1)
        assert not len(tasks)

    run_virtual(main())


def test_a_wake_up_without_records_is_one_read() -> None:
    """Word that there is something costs one read for all viewers, and one more if more came meanwhile (L6)."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        await tail.open()
        grant = await opened(store)
        window = tail.enter(grant.run_id)
        window.note(await store.info(grant.run_id))
        await store.append(grant, 1, [b"data: 1\n\n"])
        store.pause = lambda: asyncio.sleep(0.01)
        for _ in range(10):
            tail.hear(Wake(grant.run_id))
        await asyncio.sleep(0.015)
        tail.hear(Wake(grant.run_id))
        await asyncio.sleep(1)
        assert store.calls["read"] == 2
        assert window.after(grant.epoch, 0) is not None
        await tasks.close(1)

    run_virtual(main())


def test_a_silent_run_is_looked_at() -> None:
    """Without any wake-up records come after five seconds; a run that is heard, or has ended, is not looked at."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        await tail.open()
        grant = await opened(store)
        window = tail.enter(grant.run_id)
        await store.append(grant, 1, [b"data: 1\n\n"])
        await asyncio.sleep(5.5)
        assert window.info is not None
        assert window.info.last_offset == 1
        for _ in range(3):
            store.calls.clear()
            store.deaf = False
            await store.append(grant, window.info.last_offset + 1, [b"data: 2\n\n"])
            await asyncio.sleep(5)
            assert not store.calls["read"]
        store.deaf, store.down = True, {"read"}
        await asyncio.sleep(20)
        store.down = False
        store.calls.clear()
        await store.append(grant, window.info.last_offset + 1, [], seal_of(Outcome("completed")))
        await asyncio.sleep(100)
        assert window.info.outcome == Outcome("completed")
        assert store.calls["read"] == 1
        await tasks.close(1)

    run_virtual(main())


def test_a_look_that_cannot_be_honoured_is_left_to_the_viewers() -> None:
    """I7: a log that lost what the window had makes every viewer ask for itself, and get its own answer."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        await tail.open()
        grant = await opened(store)
        window = tail.enter(grant.run_id)
        await store.append(grant, 1, [b"data: 1\n\n"])
        window.note(await store.info(grant.run_id))
        store.store._registry._runs[grant.run_id]._frames.clear()
        tail.hear(Wake(grant.run_id))
        await asyncio.sleep(1)
        assert window.doubts == 1
        await tasks.close(1)

    run_virtual(main())


def test_a_closed_tail() -> None:
    """Closing tells every viewer; nobody enters any more, and nobody can before it is open."""

    async def main() -> None:
        store: Any = memory()
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        with pytest.raises(RuntimeError, match="enter the relay"):
            tail.enter("run")
        await tail.open()
        window = tail.enter("run")
        for _ in range(2):
            await tail.aclose()
        assert window.is_closed
        tail.leave("run", window)
        with pytest.raises(DrainingError):
            tail.enter("run")
        await tasks.close(1)

    run_virtual(main())
