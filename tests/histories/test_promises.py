"""What the systems before this one got wrong, or did well: each seen from outside, on two relays."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from sse_relay import (
    Cursor,
    CursorMismatchError,
    Outcome,
    Relay,
    RunConflictError,
    RunExpiredError,
    ServerSentEvent,
    guard_terminal,
)
from sse_relay.dialects import Native
from sse_relay.outcome import Status
from sse_relay.testing import FaultyStore, run_virtual
from tests.runs.faults import memory, numbers, said, settle, silence, view


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_run_is_kept_from_its_last_activity_on() -> None:
    """Defect 19, rows A1 and C5: a run that lives longer than the retention is kept, and for as long after its end."""

    async def main() -> None:
        async with Relay(memory(retention=60)) as relay:
            for source in (numbers(10, 50.0), silence()):
                run = await relay.start(source, timeout=500)
                await asyncio.sleep(480)
                assert (await relay.info(run.id)).status == "running"
                await relay.wait(run.id)
                ended = now()
                await asyncio.sleep(59)
                assert said(await view(relay, run.id))[-1] == "end"
                await asyncio.sleep(2)
                with pytest.raises(RunExpiredError):
                    await relay.info(run.id)
                assert now() > ended + 60

    run_virtual(main())


def test_ids_are_dense_and_never_begin_anew() -> None:
    """Defect 2, row A2: ids count from 1 in each log; a second producer has a log of its own, and nothing is lost."""

    async def main() -> None:
        store = memory()
        dead = FaultyStore(store)
        async with Relay(dead, lease=2) as here, Relay(store, lease=2) as there:
            first = await here.start(numbers(None, 0.1), key="k")
            await asyncio.sleep(0.55)
            with pytest.raises(RunConflictError):
                await there.start(numbers(3), key="k")
            dead.vanish()
            await there.wait(first.id)
            second = await there.start(numbers(3), key="k")
            third = await there.start(numbers(3))
            for run, count in ((first, 5), (second, 3), (third, 3)):
                await there.wait(run.id)
                events = await view(there, run.id)
                assert said(events) == [*map(str, range(1, count + 1)), "end"]
                assert [Cursor.parse(event.id or "").offset for event in events] == list(range(1, count + 2))
            for run in (second, third):
                with pytest.raises(CursorMismatchError) as raised:
                    await view(there, run.id, Cursor(first.epoch, 2))
                assert raised.value.kind == "foreign"

    run_virtual(main())


def test_one_writer_for_all_runs_of_a_process() -> None:
    """Row A4, L8: a hundred runs share one follower and one renewal; a drain stores what all of them have said."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        async with Relay(handle, lease=9) as relay:
            runs = [await relay.start(numbers(50, 0.1)) for _ in range(100)]
            await asyncio.sleep(3.5)
            assert handle.calls["follow"] == 1
            assert handle.calls["renew"] == 1
            await relay.drain(10)
        async with Relay(store) as relay:
            for run in runs:
                assert said(await view(relay, run.id)) == [*map(str, range(1, 51)), "end"]

    run_virtual(main())


def test_a_write_that_failed_is_kept_and_tried_again() -> None:
    """Row A5, defects 8, 9 and 18: refused, lost or unanswered, a batch is there once, in order, and the run ends."""

    async def main() -> None:
        store = memory()
        handle = FaultyStore(store)
        async with Relay(handle, lease=9) as relay:
            run = await relay.start(numbers(300, 0.01), key="k")
            for fault in (handle.outage("append"), handle.lost_replies("append"), handle.frozen("append")):
                await asyncio.sleep(0.5)
                with fault:
                    await asyncio.sleep(4)
            assert said(await view(relay, run.id)) == [*map(str, range(1, 301)), "end"]
            assert await relay.active("k") is None

    run_virtual(main())


