"""What an observer is told, by whom, and how often."""

import asyncio
from typing import Any

import pytest

from sse_relay import Outcome, Relay, RunConflictError, StoreUnavailableError
from sse_relay.exceptions import DrainingError
from sse_relay.observability import Observer, RunObserver
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import play
from tests.observability.telemetry import Recorder
from tests.runs.faults import memory, process, said, silence, stubborn, view

LOST = ("lost", "lease_expired")


def ends(recorder: Recorder) -> list[tuple[Any, ...]]:
    """How the runs ended that this process has ended."""
    return [(outcome.status, outcome.reason) for _, outcome, _ in recorder.of("run_ended")]


@on_virtual_time
async def test_a_run_is_told_from_its_claim_to_its_end() -> None:
    """The claim, the run, each append with its events and bytes, the end; each once, and in this order."""
    recorder = Recorder()
    async with Relay(memory(), observer=recorder) as relay:
        run = await relay.start(play("a", "b", 1.0, "c", 1.0), key="k")
        await relay.wait(run.id)
        await asyncio.sleep(0)
    size = len(b"data: a\n\n")
    assert recorder.told == [
        ("run_starting", "k", "native"),
        ("started", run.id),
        ("appended", 2, 2 * size, None),
        ("appended", 1, size, None),
        ("appended", 0, 0, None),  # the seal alone
        ("run_ended", run.id, Outcome("completed"), 2.0),
        ("ended", Outcome("completed")),
    ]


@on_virtual_time
async def test_a_run_took_its_time_whether_the_store_says_so_or_not() -> None:
    """Of a store that fails right behind the seal nobody hears when that was: the duration is this process's own."""
    recorder = Recorder()
    handle = process(memory())
    async with Relay(handle, observer=recorder) as relay:
        run = await relay.start(play("a", 1.5))
        handle.down = {"info"}
        await asyncio.sleep(2)
    assert recorder.of("run_ended") == [(run.id, Outcome("completed"), 1.5)]


@on_virtual_time
async def test_a_start_that_makes_no_run_is_told() -> None:
    """A start that joins, is refused, or finds no store says so, and nothing else of a run."""
    recorder = Recorder()
    handle = process(memory())
    async with Relay(handle, observer=recorder) as relay:
        run = await relay.start(silence(), key="k")
        recorder.told.clear()
        joined = await relay.start(play("a"), key="k", on_conflict="join")
        assert joined.id == run.id
        with pytest.raises(RunConflictError):
            await relay.start(play("a"), key="k")
        handle.down = ("open",)
        with pytest.raises(StoreUnavailableError):
            await relay.start(play("a"))
        handle.down = ()
        starting = ("run_starting", "k", "native")
        assert recorder.told == [
            starting, ("joined", run.id, "a trace"),
            starting, ("refused", RunConflictError),
            ("run_starting", None, "native"), ("refused", StoreUnavailableError),
        ]  # fmt: skip


@on_virtual_time
async def test_a_start_that_drains_is_refused() -> None:
    """A claim that comes back while the relay closes is given up, and its observer told."""
    recorder = Recorder()
    handle = process(memory())
    async with Relay(handle, observer=recorder) as relay:
        handle.pause = lambda: asyncio.sleep(1)
        starting = asyncio.ensure_future(relay.start(silence()))
        await asyncio.sleep(1.5)
        await relay.drain(0)
        with pytest.raises(DrainingError):
            await starting
    assert recorder.names().count("refused") == 1
    assert "started" not in recorder.names()


@on_virtual_time
async def test_what_stops_a_source_is_told() -> None:
    """A cancel, a timeout and a drain each tell their reason, and the run ends as they say."""
    recorder = Recorder()
    async with Relay(memory(), observer=recorder) as relay:
        await relay.cancel((await relay.start(silence())).id, reason="enough")
        await relay.wait((await relay.start(silence(), timeout=1.0)).id)
        await relay.start(silence())
    assert recorder.of("stopping") == [("enough",), ("timeout",), ("shutdown",)]
    ended = [outcome.status for (outcome,) in recorder.of("ended")]
    assert ended == ["cancelled", "timed_out", "lost"]
    assert [status for status, _ in ends(recorder)] == ended


