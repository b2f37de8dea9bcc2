"""Relay: start runs, subscribe to them, stop them; the face of it all."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sse_relay import (
    Cursor,
    CursorMismatchError,
    DrainingError,
    IdempotencyConflictError,
    InvalidCursorError,
    InvalidEventError,
    Outcome,
    Relay,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
    StoreUnavailableError,
)
from sse_relay.runs.source import RunContext
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import History, Probe, cancel_at_every_await, run_virtual
from tests.runs.faults import memory, numbers, process, said, settle, silence, stubborn, view


def now() -> float:
    return asyncio.get_running_loop().time()


# Ownership of the source


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 0}, ValueError),
        ({"idle_timeout": -1}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"on_conflict": "merge"}, ValueError),
        ({"run_id": "a b"}, ValueError),
        ({"run_id": ""}, ValueError),
        ({"run_id": "a" * 129}, ValueError),
        ({"key": 7}, TypeError),
        ({"dialect": "native"}, TypeError),
        ({"metadata": {"x": object()}}, InvalidEventError),
        ({"key": "busy"}, RunConflictError),
        ({"run_id": "taken"}, RunConflictError),
        ({"idempotency_key": "other"}, IdempotencyConflictError),
    ],
)
def test_a_refused_start_closes_its_source_unstarted(options: dict[str, Any], error: type[Exception]) -> None:
    """The source belongs to the relay from the call on: what is refused is closed, and none of it has run (row G1)."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            await relay.start(silence(), key="busy", run_id="taken")
            await relay.start(silence(), idempotency_key="other", metadata={"a": 1})
            probe = Probe(3)
            with pytest.raises(error):
                await relay.start(probe, **options)
            assert probe.closed
            assert not probe.read
        await settle()

    run_virtual(main())


def test_an_awaitable_that_is_refused_is_closed() -> None:
    """A coroutine, a task and a future that no run is made of are closed or cancelled: no warning, no leak (L7)."""

    async def main() -> None:
        async def opening() -> AsyncIterator[str]:
            raise AssertionError("it must not run")

        async def opened() -> Probe:
            return probe

        async with Relay(memory()) as relay:
            await relay.start(silence(), key="k")
            probe = Probe(3)
            done = asyncio.create_task(opened())
            await done
            waiting = asyncio.create_task(asyncio.sleep(1000, Probe(1)))
            for source in (opening(), waiting, done):
                with pytest.raises(RunConflictError):
                    await relay.start(source, key="k")
            await asyncio.wait({waiting})
            assert waiting.cancelled()
            assert probe.closed
        await settle()

    run_virtual(main())


def test_what_is_no_source_is_refused_at_once() -> None:
    """A list, text or a number is a mistake of the caller's, and no failed run."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            for source in ([1], "text", 7):
                with pytest.raises(TypeError, match="async iterable"):
                    await relay.start(source)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            assert [info async for info in relay.runs()] == []

    run_virtual(main())


def test_join_and_idempotent_start_close_the_new_source() -> None:
    """A start that finds a run closes what it was given, and says that it joined."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            first = await relay.start(silence(), key="k", idempotency_key="i", metadata={"a": 1, "b": [2]})
            assert not first.joined
            same: list[dict[str, Any]] = [
                {"on_conflict": "join"},
                {"idempotency_key": "i", "metadata": {"b": [2], "a": 1}},
            ]
            for options in same:
                probe = Probe(3)
                info = await relay.start(probe, key="k", **options)
                assert info.joined
                assert info.id == first.id
                assert probe.closed
                assert not probe.read

    run_virtual(main())


def test_a_store_that_cannot_be_reached_refuses_the_start() -> None:
    """A start that the store does not answer raises, closes the source, and leaves no run (row G7)."""

    async def main() -> None:
        store = memory()
        handle = process(store)
        async with Relay(handle) as relay:
            handle.down = {"open"}
            probe = Probe(3)
            with pytest.raises(StoreUnavailableError):
                await relay.start(probe, key="k")
            assert probe.closed
            assert await relay.active("k") is None
            handle.down = False
            assert not (await relay.start(silence(), key="k")).joined

    run_virtual(main())


