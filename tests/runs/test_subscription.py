"""Replay what is stored after a cursor, then follow."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from sse_relay import (
    Cursor,
    CursorMismatchError,
    EventDecoder,
    InvalidCursorError,
    Outcome,
    Relay,
    ServerSentEvent,
    StoreContractError,
    StoreUnavailableError,
)
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Wake
from sse_relay.testing import FaultyStore, cancel_at_every_await, run_virtual
from tests.runs.faults import memory, numbers, process, said, settle, silence, view


def now() -> float:
    return asyncio.get_running_loop().time()


def test_join_at_every_offset_and_at_every_moment() -> None:
    """Whenever a viewer comes, and wherever it resumes, it sees exactly what follows its cursor (I1, I3, row C1)."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(store) as there:
            run = await here.start(numbers(20, 0.01))
            viewers: list[tuple[int, asyncio.Task[list[ServerSentEvent]]]] = []
            for _ in range(25):
                last = (await here.info(run.id)).last_offset
                for after in range(last + 1):
                    for relay in (here, there):
                        cursors = (after, Cursor(run.epoch, after), f"{run.epoch}:{after}")
                        viewers += [(after, asyncio.create_task(view(relay, run.id, cursor))) for cursor in cursors]
                await asyncio.sleep(0.01)
            whole = await view(here, run.id)
            assert said(whole) == [*map(str, range(1, 21)), "end"]
            assert [event.id for event in whole] == [f"{run.epoch}:{offset}" for offset in range(1, 22)]
            for after, viewer in viewers:
                assert await viewer == whole[after:]
        await settle()

    run_virtual(main())


def test_every_row_of_the_cursor_table() -> None:
    """I11: None and 0 replay, the seal ends at once, beyond and foreign are typed mismatches; live and ended alike."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as relay:
            run = await relay.start(numbers(3, 1.0))
            await asyncio.sleep(2.5)
            for ended in (False, True):
                last = 4 if ended else 2
                for after in (0, f"{run.epoch}:0", None):
                    async with relay.subscribe(run.id, after) as events:
                        assert (await anext(events)).id == f"{run.epoch}:1"
                        assert events.info.last_offset == last
                for beyond in (last + 1, Cursor(run.epoch, last + 1), f"{run.epoch}:{10**17}"):
                    with pytest.raises(CursorMismatchError) as raised:
                        await view(relay, run.id, beyond)
                    assert raised.value.kind == "rolled_back"
                with pytest.raises(CursorMismatchError) as raised:
                    await view(relay, run.id, "another-epoch:1")
                assert raised.value.kind == "foreign"
                with pytest.raises(InvalidCursorError):
                    await view(relay, run.id, 10**30)
                await relay.wait(run.id)
            for seal in (4, f"{run.epoch}:4"):
                async with relay.subscribe(run.id, seal) as events:
                    assert events.outcome == Outcome("completed")
                    assert [event async for event in events] == []
                    assert events.outcome == Outcome("completed")

    run_virtual(main())


def test_resume_at_the_terminal_ends_at_once() -> None:
    """Defect 1: at the seal's cursor a viewer ends with the outcome, also when the run ends while it waits there."""

    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            yield "1"
            await asyncio.sleep(2)

        async with Relay(memory()) as relay:
            run = await relay.start(source())
            await asyncio.sleep(1)
            assert said(await view(relay, run.id, 1)) == ["end"]
            assert await view(relay, run.id, 2) == []
            assert now() == pytest.approx(2)

    run_virtual(main())