@on_virtual_time
async def test_what_a_drain_cuts_off_ended_as_lost() -> None:
    """A source that does not even stop for the drain is sealed over, and its production ends with that outcome."""
    recorder = Recorder()
    async with Relay(memory(), observer=recorder) as relay:
        await relay.start(stubborn(cleanup=20.0))
        await asyncio.sleep(1)
        await relay.drain(2.0)
        await asyncio.sleep(40)
    assert [(end.status, end.reason) for (end,) in recorder.of("ended")] == ends(recorder) == [("lost", "shutdown")]


@on_virtual_time
async def test_an_end_is_told_by_whoever_made_it() -> None:
    """A run that another process has sealed over is ended there, once; here its production is over, as it ended."""
    store = memory()
    here, there = Recorder(), Recorder()
    async with Relay(store, observer=here) as producing, Relay(store, observer=there) as other:
        run = await producing.start(stubborn(cleanup=20.0))
        await asyncio.sleep(1)
        await other.cancel(run.id, grace=2.0)
        await asyncio.sleep(40)
        assert ends(there) == [("cancelled", "user")]
        assert ends(here) == []
        assert here.of("ended") == [(Outcome("cancelled", "user"),)]
        assert there.of("ended") == []


@on_virtual_time
async def test_a_dead_producers_end_is_told_once() -> None:
    """Of many processes that look at a lapsed run, the one that seals it tells; the duration is the store's (L2)."""
    store = memory()
    handle = process(store)
    recorders = [Recorder() for _ in range(3)]
    async with Relay(handle, lease=3.0, observer=(dead := Recorder())) as producing:
        run = await producing.start(silence())
        handle.hung = True
        relays = [Relay(process(store), lease=3.0, observer=each) for each in recorders]
        for relay in relays:
            await relay.__aenter__()
        await asyncio.gather(*[relay.wait(run.id) for relay in relays])
        assert [end for each in recorders for end in ends(each)] == [LOST]
        ((_, _, seconds),) = [end for each in recorders for end in each.of("run_ended")]
        assert 3.0 <= seconds <= 5.0
        for relay in relays:
            await relay.drain(0)
        handle.hung = False
        await asyncio.sleep(10)
    assert ends(dead) == []
    assert len(dead.of("ended")) == 1


@on_virtual_time
async def test_a_replaced_run_is_ended_by_who_replaced_it() -> None:
    """The process whose start replaces another's run tells that end."""
    store = memory()
    here, there = Recorder(), Recorder()
    async with Relay(store, observer=here) as one, Relay(store, observer=there) as other:
        await one.start(silence(), key="k")
        await other.start(silence(), key="k", on_conflict="replace")
        await asyncio.sleep(1)
        assert ends(there) == [("cancelled", "replaced")]
        assert ends(here) == []
        assert here.of("stopping") == [("lease_lost",)]
        assert here.of("ended") == [(Outcome("cancelled", "replaced"),)]


@on_virtual_time
async def test_appends_that_fail_are_told() -> None:
    """A store that does not answer is told at each try; what it stores at last is counted once."""
    recorder = Recorder()
    handle = process(memory())
    async with Relay(handle, observer=recorder) as relay:
        handle.down = ("append",)
        run = await relay.start(play("a", 3.0))
        await asyncio.sleep(2)
        handle.down = ()
        await relay.wait(run.id)
    errors = [error for _, _, error in recorder.of("appended")]
    assert errors[:2] == ["unavailable", "unavailable"]
    assert errors[-1] is None
    assert sum(events for events, _, _ in recorder.of("appended")) == 1


@on_virtual_time
async def test_a_lost_reply_is_counted_once() -> None:
    """An append whose answer was lost is told as unavailable, and as stored when it is asked again."""
    recorder = Recorder()
    handle = process(memory())
    async with Relay(handle, observer=recorder) as relay:
        handle.lossy["append"] = 1
        await relay.wait((await relay.start(play("a", 3.0))).id)
    assert [error for _, _, error in recorder.of("appended")][:2] == ["unavailable", None]
    assert sum(events for events, _, _ in recorder.of("appended")) == 1


@on_virtual_time
async def test_a_fenced_append_is_told() -> None:
    """A producer whose run was taken hears it from its append, as the answer's name."""
    store = memory()
    handle = process(store, deaf=True)
    recorder = Recorder()
    async with Relay(handle, observer=recorder) as relay, Relay(store) as other:
        run = await relay.start(play("a", 1.0, "b", 1.0), key="k")
        await asyncio.sleep(0.5)
        await other.start(silence(), key="k", on_conflict="replace")
        await asyncio.sleep(3)
        assert recorder.of("appended")[-1] == (0, 0, "fenced")
        assert recorder.of("ended") == [(Outcome("cancelled", "replaced"),)]
        assert (await relay.info(run.id)).status == "cancelled"