def test_a_lost_answer_to_a_start_is_asked_again() -> None:
    """A claim whose answer was lost is claimed again, and is one run with a producer (I5)."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            handle.lossy["open"] = 2
            run = await relay.start(numbers(2), key="k")
            assert said(await view(relay, run.id)) == ["1", "2", "end"]
            assert len([info async for info in relay.runs()]) == 1

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
def test_a_cancelled_start_leaves_a_live_run_or_none(again: int) -> None:
    """Cancelled at any await, once or twice, a start leaves a run that ends, or no claim; its source is closed (I9)."""

    async def main() -> None:
        probes: list[Probe] = []
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.01))) as relay:

            async def start() -> RunInfo:
                probes.append(Probe(2, waits=True))
                return await relay.start(probes[-1], key="k")

            async def check(step: int) -> None:
                await asyncio.sleep(1)
                assert probes[-1].closed, step
                info = await relay.latest("k")
                assert info is None or info.outcome == Outcome("completed"), step

            assert await cancel_at_every_await(start, check, again=again) >= 1
        await settle()

    run_virtual(main())


def test_no_user_code_runs_inside_start() -> None:
    """A callable, an awaitable and a generator run in a task of the producer's, also under an eager task factory."""

    async def main() -> None:
        ran: list[object] = []

        def note(what: str) -> None:
            assert asyncio.current_task() not in {caller, *(relay._supervisor._claims)}
            ran.append(what)

        def called(context: RunContext) -> AsyncIterator[str]:
            note(context.run_id)
            return numbers(1)

        async def awaited() -> AsyncIterator[str]:
            note("awaited")
            return numbers(1)

        async def awaited_call(context: RunContext) -> AsyncIterator[str]:
            note(f"{context.key} {context.metadata['m']} {context.token.cancelled}")
            return numbers(1)

        caller = asyncio.current_task()
        if (eager := getattr(asyncio, "eager_task_factory", None)) is not None:  # since Python 3.12
            asyncio.get_running_loop().set_task_factory(eager)
        async with Relay(memory()) as relay:
            runs: list[RunInfo] = []
            for source in (called, awaited(), awaited_call):
                runs.append(await relay.start(source, key=f"k{len(runs)}", metadata={"m": len(runs)}))
            for run in runs:
                assert said(await view(relay, run.id)) == ["1", "end"]
            assert ran == [runs[0].id, "awaited", "k2 2 False"]

    run_virtual(main())


def test_the_source_runs_in_the_callers_context() -> None:
    """What the caller has set is seen by the source, or what `context` has; what the source sets stays there."""

    async def main() -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

        async def source() -> AsyncIterator[str]:
            yield variable.get()
            variable.set("the source's")

        async with Relay(memory()) as relay:
            variable.set("the caller's")
            given = contextvars.copy_context()
            given.run(variable.set, "given")
            assert said(await view(relay, (await relay.start(source())).id)) == ["the caller's", "end"]
            assert said(await view(relay, (await relay.start(source(), context=given)).id)) == ["given", "end"]
            assert variable.get() == "the caller's"
            assert given[variable] == "given"

    run_virtual(main())


def test_a_relay_has_to_be_entered() -> None:
    """Outside of its `async with` a relay starts nothing and shows nothing; it may be entered again."""

    async def main() -> None:
        relay, probe = Relay(memory()), Probe(1)
        with pytest.raises(RuntimeError, match="enter the relay"):
            await relay.start(probe)
        assert probe.closed
        with pytest.raises(RuntimeError, match="enter the relay"):
            await relay.wait("nothing")
        for _ in range(2):
            async with relay:
                assert said(await view(relay, (await relay.start(numbers(1))).id)) == ["1", "end"]
                with pytest.raises(RuntimeError, match="open already"):
                    await relay.__aenter__()
            await settle()

    run_virtual(main())


# Conflicts, idempotency, discovery