def test_the_outcome_is_told_at_the_end_and_not_before() -> None:
    """A reader that leaves early has no outcome, though the end was at hand."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(3))
            await relay.wait(run.id)
            async with relay.subscribe(run.id) as events:
                for _ in range(3):
                    await anext(events)
                    assert events.outcome is None
                last = await anext(events)
                assert last.event == "end"
                assert last.outcome == events.outcome == Outcome("completed")
                with pytest.raises(StopAsyncIteration):
                    await anext(events)
            async with relay.subscribe(run.id) as events:
                await anext(events)
            assert events.outcome is None
            assert [event async for event in events] == []

    run_virtual(main())


def test_a_gap_is_said_once() -> None:
    """Defect 15, I7: what was trimmed is a `gap` whose id is the cursor before the next record, and nothing else."""

    async def main() -> None:
        async with Relay(memory(max_events=5, on_full="trim")) as relay:
            run = await relay.start(numbers(20))
            await relay.wait(run.id)
            epoch = run.epoch
            whole = await view(relay, run.id)
            assert (whole[0].event, whole[0].id) == ("gap", f"{epoch}:16")
            assert whole[0].data == '{"after":0,"next":17,"reason":"trimmed"}'
            assert said(whole[1:]) == ["17", "18", "19", "20", "end"]
            resumed = await view(relay, run.id, 9)
            assert resumed[0].data == '{"after":9,"next":17,"reason":"trimmed"}'
            assert resumed[1:] == whole[1:]
            assert await view(relay, run.id, whole[0].id) == whole[1:]
            assert await view(relay, run.id, 16) == whole[1:]

    run_virtual(main())


def test_a_slow_viewer_is_told_what_it_missed() -> None:
    """A viewer that falls behind a trimmed log gets one gap per hole, and every record that is left (I7, L5)."""

    async def main() -> None:
        async with Relay(memory(max_events=100, on_full="trim")) as relay:
            run = await relay.start(numbers(1000, 0.01))
            expected, gaps = 1, 0
            async with relay.subscribe(run.id) as events:
                async for event in events:
                    cursor = Cursor.parse(event.id or "")
                    if event.event == "gap":
                        gaps += 1
                        assert cursor.offset >= expected
                        expected = cursor.offset + 1
                        continue
                    assert cursor.offset == expected
                    expected += 1
                    if expected % 50 == 0:
                        await asyncio.sleep(2)
            assert expected == 1002
            assert gaps
            assert (await relay.info(run.id)).last_offset == 1001

    run_virtual(main())


def test_viewers_of_any_speed_see_the_same() -> None:
    """L5, I1: a viewer too slow for the window pages from the store; nobody waits for it; the producer never does."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(2000, 0.001))

            async def read(pause: float) -> tuple[list[str | None], float]:
                seen: list[str | None] = []
                async with relay.subscribe(run.id) as events:
                    async for event in events:
                        seen.append(event.event or event.data)
                        if pause and len(seen) % 20 == 0:
                            await asyncio.sleep(pause)
                return seen, now()

            viewers = [asyncio.create_task(read(pause)) for pause in (0, 0, 0.01, 0.05, 1)]
            read_by = [await viewer for viewer in viewers]
            for seen, _ in read_by:
                assert seen == [*map(str, range(1, 2001)), "end"]
            assert [ended for _, ended in read_by[:2]] == [pytest.approx(2, abs=0.01)] * 2
            assert handle.calls["read"] < 100
        await settle()

    run_virtual(main())


