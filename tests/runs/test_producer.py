"""Drive one source into one log until its outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from sse_relay import (
    ErrorCatalog,
    ErrorInfo,
    MemoryStore,
    Outcome,
    Relay,
    ServerSentEvent,
    StreamIncompleteError,
    from_sse,
)
from sse_relay.dialects import Finish, Native, TextDelta
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import Probe, run_virtual
from tests.runs.faults import memory, numbers, process, said, settle, silence, stubborn, view


def now() -> float:
    return asyncio.get_running_loop().time()


async def play(*items: object) -> AsyncIterator[Any]:
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item


async def refuse() -> Any:
    raise ValueError("secret")


def fail(_: object) -> Any:
    raise ValueError("secret")


class Marked(Native):
    """A dialect whose terminal is a line of its own, and which reserves nothing."""

    name = "marked"

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise it."""
        return Outcome("completed", "marked") if event.data == "[DONE]" else None


ENDS: dict[str, tuple[Callable[[], Any], dict[str, Any], tuple[str, str | None, str | None], list[str]]] = {
    "returns": (lambda: play("1", "2"), {}, ("completed", None, None), ["1", "2"]),
    "is empty": (play, {}, ("completed", None, None), []),
    "states its reason": (
        lambda: play(TextDelta("a"), Finish("stop")),
        {},
        ("completed", "stop", None),
        ["text", "finish"],
    ),
    "raises": (lambda: play("1", ValueError("secret")), {}, ("failed", "error", "internal_error"), ["1"]),
    "exits": (lambda: play("1", SystemExit(3)), {}, ("failed", "error", "internal_error"), ["1"]),
    "interrupts": (lambda: play("1", KeyboardInterrupt()), {}, ("failed", "error", "internal_error"), ["1"]),
    "cancels itself": (lambda: play("1", asyncio.CancelledError()), {}, ("failed", "error", "task_cancelled"), ["1"]),
    "leaves its generator": (lambda: play("1", GeneratorExit()), {}, ("failed", "error", "internal_error"), ["1"]),
    "is incomplete": (
        lambda: play("1", StreamIncompleteError("x")),
        {},
        ("failed", "error", "stream_incomplete"),
        ["1"],
    ),
    "yields bytes": (lambda: play("1", b"2"), {}, ("failed", "error", "internal_error"), ["1"]),
    "yields no JSON": (lambda: play("1", {"x": object()}), {}, ("failed", "error", "invalid_event"), ["1"]),
    "yields a refused status": (lambda: play(("1", 503)), {}, ("failed", "error", "source_status"), ["1"]),
    "yields its end": (
        lambda: play("1", ServerSentEvent.json({"status": "failed", "reason": "x", "error": None}, event="end"), "2"),
        {},
        ("failed", "x", None),
        ["1"],
    ),
    "yields our gap": (
        lambda: play("1", ServerSentEvent("", event="gap")),
        {},
        ("failed", "error", "invalid_event"),
        ["1"],
    ),
    "ends by its dialect": (
        lambda: play("1", "[DONE]", "2"),
        {"dialect": Marked()},
        ("completed", "marked", None),
        ["1"],
    ),
    "yields our gap in its dialect": (
        lambda: play("1", ServerSentEvent("", event="gap")),
        {"dialect": Marked()},
        ("failed", "error", "invalid_event"),
        ["1"],
    ),
    "is cut off": (
        lambda: from_sse(play("data: 1\n\n"), dialect=Native()),
        {},
        ("failed", "error", "stream_incomplete"),
        ["1"],
    ),
    "never yields": (silence, {"idle_timeout": 3}, ("timed_out", "idle_timeout", "idle_timeout"), []),
    "takes too long": (lambda: numbers(None, 2), {"timeout": 3}, ("timed_out", "timeout", "timeout"), ["1"]),
    "is silent for too long": (silence, {"timeout": 3}, ("timed_out", "timeout", "timeout"), []),
    "ignores its timeout": (stubborn, {"timeout": 3}, ("timed_out", "timeout", "timeout"), ["1"]),
    "cannot be opened": (lambda: fail, {}, ("failed", "error", "internal_error"), []),
    "cannot be awaited": (refuse, {}, ("failed", "error", "internal_error"), []),
    "is never there": (
        lambda: asyncio.sleep(1000),
        {"idle_timeout": 3},
        ("timed_out", "idle_timeout", "idle_timeout"),
        [],
    ),
    "opens no source": (lambda: lambda _: [1, 2], {}, ("failed", "error", "internal_error"), []),
    "stops itself": (lambda: lambda context: stop(context.token), {}, ("cancelled", "done", None), []),
}