def test_replace_ends_the_old_run_in_one_step() -> None:
    """The new run has the key at once, the old one ends cancelled as replaced, and its cleanup holds nobody up (I6)."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(store) as there:
            old = await here.start(stubborn(), key="k")
            reading = asyncio.create_task(view(here, old.id))
            await asyncio.sleep(0.1)
            new = await there.start(numbers(1), key="k", on_conflict="replace")
            assert new.id != old.id
            assert (await here.info(old.id)).outcome == Outcome("cancelled", "replaced")
            assert said(await reading) == ["1", "end"]
            assert now() == pytest.approx(0.1)
            assert said(await view(here, new.id)) == ["1", "end"]

    run_virtual(main())


def test_idempotency_keys_are_scoped() -> None:
    """One idempotency key means one start per key, or per `metadata["scope"]`, or globally."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            scopes: list[dict[str, Any]] = [
                {},
                {"key": "a"},
                {"key": "b"},
                {"metadata": {"scope": "a"}},
                {"metadata": {"scope": "b"}},
            ]
            first = [await relay.start(numbers(1), idempotency_key="i", **scope) for scope in scopes]
            assert len({info.id for info in first}) == len(scopes)
            await asyncio.sleep(1)
            again = [await relay.start(numbers(1), idempotency_key="i", **scope) for scope in scopes]
            assert [info.id for info in again] == [info.id for info in first]
            assert all(info.joined and info.status == "completed" for info in again)
            with pytest.raises(IdempotencyConflictError) as raised:
                await relay.start(numbers(1), idempotency_key="i", metadata={"scope": "a", "other": 1})
            assert raised.value.idempotency_key == "i"

    run_virtual(main())


def test_discovery_by_key() -> None:
    """A run is active before its first token, and the key's latest after its end (rows G2, G3)."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            assert await relay.active("k") is None
            assert await relay.latest("k") is None
            run = await relay.start(numbers(1), key="k", metadata={"a": 1})
            active = await relay.active("k")
            assert active is not None
            assert (active.id, active.status, active.last_offset, dict(active.metadata)) == (
                run.id,
                "running",
                0,
                {"a": 1},
            )
            await relay.wait(run.id)
            assert await relay.active("k") is None
            latest = await relay.latest("k")
            assert latest is not None
            assert (latest.id, latest.status, latest.last_offset) == (run.id, "completed", 2)

    run_virtual(main())


def test_runs_are_listed_by_status() -> None:
    """`runs` lists the newest first, all or those of one status."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            first = await relay.start(numbers(1))
            second = await relay.start(silence())
            await relay.wait(first.id)
            assert [info.id async for info in relay.runs()] == [second.id, first.id]
            assert [info.id async for info in relay.runs("running")] == [second.id]
            assert [info.id async for info in relay.runs("failed")] == []

    run_virtual(main())


def test_unknown_and_expired_runs() -> None:
    """Defect 7: a run that is unknown or expired is a typed error from each call, and no hang (row C5)."""

    async def main() -> None:
        async with Relay(memory(retention=60)) as relay:
            run = await relay.start(numbers(1), key="k")
            await relay.wait(run.id)
            for run_id, error in (("nothing", RunNotFoundError), (run.id, RunExpiredError)):
                if error is RunExpiredError:
                    await asyncio.sleep(100)
                for call in (relay.info(run_id), relay.wait(run_id), relay.cancel(run_id), view(relay, run_id)):
                    with pytest.raises(error):
                        await call
            assert await relay.latest("k") is None
            assert await relay.active("k") is None

    run_virtual(main())


# Waiting


def test_wait_from_any_relay() -> None:
    """`wait` returns the outcome, wherever the run is produced; it gives up after its timeout, and leaves nothing."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(store) as there:
            run = await here.start(numbers(2, 1.0))
            with pytest.raises(TimeoutError):
                await there.wait(run.id, timeout=0.5)
            assert now() == pytest.approx(0.5)
            assert await there.wait(run.id) == Outcome("completed")
            assert now() == pytest.approx(2)
            assert await there.wait(run.id, timeout=0.1) == Outcome("completed")
            assert not there._tail._windows

    run_virtual(main())


def test_wait_without_wake_ups() -> None:
    """All wake-ups lost, a wait ends nevertheless, later (§5)."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(process(store, deaf=True)) as there:
            run = await here.start(numbers(1, 1.0))
            assert await there.wait(run.id) == Outcome("completed")
            assert now() <= 10

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
def test_a_cancelled_wait(again: int) -> None:
    """I9: a waiter that is cancelled at any await, once or twice, leaves nothing, and the run goes on."""

    async def main() -> None:
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.01))) as relay:
            run = await relay.start(numbers(2, 0.05))

            async def wait() -> Outcome:
                return await relay.wait(run.id)

            async def check(step: int) -> None:
                nonlocal run
                assert await relay.wait(run.id) == Outcome("completed"), step
                assert not relay._tail._windows
                run = await relay.start(numbers(2, 0.05))

            assert await cancel_at_every_await(wait, check, again=again) > 1
        await settle()

    run_virtual(main())