def test_many_viewers_cost_the_store_nothing() -> None:
    """A thousand viewers at the tip read the store once each, to begin; then they share the tail (L6, row C2)."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(100, 1.0))
            viewers = [asyncio.create_task(view(relay, run.id)) for _ in range(1000)]
            await asyncio.sleep(0.5)
            handle.calls.clear()
            await asyncio.sleep(50)
            assert handle.calls["read"] == 0
            assert handle.calls["info"] == 0
            for viewer in viewers:
                viewer.cancel()
            await asyncio.wait(viewers)
            assert not relay._tail._windows
        await settle()

    run_virtual(main())


def test_viewers_of_a_silent_run_hold_one_state() -> None:
    """Who enters finds the state that the others have, in one copy; once there is another, it is that (L6)."""

    async def main() -> None:
        async with Relay(process(memory())) as relay:
            run = await relay.start(numbers(2, 1.0))
            async with relay.subscribe(run.id) as one, relay.subscribe(run.id) as other:
                assert one.info is other.info
                await asyncio.sleep(1.5)
                async with relay.subscribe(run.id) as late:
                    assert one.info.last_offset < late.info.last_offset == 1
                    assert late.info == await relay.info(run.id)
        await settle()

    run_virtual(main())


def test_without_wake_ups_everything_comes_later() -> None:
    """All wake-ups lost, a viewer still sees each record and the end; the look costs one read for all viewers (§5)."""

    async def main() -> None:
        store = memory()
        handle = process(store, deaf=True)
        async with Relay(store) as here, Relay(handle) as there:
            run = await here.start(numbers(60, 1.0))
            viewers = [asyncio.create_task(view(there, run.id)) for _ in range(50)]
            await asyncio.sleep(1)
            handle.calls.clear()
            for viewer in viewers:
                assert said(await viewer) == [*map(str, range(1, 61)), "end"]
            assert now() <= 60 + 6
            assert handle.calls["read"] <= 15
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
def test_a_viewer_cancelled_at_any_await(again: int) -> None:
    """I9: a viewer cancelled at any await, once or twice, ends cancelled, leaves nothing, and can resume (L7)."""

    async def main() -> None:
        store = memory()
        async with Relay(process(store, pause=lambda: asyncio.sleep(0.001))) as relay:
            seen: list[ServerSentEvent] = []
            run = await relay.start(numbers(10))

            async def read() -> None:
                seen.clear()
                async with relay.subscribe(run.id) as events:
                    async for event in events:
                        seen.append(event)  # noqa: PERF401 - what was seen when it was cancelled counts

            async def check(step: int) -> None:
                nonlocal run
                rest = await view(relay, run.id, seen[-1].id if seen else None)
                assert said(seen + rest) == [*map(str, range(1, 11)), "end"], step
                assert not relay._tail._windows
                run = await relay.start(numbers(10))

            assert await cancel_at_every_await(read, check, again=again) > 10
        await settle()

    run_virtual(main())


def test_a_cancelled_read_loses_no_event() -> None:
    """I9: a reader that gives up on one event by a timeout, and reads on, sees each event once."""

    async def main() -> None:
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.001))) as relay:
            run = await relay.start(numbers(50, 0.01))
            seen: list[str | None] = []
            random = Random(7)
            async with relay.subscribe(run.id) as events:
                while events.outcome is None:
                    try:
                        async with asyncio.timeout(random.random() * 0.02):
                            event = await anext(events)
                    except TimeoutError:
                        continue
                    seen.append(event.event or event.data)
            assert seen == [*map(str, range(1, 51)), "end"]

    run_virtual(main())


def test_an_end_that_comes_while_a_viewer_enters() -> None:
    """A record that is appended between the first read and its answer is not missed (I1)."""

    async def main() -> None:
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.3))) as relay:
            for wait in range(40):
                run = await relay.start(numbers(1, 0.5))
                await asyncio.sleep(wait / 20)
                async with asyncio.timeout(10):
                    assert said(await view(relay, run.id, 0))[-1] == "end"

    run_virtual(main())


def test_viewers_that_leave_leave_nothing_behind() -> None:
    """L6: however often viewers come and go on a silent run, what waits on its window does not grow."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(silence())
            async with relay.subscribe(run.id) as events:
                staying = asyncio.create_task(anext(events))
                for _ in range(100):
                    viewer = asyncio.create_task(view(relay, run.id))
                    await asyncio.sleep(0.01)
                    viewer.cancel()
                    await asyncio.wait({viewer})
                window = relay._tail._windows[run.id]
                assert len(window.waiting) == window.viewers == 1
                await relay.cancel(run.id)
                assert (await staying).event == "end"

    run_virtual(main())


def test_closing_ends_a_read_that_waits() -> None:
    """`aclose` from another task ends a waiting read; it is idempotent, and the run goes on."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(silence())
            async with relay.subscribe(run.id) as events:
                reading = asyncio.create_task(anext(events, None))
                await asyncio.sleep(1)
                await events.aclose()
                await events.aclose()
                assert await reading is None
            assert (await relay.info(run.id)).status == "running"

    run_virtual(main())


def test_a_subscription_is_entered_once() -> None:
    """Reading before entering, and entering twice, are mistakes that say what to do."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(1))
            events = relay.subscribe(run.id)
            with pytest.raises(RuntimeError, match="async with"):
                await anext(events)
            with pytest.raises(RuntimeError, match="async with"):
                _ = events.info
            async with events:
                with pytest.raises(RuntimeError, match="once"):
                    await events.__aenter__()

    run_virtual(main())