async def stop(token: Any) -> AsyncIterator[str]:
    token.cancel("done")
    await asyncio.sleep(1)
    yield "late"


@pytest.mark.parametrize("how", ENDS)
def test_every_end_is_one_outcome_sealed_last(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """However a source ends, its run has one outcome, last, told once, no secret in it (I2, I8, I13, L1, B4)."""
    make, options, (status, reason, code), before = ENDS[how]

    async def main() -> None:
        store, told = memory(), list[RunInfo]()
        async with Relay(store, on_transition=told.append) as relay:
            run = await relay.start(make(), key="k", **options)
            outcome = await relay.wait(run.id)
            assert now() <= 3 + 5
            assert (outcome.status, outcome.reason, outcome.error and outcome.error.code) == (status, reason, code)
            events = await view(relay, run.id)
            assert said(events) == [*before, "end"]
            assert [event.outcome for event in events] == [None] * len(before) + [outcome]
            assert "secret" not in "".join(event.data or "" for event in events)
            assert (await relay.info(run.id)).last_offset == len(events)
            assert await relay.active("k") is None
            await asyncio.sleep(2000)
            assert await view(relay, run.id) == events
        assert [info.status for info in told] == ["running", status]
        await settle()

    run_virtual(main())
    del caplog


def test_the_first_event_is_not_held_back() -> None:
    """Rows A3, §1.5: the first event goes out at once, alone; what comes while a write is in flight is one batch."""

    async def main() -> None:
        handle = process(memory())

        async def source() -> AsyncIterator[str]:
            for number in range(20):
                yield str(number)
                await asyncio.sleep(0.1)

        async with Relay(handle) as relay:
            handle.pause = lambda: asyncio.sleep(0.25)
            run = await relay.start(source())
            await relay.wait(run.id)
            assert said(await view(relay, run.id)) == [*map(str, range(20)), "end"]
            assert handle.calls["append"] <= 6

    run_virtual(main())


def test_a_comment_behind_an_event_does_not_hold_it_back() -> None:
    """An event that is followed by a comment, and then silence, is stored at once."""

    async def main() -> None:
        async def source() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent("1")
            yield ServerSentEvent(None, comment="still here")
            await asyncio.sleep(1000)

        async with Relay(memory()) as relay:
            run = await relay.start(source())
            await asyncio.sleep(0.1)
            assert (await relay.info(run.id)).last_offset == 1

    run_virtual(main())


def test_a_producer_never_waits_for_a_viewer() -> None:
    """L5: a viewer that does not read delays neither the run nor its end; what is held for a store is bounded (L6)."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            probe = Probe(5000)
            run = await relay.start(probe)
            async with relay.subscribe(run.id) as events:
                assert (await relay.wait(run.id)).status == "completed"
                assert now() < 0.001
                assert (await anext(events)).data == "0"
            handle.hung = {"append"}
            ahead = Probe(None)
            await relay.start(ahead)
            await asyncio.sleep(0.9)
            assert ahead.read <= 2 * 65
            await asyncio.sleep(2)
            assert 10_000 < ahead.read <= 10_000 + 3 * 65
            handle.hung = False

    run_virtual(main())


def test_the_seal_does_not_wait_for_the_cleanup() -> None:
    """L1: a source that has said its end is sealed at once, whatever it does in its `finally`; that runs, too (B2)."""

    async def main() -> None:
        closed: list[float] = []

        async def source() -> AsyncIterator[str]:
            try:
                yield "1"
                yield "[DONE]"
            finally:
                for _ in range(3):
                    with suppress(asyncio.CancelledError):
                        await asyncio.sleep(1)
                closed.append(now())

        async with Relay(memory()) as relay:
            run = await relay.start(source(), dialect=Marked())
            await relay.wait(run.id)
            assert now() == 0
            await asyncio.sleep(4)
            assert closed == [2]

    run_virtual(main())


@pytest.mark.parametrize("kind", ["max_events", "max_bytes"])
def test_a_full_log_is_a_typed_end(kind: str) -> None:
    """A log at its bound ends the run as `log_full`; what is kept has no hole, and the source stops (row A1)."""

    async def main() -> None:
        for pause in (0.0, 0.01):
            probe = Probe(None, waits=bool(pause))
            async with Relay(MemoryStore(**{kind: 100})) as relay:  # type: ignore[arg-type]
                run = await relay.start(probe)
                outcome = await relay.wait(run.id)
                assert (outcome.status, outcome.error and outcome.error.code) == ("failed", "log_full")
                events = said(await view(relay, run.id))
                assert events == [*map(str, range(len(events) - 1)), "end"]
                assert probe.closed

    run_virtual(main())


def test_retries_leave_one_copy() -> None:
    """Defect 9, I5: appends whose answers are lost, slow or refused are asked again unchanged, in order."""

    async def main() -> None:
        handle = process(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(30, 0.01))
            for _ in range(10):
                handle.lossy["append"] = 1
                handle.hung = {"append"}
                await asyncio.sleep(0.02)
                handle.hung = False
                await asyncio.sleep(0.1)
            assert said(await view(relay, run.id)) == [*map(str, range(1, 31)), "end"]

    run_virtual(main())


def test_a_store_that_lost_records_gets_them_again() -> None:
    """I7: a log that was rolled back below the producer is neither spliced nor given up: it is whole again."""

    async def main() -> None:
        store = memory()
        async with Relay(store) as relay:
            run = await relay.start(numbers(10, 1.0))
            await asyncio.sleep(5.5)
            log = store._registry._runs[run.id]
            del log._frames[3:]
            assert (await relay.wait(run.id)).status == "completed"
            assert said(await view(relay, run.id)) == [*map(str, range(1, 11)), "end"]

    run_virtual(main())


def test_a_store_that_breaks_ends_the_run_nevertheless() -> None:
    """An append that raises what no store should ends the run as failed; its source is closed."""

    async def main() -> None:
        async def append(*_: Any) -> Any:
            raise TypeError("secret")

        probe, broken = Probe(None, waits=True), process(memory())
        broken.append = append
        async with Relay(broken) as relay:
            run = await relay.start(probe)
            outcome = await relay.wait(run.id)
            assert (outcome.status, outcome.error and outcome.error.code) == ("failed", "internal_error")
            assert probe.closed

    run_virtual(main())


def test_the_catalog_speaks_for_the_application() -> None:
    """Row G6: what clients learn of an exception is what the relay's catalog says."""

    async def main() -> None:
        errors = ErrorCatalog()
        errors.register(ValueError, "llm_timeout", "The model took too long.", status=504, reason="llm_api_error")
        async with Relay(memory(), errors=errors) as relay:
            run = await relay.start(play(ValueError("secret")))
            outcome = await relay.wait(run.id)
            assert outcome.reason == "llm_api_error"
            assert outcome.error is not None
            assert outcome.error == ErrorInfo("llm_timeout", "The model took too long.", outcome.error.error_id, 504)

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_producer_cancelled_at_any_moment(again: int) -> None:
    """I9, I2: a producer killed at any step, once or more, leaves a closed source, and a log that ends once (L2)."""

    async def main() -> None:
        async with Relay(process(memory(), pause=lambda: asyncio.sleep(0.001)), lease=2) as relay:
            for step in range(60):
                probe = Probe(5, waits=True)
                run = await relay.start(probe)
                for _ in range(step):
                    await asyncio.sleep(0.001)
                for _ in range(again + 1):
                    for task in relay._supervisor._live:
                        task.cancel()
                    await asyncio.sleep(0)
                outcome = await relay.wait(run.id)
                assert outcome.status in {"lost", "completed"}
                events = said(await view(relay, run.id))
                assert events == [*map(str, range(len(events) - 1)), "end"]
                assert probe.closed
        await settle()

    run_virtual(main())