# Cancelling


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("source", [silence, lambda: numbers(None, 0.1)], ids=["silent", "busy"])
def test_cancel_stops_a_run_from_anywhere(source: Any, elsewhere: bool, deaf: bool) -> None:
    """Defect 4: a silent source is stopped at once, from any process; without wake-ups in the grace (L3, row B7)."""

    async def main() -> None:
        store = memory()
        told: list[RunInfo] = []
        async with Relay(process(store, deaf=deaf), on_transition=told.append) as here, Relay(store) as there:
            run = await here.start(source(), key="k")
            reading = asyncio.create_task(view(there, run.id))
            await asyncio.sleep(0.15)
            info = await (there if elsewhere else here).cancel(run.id)
            assert now() <= 0.15 + (5 if deaf else 0.001)
            assert info.outcome == Outcome("cancelled", "user")
            assert (await reading)[-1].outcome == info.outcome
            again = await here.cancel(run.id, reason="again")
            assert again.outcome == info.outcome
            assert again.last_offset == info.last_offset
            assert await there.active("k") is None
        assert [info.status for info in told] == ["running", "cancelled"]
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_source_that_ignores_cancel_is_sealed_over(elsewhere: bool) -> None:
    """After the grace the canceller seals; what the source yields later is discarded (L3, I6, defect 3)."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(store) as there:
            run = await here.start(stubborn(20))
            await asyncio.sleep(0.1)
            info = await (there if elsewhere else here).cancel(run.id, reason="enough", grace=2)
            assert now() == pytest.approx(2.1)
            assert info.outcome == Outcome("cancelled", "enough")
            await asyncio.sleep(30)
            assert said(await view(there, run.id)) == ["1", "end"]
            assert await there.info(run.id) == info

    run_virtual(main())


def test_cancel_of_a_dead_producers_run() -> None:
    """A producer that is gone does not hold a cancel up for longer than the grace (L3)."""

    async def main() -> None:
        store = memory()
        dead = process(store)
        async with Relay(dead) as here, Relay(store) as there:
            run = await here.start(silence())
            await asyncio.sleep(0.1)
            dead.vanish()
            info = await there.cancel(run.id, grace=3)
            assert info.outcome == Outcome("cancelled", "user")
            assert now() == pytest.approx(3.1)

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
def test_a_cancelled_canceller(again: int) -> None:
    """A canceller that is itself cancelled at any await leaves a run that ends once (I9, I2)."""

    async def main() -> None:
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.01))) as relay:
            runs: list[RunInfo] = []

            async def cancel() -> RunInfo:
                return await relay.cancel(runs[-1].id)

            async def check(step: int) -> None:
                await asyncio.sleep(30)
                await relay.cancel(runs[-1].id)
                assert said(await view(relay, runs[-1].id)) == ["end"], step
                assert not relay._tail._windows
                runs.append(await relay.start(silence()))

            runs.append(await relay.start(silence()))
            await cancel_at_every_await(cancel, check, again=again)
        await settle()

    run_virtual(main())


# Death


def test_a_lookup_is_one_question() -> None:
    """I12: to look a key up costs one call, whatever there is: no run, a live one, one that has ended."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle, lease=1000) as relay:
            for key, source in (("live", silence()), ("ended", numbers(1))):
                await relay.start(source, key=key)
            await asyncio.sleep(0.5)
            for key, status in (("live", "running"), ("ended", "completed"), ("none", None)):
                handle.calls.clear()
                found = await relay.lookup(key)
                assert (found and found.status, dict(handle.calls)) == (status, {"lookup": 1})
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("how", ["info", "wait", "active", "latest", "start", "subscribe", "sweep"])
def test_a_dead_producers_run_is_lost_for_whoever_looks(how: str) -> None:
    """Defects 7, 8 and 17: a run whose producer fell silent is `lost` within lease + 2 s, and its key is free (L2)."""

    async def main() -> None:
        store = memory()
        dead = process(store)
        told: list[RunInfo] = []
        async with Relay(dead, lease=4) as here, Relay(store, lease=4, on_transition=told.append) as there:
            run = await here.start(silence(), key="k")
            await asyncio.sleep(10)
            assert (await there.info(run.id)).status == "running"
            dead.vanish()
            died = now()
            if how in {"wait", "subscribe"}:
                outcome = await (there.wait(run.id) if how == "wait" else _end(there, run.id))
                assert now() <= died + 4 + 2
            elif how == "sweep":
                await asyncio.sleep(4 * 1.5 + 2)
                outcome = (await store.info(run.id)).outcome
            else:
                there._reaper._store = unswept = process(store)
                unswept.lapsed = lambda _: asyncio.sleep(0, [])
                await asyncio.sleep(4)
                found = await there.start(silence(), key="k") if how == "start" else None
                assert found is None or found.id != run.id
                if how == "active":
                    assert await there.active("k") is None
                if how == "latest":
                    latest = await there.latest("k")
                    assert latest is not None
                    assert latest.status == "lost"
                outcome = (await (there.info(run.id) if how == "info" else store.info(run.id))).outcome
            assert outcome is not None
            assert (outcome.status, outcome.reason) == ("lost", "lease_expired")
            await asyncio.sleep(0.1)
            assert [info.status for info in told if info.id == run.id] == ["lost"]

    async def _end(relay: Relay, run_id: str) -> Outcome | None:
        async with relay.subscribe(run_id) as events:
            async for _ in events:
                pass
            return events.outcome

    run_virtual(main())