def test_batches_are_the_log_as_stored() -> None:
    """Read by the batch, the native bytes are the events' own, byte for byte, and the outcome is known (I3)."""

    async def main() -> None:
        async def source() -> AsyncIterator[Any]:
            for item in ("one", {"two": 2}, "three\nlines\n", ServerSentEvent("four", event="note", id="x", retry=5)):
                yield item
                await asyncio.sleep(0.01)

        async with Relay(memory()) as relay:
            run = await relay.start(source())
            encoded = b""
            async with relay.subscribe(run.id) as events:
                while (batch := await events.read()) is not None:
                    encoded += b"".join(batch.native())
                assert events.done
                assert events.outcome == Outcome("completed")
            viewed = await view(relay, run.id)
            assert encoded == b"".join(event.encode() for event in viewed)
            assert EventDecoder().feed(encoded) == viewed
            assert [event.data for event in viewed[:4]] == ["one", '{"two":2}', "three\nlines\n", "four"]

    run_virtual(main())


def test_a_store_error_reaches_the_viewer() -> None:
    """I7: a viewer that cannot read gets the store's error, and can go on where it was when the store is back."""

    async def main() -> None:
        store = memory()
        handle = process(store, deaf=True)
        async with Relay(store) as here, Relay(handle) as there:
            run = await here.start(numbers(4000, 0.001))
            await here.wait(run.id)
            async with there.subscribe(run.id) as events:
                seen = [await anext(events)]
                handle.down = True
                with pytest.raises(StoreUnavailableError):
                    async for event in events:
                        seen.append(event)  # noqa: PERF401
                handle.down = False
                async for event in events:
                    seen.append(event)  # noqa: PERF401
            assert said(seen) == [*map(str, range(1, 4001)), "end"]

    run_virtual(main())


def test_a_store_that_splices_is_caught() -> None:
    """Every viewer checks that offsets are dense: a page from elsewhere is a contract error, and not shown (I1)."""

    async def main() -> None:
        async def read(run_id: str, after: Any = None, **bounds: int) -> Any:
            del bounds
            return await store.read(run_id, 3 if after is not None else None, limit=1)

        store = memory()
        splicing = process(store)
        splicing.read = read
        async with Relay(splicing) as relay:
            run = await relay.start(numbers(10))
            await relay.wait(run.id)
            async with relay.subscribe(run.id) as events:
                assert (await anext(events)).data == "1"
                with pytest.raises(StoreContractError, match="after record 1"):
                    await anext(events)

    run_virtual(main())