@on_virtual_time
async def test_an_end_that_cannot_be_asked_for_is_unknown() -> None:
    """A producer whose run was taken, and whose store then does not answer, ends without an outcome."""
    store = memory()
    handle = process(store, deaf=True)
    recorder = Recorder()
    async with Relay(handle, observer=recorder) as relay, Relay(store) as other:
        await relay.start(play("a", 1.0, "b", 1.0), key="k")
        await asyncio.sleep(0.5)
        await other.start(silence(), key="k", on_conflict="replace")
        handle.down = ("info",)
        await asyncio.sleep(3)
        handle.down = ()
        assert recorder.of("ended") == [(None,)]


@on_virtual_time
async def test_viewers_are_told() -> None:
    """Whoever joins, takes records and leaves is told of, with the run's trace; iterated or read, live or replayed."""
    recorder = Recorder()
    async with Relay(memory(), observer=recorder) as relay:
        run = await relay.start(play("a", 1.0, "b", 1.0))
        live = await view(relay, run.id)
        assert said(live) == ["a", "b", "end"]
        async with relay.subscribe(run.id) as events:
            assert await events.read() is not None
    assert recorder.of("viewer_joined") == [(run.id, "a trace")] * 2
    assert recorder.of("left") == [(Outcome("completed"),)] * 2
    taken = [events for events, _ in recorder.of("delivered")]
    assert sum(taken) == 2 * 3
    assert sum(size for _, size in recorder.of("delivered")) == 2 * (2 * len(b"data: a\n\n") + 68)


@on_virtual_time
async def test_a_viewer_that_goes_early_has_no_outcome() -> None:
    """One that leaves, is cancelled, or sees its relay drain is told of once, without an outcome."""
    recorder = Recorder()
    store = memory()
    async with Relay(store) as producing:
        run = await producing.start(silence())
        async with Relay(store, observer=recorder) as relay:
            async with relay.subscribe(run.id):
                pass
            cancelled = asyncio.ensure_future(view(relay, run.id))
            await asyncio.sleep(1)
            cancelled.cancel()
            drained = asyncio.ensure_future(view(relay, run.id))
            await asyncio.sleep(1)
        assert await drained == []
        assert cancelled.cancelled()
    assert recorder.of("left") == [(None,)] * 3


@on_virtual_time
async def test_a_viewer_who_finds_nothing_is_not_told() -> None:
    """A subscription that cannot be entered has no viewer."""
    recorder = Recorder()
    async with Relay(memory(), observer=recorder) as relay:
        run = await relay.start(play("a"))
        await relay.wait(run.id)
        for run_id, after in (("nothing", None), (run.id, 99)):
            with pytest.raises(Exception, match=r"nothing|99"):
                await view(relay, run_id, after)
    assert recorder.of("viewer_joined") == []


@on_virtual_time
async def test_a_gap_is_told_to_each_viewer_once() -> None:
    """A viewer who is told of trimmed records is told of to the observer, with the same offsets (I7)."""
    recorder = Recorder()
    async with Relay(memory(max_events=2, on_full="trim"), observer=recorder) as relay:
        run = await relay.start(play("a", 1.0, "b", 1.0, "c", 1.0, "d", 1.0))
        await relay.wait(run.id)
        for _ in range(2):
            assert said(await view(relay, run.id))[0] == "gap"
    assert recorder.of("gap") == [(0, 4)] * 2


@on_virtual_time
async def test_an_observer_may_hear_of_some() -> None:
    """Whoever returns None hears no more of that run or viewer; hooks that are not implemented do nothing."""

    class Ends(Observer):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def run_ended(self, run_id: str, outcome: Outcome, seconds: float) -> None:
            del run_id, seconds
            self.heard.append(outcome.status)

    class Starts(Observer):
        def run_starting(self, key: str | None, dialect: str) -> RunObserver:
            del key, dialect
            return Silent()

    class Silent(RunObserver):
        pass

    ends_only = Ends()
    for observer in (ends_only, Starts()):
        async with Relay(memory(), observer=observer) as relay:
            run = await relay.start(play("a"))
            assert said(await view(relay, run.id)) == ["a", "end"]
    assert ends_only.heard == ["completed"]