def test_a_vanished_producer() -> None:
    """A producer whose task is gone renews no more: its run is lost in the bound, and its source is closed (L2)."""

    async def main() -> None:
        async with Relay(memory(), lease=4) as relay:
            for wait in (0.0, 1.0):
                probe = Probe(None, waits=True)
                run = await relay.start(probe)
                await asyncio.sleep(wait)
                died = now()
                for task in relay._supervisor._live:
                    task.cancel()
                outcome = await relay.wait(run.id)
                assert outcome.status == "lost"
                assert now() <= died + 6
                assert probe.closed
        await settle()

    run_virtual(main())


def test_a_zombie_commits_nothing() -> None:
    """A producer that comes back after its run was given away adds nothing, and stops (I6, defect 2)."""

    async def main() -> None:
        store = memory()
        zombie, probe = process(store), Probe(None, waits=True)
        async with Relay(zombie, lease=2) as here, Relay(store, lease=2) as there:
            run = await here.start(probe, key="k")
            await asyncio.sleep(0.5)
            with zombie.frozen():
                assert (await there.wait(run.id)).status == "lost"
                before = said(await view(there, run.id))
            new = await there.start(numbers(3), key="k")
            await asyncio.sleep(10)
            assert said(await view(there, run.id)) == before
            assert probe.closed
            assert said(await view(here, new.id)) == ["1", "2", "3", "end"]

    run_virtual(main())