@pytest.mark.parametrize("seed", range(40))
def test_history_over_seeded_schedules(seed: int) -> None:
    """I1-I3: over random delays, deaf processes, cuts and cancels, each viewer sees L[c+1..], one terminal, last."""

    async def main() -> None:
        random = Random(seed)
        store = memory()

        async def pause() -> None:
            await asyncio.sleep(random.choice((0, 0, 0.001, 0.02)))

        handles = [process(store, pause=pause, deaf=random.random() < 0.3) for _ in range(2)]
        async with Relay(handles[0], lease=3) as here, Relay(handles[1], lease=3) as there:
            relays = (here, there)
            run = await here.start(numbers(random.randrange(40), random.choice((0, 0.001, 0.05))), key="k")
            histories: list[tuple[int, list[ServerSentEvent]]] = []

            async def reader() -> None:
                cursor: str | None = None
                while True:
                    seen: list[ServerSentEvent] = []
                    histories.append((0 if cursor is None else Cursor.parse(cursor).offset, seen))
                    async with random.choice(relays).subscribe(run.id, cursor) as events:
                        try:
                            async with asyncio.timeout(random.choice((0.01, 0.1, 100))):
                                async for event in events:
                                    seen.append(event)
                                    cursor = event.id
                                    if random.random() < 0.1:
                                        await pause()
                        except TimeoutError:
                            continue
                    assert events.outcome is not None
                    return

            readers = [asyncio.create_task(reader()) for _ in range(8)]
            fate = random.choice(("end", "end", "cancel", "freeze", "lossy", "replace"))
            await asyncio.sleep(random.random())
            if fate == "cancel":
                await random.choice(relays).cancel(run.id, grace=random.choice((0, 1)))
            elif fate == "freeze":
                handles[0].hung = {"append", "renew", "info"}
                await asyncio.sleep(8)
                handles[0].hung = False
            elif fate == "lossy":
                handles[0].lossy.update({"append": 3, "renew": 1})
            elif fate == "replace":
                await there.start(numbers(1), key="k", on_conflict="replace")
            await asyncio.wait(readers, timeout=60)
            log = await view(there, run.id)
            assert [Cursor.parse(event.id or "").offset for event in log] == list(range(1, len(log) + 1))
            assert [event.event for event in log].count("end") == 1
            assert log[-1].event == "end"
            for reading in readers:
                reading.result()
            for after, seen in histories:
                assert seen == log[after : after + len(seen)]
        await asyncio.sleep(1)  # until what the frozen process still had under way has gone out
        await settle()

    run_virtual(main())


def test_two_tasks_do_not_read_one_subscription() -> None:
    """The second of two tasks that read at once is told what to do instead; the first one loses nothing (I1)."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(2, 1.0))
            async with relay.subscribe(run.id) as events:
                first = asyncio.create_task(anext(events))
                await asyncio.sleep(0.5)
                with pytest.raises(RuntimeError, match="subscribe once for each"):
                    await anext(events)
                assert (await first).data == "1"
                assert said([event async for event in events]) == ["2", "end"]

    run_virtual(main())


def test_what_was_iterated_is_not_read_on() -> None:
    """I7: in the middle of a batch of events the bytes behind it are refused, not skipped to; at its end they go on."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(5))
            await relay.wait(run.id)
            async with relay.subscribe(run.id) as events:
                assert (await anext(events)).data == "1"
                with pytest.raises(RuntimeError, match="not both"):
                    await events.read()
                assert said([event async for event in events]) == ["2", "3", "4", "5", "end"]
                assert await events.read() is None

    run_virtual(main())


def test_a_page_and_a_wake_up_that_bring_the_same_are_one() -> None:
    """I1: records that come by a wake-up while a viewer reads them from the store are seen once."""

    async def main() -> None:
        handle = FaultyStore(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(3, 1.0))
            async with relay.subscribe(run.id) as events:
                assert (await anext(events)).data == "1"
                rest = asyncio.create_task(anext(events))
                await asyncio.sleep(0.7)
                with handle.delays(0.4, "read"):  # "2" is appended in the middle of it
                    relay._tail._windows[run.id].doubt()
                    assert (await rest).data == "2"
                assert said([event async for event in events]) == ["3", "end"]

    run_virtual(main())


# A tail that a failover has lost


def rolled_back(store: Any, run: Any, last: int) -> None:
    """Let a log lose its newest records, and let everybody hear of something."""
    del store._registry._runs[run.id]._frames[last:]
    store._wake(Wake(run.id))


@pytest.mark.parametrize("native", [False, True])
def test_a_viewer_is_patient_after_a_failover(native: bool) -> None:
    """I1, I7: who has seen what the log has lost waits until it is sent again; it sees each record once, in order."""

    async def main() -> None:
        store = memory()

        async def source() -> Any:
            async for number in numbers(50, 0.1):
                yield number
            await asyncio.sleep(6)
            async for number in numbers(50, 0.1):
                yield str(int(number) + 50)

        async def native_view(relay: Relay, run_id: str) -> list[ServerSentEvent]:
            events: list[ServerSentEvent] = []
            async with relay.subscribe(run_id) as subscription:
                while (batch := await subscription.read()) is not None:
                    events += batch.events
            return events

        async with Relay(store, lease=9) as here, Relay(process(store)) as there:
            run = await here.start(source())
            viewers = [
                asyncio.create_task((native_view if native else view)(relay, run.id))
                for relay in (here, there)
                for _ in range(3)
            ]
            for at, last in ((2.05, 12), (6.5, 30), (8, 50)):
                await asyncio.sleep(at - now())
                rolled_back(store, run, last)
            for viewer in viewers:
                assert said(await viewer) == [*map(str, range(1, 101)), "end"]
        await settle()

    run_virtual(main())


