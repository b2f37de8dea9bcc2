"""One live tail per process, any number of viewers."""

import asyncio
from typing import Any

import pytest

from sse_relay import DrainingError, Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.runs.tail import Tail
from sse_relay.runs.tasks import Tasks
from sse_relay.runs.window import Window
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
    """I7: a log that lost for good what the window had makes every viewer ask for itself, and get its own answer."""

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
        await asyncio.sleep(6)
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


def rolled_back(store: Any, grant: Grant, last: int) -> None:
    """Let a log lose its newest records, as a failover does."""
    del store.store._registry._runs[grant.run_id]._frames[last:]


async def seen(store: Any, tail: Tail, count: int) -> tuple[Grant, Window]:
    """Leave a run of whose records so many were seen, and one that is lost."""
    await tail.open()
    grant = await opened(store)
    window = tail.enter(grant.run_id)
    window.note(await store.info(grant.run_id))
    await store.append(grant, 1, [b"data: 1\n\n"] * count)
    tail.hear(Wake(grant.run_id))
    await asyncio.sleep(0.1)
    rolled_back(store, grant, count - 1)
    return grant, window


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_lost_tail_may_come_back(comes_back: bool) -> None:
    """I7: a log that lacks what was seen is looked at for five seconds, by one; only then each viewer has to (L6)."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        grant, window = await seen(store, tail, 20)
        for _ in range(3):
            tail.hear(Wake(grant.run_id))
            await asyncio.sleep(0.1)
        for _ in range(3):
            tail.lacks(grant.run_id, window)
        store.calls.clear()
        await asyncio.sleep(4)
        assert 12 <= store.calls["read"] <= 18
        assert not window.doubts
        if comes_back:
            await store.append(grant, 20, [b"data: 1\n\n"] * 40)
        await asyncio.sleep(1.1)
        assert window.doubts == (0 if comes_back else 1)
        assert (window.newest is not None and window.newest.last) == (59 if comes_back else 20)
        assert not window.lacks
        await tasks.close(1)

    run_virtual(main())


@pytest.mark.parametrize("how", ["ended", "taken over", "forgotten", "left"])
def test_what_cannot_come_back_is_not_waited_for(how: str) -> None:
    """I7: a tail that was lost with its producer, or a run that is gone, is doubted at once."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        grant, window = await seen(store, tail, 20)
        if how == "ended":
            await store.append(grant, 20, [], seal_of(Outcome("completed")))
            rolled_back(store, grant, 10)
        elif how == "taken over":
            await store.end(grant.run_id, seal_of(Outcome("cancelled")))
            rolled_back(store, grant, 10)
        elif how == "forgotten":
            store.store._registry._runs.clear()
        else:
            tail.leave(grant.run_id, window)
        tail.lacks(grant.run_id, window)
        await asyncio.sleep(0.01)
        assert window.doubts == 1
        assert not window.lacks
        await tasks.close(1)

    run_virtual(main())


def test_an_outage_while_a_tail_is_lost() -> None:
    """A store that does not answer tells nothing of a lost tail; it is asked again."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        grant, window = await seen(store, tail, 20)
        store.down = {"info"}
        tail.lacks(grant.run_id, window)
        await asyncio.sleep(1)
        assert not window.doubts
        store.down = False
        await store.append(grant, 20, [b"data: 1\n\n"] * 2)
        await asyncio.sleep(10)
        assert window.newest is not None
        assert window.newest.last == 21
        assert not window.lacks
        await tasks.close(1)

    run_virtual(main())


def test_an_outage_that_outlasts_patience_is_told() -> None:
    """A viewer who is ahead of the log does not wait for ever: once the time is over it has to look for itself."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks = Tasks()
        tail = Tail(store, tasks.spawn)
        grant, window = await seen(store, tail, 20)
        store.down = {"info", "read"}
        tail.lacks(grant.run_id, window)
        await asyncio.sleep(10)
        assert window.doubts == 1
        assert not window.lacks
        await tasks.close(1)

    run_virtual(main())


def test_a_look_asks_for_little_at_first() -> None:
    """Many silent runs are looked at in one turn, each for a few records; where there is more, all of it is read."""

    async def main() -> None:
        store: Any = process(memory(), deaf=True)
        tasks, asked = Tasks(), list[tuple[float, int]]()
        tail = Tail(store, tasks.spawn)
        await tail.open()
        windows: list[tuple[Grant, Window]] = []
        for _ in range(40):
            grant = await opened(store)
            windows.append((grant, tail.enter(grant.run_id)))
            windows[-1][1].note(await store.info(grant.run_id))
        read = store.read

        async def recorded(run_id: str, after: Any, *, limit: int = 500, **more: int) -> Any:
            asked.append((asyncio.get_running_loop().time(), limit))
            return await read(run_id, after, limit=limit, **more)

        store.read = recorded
        await store.append(windows[0][0], 1, [b"data: 1\n\n"] * 1200)
        await asyncio.sleep(5.5)
        assert sorted(limit for _, limit in asked) == [16] * 40 + [500] * 3
        assert {at for at, _ in asked} == {asked[0][0]}
        newest = windows[0][1].newest
        assert newest is not None
        assert newest.last == 1200
        await tasks.close(1)

    run_virtual(main())