def test_a_store_outage_shorter_than_the_lease_hurts_nobody() -> None:
    """Defects 8, 9 and 18: what could not be written for a while is written once, in order, when the store is back."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle, lease=10) as relay:
            run = await relay.start(numbers(400, 0.01))
            await asyncio.sleep(1)
            handle.down = True
            await asyncio.sleep(6)
            handle.down = False
            handle.lossy.update({"append": 3})
            assert said(await view(relay, run.id)) == [*map(str, range(1, 401)), "end"]

    run_virtual(main())


# Transitions


def test_transitions_are_told_once_each() -> None:
    """`on_transition` hears of the start and of the end, in order, from the relay that made them so (row B9)."""

    async def main() -> None:
        store = memory()
        here_told: list[RunInfo] = []
        there_told: list[RunInfo] = []

        async def slow(info: RunInfo) -> None:
            if info.status == "running":
                await asyncio.sleep(1)
            here_told.append(info)

        async with Relay(store, on_transition=slow) as here, Relay(store, on_transition=there_told.append) as there:
            run = await here.start(numbers(2), key="k")
            await there.wait(run.id)
            assert now() < 0.1
            await asyncio.sleep(2)
            assert [(info.id, info.status, info.last_offset) for info in here_told] == [
                (run.id, "running", 0),
                (run.id, "completed", 3),
            ]
            assert not there_told
            old = await here.start(silence(), key="k")
            await there.start(numbers(1), key="k", on_conflict="replace")
            await asyncio.sleep(2)
            assert [info.status for info in here_told[2:]] == ["running"]
            assert [(info.id == old.id, info.status) for info in there_told] == [
                (True, "cancelled"),
                (False, "running"),
                (False, "completed"),
            ]

    run_virtual(main())


def test_a_transition_callback_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises or hangs is logged, and neither fails the run nor holds it up."""

    async def main() -> None:
        async def hang(_: RunInfo) -> None:
            await asyncio.get_running_loop().create_future()

        def fail(_: RunInfo) -> None:
            raise ValueError("boom")

        for callback in (hang, fail):
            async with Relay(memory(), on_transition=callback) as relay:
                run = await relay.start(numbers(1))
                assert said(await view(relay, run.id)) == ["1", "end"]
                await asyncio.sleep(20)
            await settle()

    run_virtual(main())
    assert caplog.text.count("on_transition failed") == 4


# Draining


def test_drain_lets_runs_finish() -> None:
    """A draining relay refuses new runs, and waits for those it has, no longer than they take (§1.8)."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            run = await relay.start(numbers(3, 1.0))
            reading = asyncio.create_task(view(relay, run.id))
            await asyncio.sleep(0.5)
            draining = asyncio.create_task(relay.drain(10))
            await asyncio.sleep(0.5)
            probe = Probe(1)
            with pytest.raises(DrainingError):
                await relay.start(probe)
            assert probe.closed
            await draining
            assert now() == pytest.approx(3)
            assert said(await reading) == ["1", "2", "3", "end"]
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("grace", [0, 0.2, 5])
@pytest.mark.parametrize("source", [silence, stubborn, lambda: numbers(None)], ids=["silent", "stubborn", "busy"])
def test_drain_seals_what_is_left(source: Any, grace: float) -> None:
    """What does not finish is sealed lost, as a shutdown, in the grace; the viewers get it; no task stays (L7, L8)."""

    async def main() -> None:
        store = memory()
        told: list[RunInfo] = []
        async with Relay(store) as there:
            async with Relay(store, on_transition=told.append) as here:
                runs = [await here.start(source(), key=str(number)) for number in range(3)]
                viewers = [asyncio.create_task(view(relay, run.id)) for run in runs for relay in (here, there)]
                await asyncio.sleep(1)
                await here.drain(grace)
                assert now() - 1 <= max(grace, 0.5) + 1e-6
                for run in runs:
                    assert (await store.info(run.id)).outcome == Outcome("lost", "shutdown")
                for viewer in viewers:
                    assert (await viewer)[-1].outcome == Outcome("lost", "shutdown")
            assert sorted(info.status for info in told) == ["lost"] * 3 + ["running"] * 3
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert all("Pump._run" in repr(task) for task in left)  # a stubborn source's own
        for task in left:
            task.cancel()
        if left:
            await asyncio.sleep(2000)
        await settle()

    run_virtual(main())


def test_drain_ends_the_viewers_of_runs_elsewhere() -> None:
    """A viewer of a run that goes on elsewhere ends without an outcome, and can resume there; a waiter is told."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as there:
            run = await there.start(numbers(100, 0.1))
            async with Relay(store) as here:
                waiting = asyncio.create_task(here.wait(run.id))
                async with here.subscribe(run.id) as events:
                    seen = [await anext(events), await anext(events)]
                    await here.drain(0)
                    seen += [event async for event in events]
                    assert events.outcome is None
                with pytest.raises(DrainingError):
                    await waiting
                with pytest.raises(DrainingError):
                    await view(here, run.id)
            rest = await view(there, run.id, seen[-1].id)
            assert said(seen + rest) == [*map(str, range(1, 101)), "end"]
        await settle()

    run_virtual(main())