def test_a_viewer_that_is_behind_is_patient_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """I1: a viewer that has fallen out of the window, and reads for itself, waits for what the log lacks as well."""

    async def main() -> None:
        store = memory()

        async def source() -> Any:
            async for number in numbers(700, 0.005):
                yield number
            await asyncio.sleep(60)

        monkeypatch.setattr("sse_relay.runs.subscription._LONG_PAGE", 500)
        async with Relay(store, lease=9) as relay:
            run = await relay.start(source())
            async with relay.subscribe(run.id) as late:
                seen = [await anext(late)]
                await asyncio.sleep(3.7)
                while late.cursor.offset < 501:
                    seen.append(await anext(late))
                del store._registry._runs[run.id]._frames[400:]
                began = now()
                seen += [await anext(late) for _ in range(700 - len(seen))]
                assert said(seen) == [*map(str, range(1, 701))]
                assert 0.1 < now() - began < 3.1

    run_virtual(main())


@pytest.mark.parametrize("how", ["dead", "taken over"])
def test_a_viewer_is_not_patient_for_ever(how: str) -> None:
    """I7: what was lost with its producer is a typed error: at once if another one has ended the run, else soon."""

    async def main() -> None:
        store = memory()
        dead = process(store)
        async with Relay(dead, lease=30) as here, Relay(store, lease=30) as there:
            run = await here.start(numbers(20, 0.1))
            viewer = asyncio.create_task(view(there, run.id))
            await asyncio.sleep(1.05)
            dead.vanish()
            began = now()
            if how == "taken over":
                del store._registry._runs[run.id]._frames[5:]
                await store.end(run.id, seal_of(Outcome("cancelled")))
            else:
                rolled_back(store, run, 5)
            with pytest.raises(CursorMismatchError) as raised:
                await viewer
            assert raised.value.kind == "rolled_back"
            assert now() - began == pytest.approx(5.25 if how == "dead" else 0, abs=0.3)
            with pytest.raises(CursorMismatchError):
                await view(there, run.id, f"{run.epoch}:10")

    run_virtual(main())


def test_nobody_is_patient_at_the_door() -> None:
    """I11: a cursor beyond the log is refused when a subscription is entered, whoever may send it again."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as relay:
            run = await relay.start(numbers(20, 0.1))
            await asyncio.sleep(1.05)
            began = now()
            with pytest.raises(CursorMismatchError) as raised:
                await view(relay, run.id, f"{run.epoch}:11")
            assert raised.value.kind == "rolled_back"
            assert now() == began

    run_virtual(main())


def test_a_patient_viewer_may_leave_and_be_nudged() -> None:
    """L4, I9: while a viewer waits for what was lost it can be nudged, cancelled, and can leave."""

    async def main() -> None:
        store = memory()
        dead = process(store)
        async with Relay(dead, lease=30) as here, Relay(store, lease=30) as there:
            run = await here.start(numbers(10, 0.1))
            await asyncio.sleep(0.95)
            dead.vanish()
            async with there.subscribe(run.id) as viewer:
                while viewer.cursor.offset < 9:
                    await viewer.read()
                rolled_back(store, run, 5)
                for _ in range(2):
                    reading = asyncio.create_task(viewer.read())
                    await asyncio.sleep(1)
                    viewer.nudge()
                    assert await reading is None
                    assert not viewer.done
                reading = asyncio.create_task(viewer.read())
                await asyncio.sleep(0.1)
                reading.cancel()
                await asyncio.wait({reading})
                assert reading.cancelled()
            await asyncio.sleep(5)
            assert not there._tail._windows
        await settle()

    run_virtual(main())