class Letta(Native):
    """A dialect whose stop reasons say the status."""

    name = "letta-like"
    statuses: ClassVar[dict[str, Status]] = {
        **dict.fromkeys(("end_turn", "max_steps", "tool_rule", "requires_approval"), "completed"),
        **dict.fromkeys(("error", "llm_api_error", "invalid_llm_response", "invalid_tool_call"), "failed"),
        **dict.fromkeys(("no_tool_call", "max_tokens_exceeded", "insufficient_credits"), "failed"),
        "context_window_overflow_in_system_prompt": "failed",
        "cancelled": "cancelled",
    }

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Read the status off the reason."""
        reason = (event.data or "").removeprefix("stop: ")
        return Outcome(self.statuses[reason], reason) if reason in self.statuses else None


@pytest.mark.parametrize("reason", Letta.statuses)
def test_a_stop_reason_is_a_status(reason: str) -> None:
    """Row B8: a dialect says which status its stop reasons mean; the run has both, and its key is free."""

    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            yield "1"
            yield f"stop: {reason}"

        async with Relay(memory()) as relay:
            run = await relay.start(source(), dialect=Letta(), key="k")
            outcome = await relay.wait(run.id)
            assert (outcome.status, outcome.reason) == (Letta.statuses[reason], reason)
            assert (await relay.info(run.id)).status == outcome.status
            assert said(await view(relay, run.id)) == ["1", "end"]
            assert await relay.active("k") is None

    run_virtual(main())


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "lost"])
def test_the_end_is_one_step(how: str) -> None:
    """Row B9, I8: whoever sees the last event finds the outcome told and the key free; before it, neither."""

    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            yield "1"
            await asyncio.sleep(10)
            if how == "failed":
                raise ValueError

        store = memory()
        handle = FaultyStore(store)
        async with Relay(handle, lease=3) as here, Relay(store, lease=3) as there:
            run = await here.start(source(), key="k")
            for ends in (False, True):
                if ends and how == "cancelled":
                    await here.cancel(run.id)
                if ends and how == "lost":
                    handle.vanish()
                async with there.subscribe(run.id, int(ends)) as events:
                    event = await anext(events)
                    info, active = await store.info(run.id), await store.lookup("k")
                    assert (event.event == "end") == ends
                    assert (info.status, active and active.status) == ((how, how) if ends else ("running", "running"))
                    if ends:
                        assert event.outcome == info.outcome
                        assert not (await there.start(silence(), key="k")).joined

    run_virtual(main())


def test_readers_end_with_their_run() -> None:
    """Row C3, defects 1 and 7: before the end and at its cursor a reader ends, also if the producer is dead."""

    async def main() -> None:
        store = memory()
        dead = FaultyStore(store)
        async with Relay(dead, lease=2) as here, Relay(store, lease=2) as there:
            for vanishes in (False, True):
                run = await here.start(silence() if vanishes else numbers(1, 0.5))
                readers = [asyncio.create_task(view(there, run.id, after)) for after in (None, 0)]
                await asyncio.sleep(0.1)
                if vanishes:
                    dead.vanish()
                began = now()
                for reader in readers:
                    assert said(await reader)[-1] == "end"
                assert now() <= began + (2 + 2 if vanishes else 0.5)
                last = (await there.info(run.id)).last_offset
                assert await view(there, run.id, last) == []
                with pytest.raises(CursorMismatchError):
                    await view(there, run.id, last + 1)

    run_virtual(main())


def test_in_the_foreground_and_in_the_background() -> None:
    """Row G4: a generator gives the same events in the foreground and as a run; without a relay that is an error."""

    async def main() -> None:
        foreground = [event async for event in guard_terminal(numbers(3))]
        async with Relay() as relay:
            background = await view(relay, (await relay.start(numbers(3))).id)
        assert [event.replace(id=None) for event in background] == foreground
        with pytest.raises(RuntimeError, match="enter the relay first"):
            await Relay().start(numbers(3))
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled"])
def test_an_end_is_sealed_in_one_round_trip(how: str, behind: bool) -> None:
    """L1, L3: a run is sealed with the next append after its source's end: no timer, no other call, no retry."""

    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            await asyncio.sleep(1)
            if behind:
                yield "1"  # which is under way when the end comes
            if how == "is cancelled":
                await asyncio.sleep(100)
            if how == "raises":
                raise ValueError

        handle = FaultyStore(memory())
        async with Relay(handle) as here, Relay(handle.store) as there:
            run = await here.start(source())
            with handle.delays(0.05, "append"):
                if how == "is cancelled":
                    await asyncio.sleep(1.001)
                    await there.cancel(run.id)
                await there.wait(run.id)
                assert now() == pytest.approx(1 + 0.1 * behind + 0.05, abs=0.002)  # its answer takes as long again
                assert handle.calls["append"] == 1 + behind
                await asyncio.sleep(1)
            assert said(await view(there, run.id)) == ["1"] * behind + ["end"]

    run_virtual(main())


def test_a_producer_waits_for_no_viewer() -> None:
    """L5, I1: viewers that do not read, on either relay, hold neither the run up, nor its end, nor each other."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as here, Relay(store) as there:
            run = await here.start(numbers(1000, 0.001))
            asleep: list[Any] = [relay.subscribe(run.id) for relay in (here, there, here)]
            for events in asleep:
                await events.__aenter__()
            awake = asyncio.create_task(view(there, run.id))
            assert (await there.wait(run.id)).status == "completed"
            assert now() == pytest.approx(1, abs=0.01)
            whole = await awake
            assert now() == pytest.approx(1, abs=0.01)
            for events in asleep:
                assert [event async for event in events] == whole
                await events.aclose()

    run_virtual(main())