def test_drain_without_a_store() -> None:
    """A store that does not answer does not keep a relay from closing in its grace (L8)."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            await relay.start(numbers(None))
            await asyncio.sleep(1)
            handle.hung = True
            starting = asyncio.create_task(relay.start(probe := Probe(1)))
            await asyncio.sleep(0)
            await relay.drain(2)
            assert now() <= 3 + 1e-6
            with pytest.raises(DrainingError):
                await starting
            assert probe.closed
        await settle()

    run_virtual(main())


def test_a_start_that_the_shutdown_overtakes() -> None:
    """A claim that the store grants while the relay is closing is sealed at once, and its source closed."""

    async def main() -> None:
        store = memory()
        handle = process(store)
        async with Relay(handle) as relay:
            handle.pause = lambda: asyncio.sleep(0.05)
            starting = asyncio.create_task(relay.start(probe := Probe(None, waits=True), key="k"))
            await asyncio.sleep(0.01)
            await relay.drain(0)
            with pytest.raises(DrainingError):
                await starting
            assert probe.closed
            info = await store.lookup("k")
            assert info is not None
            assert info.outcome == Outcome("lost", "shutdown")
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1])
@pytest.mark.parametrize("grace", [0, 2])
def test_a_cancelled_drain(grace: float, again: int) -> None:
    """I9, I2, L7: a drain that is cancelled at any await, once or twice, may be asked again, and leaves nothing."""

    async def main() -> None:
        history = History()
        store = history.recorded(memory())
        relay = Relay(process(store, pause=lambda: asyncio.sleep(0.01)))
        probes: list[Probe] = []

        async def drain() -> None:
            await relay.__aenter__()
            probes[:] = [Probe(None, waits=True) for _ in range(2)]
            for probe in probes:
                await relay.start(probe, key="k", on_conflict="replace")
            await relay.drain(grace)

        async def check(step: int) -> None:
            await asyncio.sleep(1)
            await relay.drain(0)
            await settle()
            assert all(probe.closed or not probe.read for probe in probes), step
            assert [info async for info in store.runs("running")] == [], step

        assert await cancel_at_every_await(drain, check, again=again) > 5
        async for info in store.runs():
            assert info.outcome in {Outcome("lost", "shutdown"), Outcome("cancelled", "replaced")}
        history.check()
        await settle()

    run_virtual(main())


def test_cursor_grammar_is_checked_before_anything_is_looked_up() -> None:
    """I11: what is no cursor is refused by `subscribe` itself."""

    async def main() -> None:
        async with Relay(memory()) as relay:
            for after in ("", "x", "abcdefgh:01", "abcdefgh:-1", -1, True, 1.5, b"abcdefgh:1"):
                with pytest.raises(InvalidCursorError):
                    relay.subscribe("run", after)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    run_virtual(main())


def test_a_lapsed_run_is_fenced_for_good() -> None:
    """The epoch of a lapsed run ends where its producer's records do, and cursors of it stay good (I4)."""

    async def main() -> None:
        store = memory()
        dead = process(store)
        async with Relay(dead, lease=2) as here, Relay(store) as there:
            run = await here.start(numbers(None, 0.1))
            await asyncio.sleep(1.05)
            dead.vanish()
            await there.wait(run.id)
            events = await view(there, run.id)
            epochs = [Cursor.parse(event.id or "").epoch for event in events]
            assert epochs == [run.epoch] * (len(events) - 1) + [epochs[-1]]
            assert epochs[-1] != run.epoch
            for index, event in enumerate(events):
                assert await view(there, run.id, event.id) == events[index + 1 :]
            with pytest.raises(CursorMismatchError) as raised:
                await view(there, run.id, f"{run.epoch}:{len(events)}")
            assert raised.value.kind == "rolled_back"
            with pytest.raises(CursorMismatchError) as raised:
                await view(there, run.id, replace(Cursor.parse(events[0].id or ""), epoch="another-one"))
            assert raised.value.kind == "foreign"

    run_virtual(main())
