"""What every combinator takes and returns; and the laws, alone and in every pair."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any

import pytest

from sse_relay import (
    CancelToken,
    ServerSentEvent,
    as_events,
    cancellable,
    guard_terminal,
    idle_timeout,
    keepalive,
    render,
    watch_outcome,
)
from sse_relay.combinators.stage import Stage, close, one_to_one, positive, require_source
from sse_relay.dialects import Native
from sse_relay.testing import Combinator, Law, Probe, combinator_laws, run_virtual

COMBINATORS: dict[str, Combinator] = {
    "as_events": as_events,
    "guard_terminal": guard_terminal,
    "cancellable": lambda source: cancellable(source, CancelToken()),
    "keepalive": lambda source: keepalive(source, interval=0.02),
    "keepalive_first": lambda source: keepalive(source, interval=1, first=True),
    "idle_timeout": lambda source: idle_timeout(source, seconds=60),
    "watch_outcome": lambda source: watch_outcome(source, lambda _: None),
    "render": lambda source: render(source, Native()),
}
LAWS = pytest.mark.parametrize("law", combinator_laws, ids=lambda law: law.__name__)


@LAWS
@pytest.mark.parametrize("name", COMBINATORS)
def test_every_combinator_keeps_the_laws(name: str, law: Law) -> None:
    """Each combinator alone keeps order, closes its source, leaves no task, reads ahead boundedly (L6, L7, I9)."""
    run_virtual(law(COMBINATORS[name]))


@LAWS
@pytest.mark.parametrize("outer", COMBINATORS)
@pytest.mark.parametrize("inner", COMBINATORS)
def test_every_pair_keeps_the_laws(inner: str, outer: str, law: Law) -> None:
    """Any order is safe: no hang, no leak, no loss, also of a combinator over itself."""
    run_virtual(law(lambda source: COMBINATORS[outer](COMBINATORS[inner](source))))


@LAWS
def test_the_whole_chain_keeps_the_laws(law: Law) -> None:
    """The canonical chain of all of them keeps the laws, too."""

    def whole(source: AsyncIterable[ServerSentEvent]) -> Stage[Any]:
        stage: Stage[Any] = as_events(source)
        for make in COMBINATORS.values():
            combinator: Any = make
            stage = combinator(stage)
        return stage

    run_virtual(law(whole))


@pytest.mark.parametrize("name", COMBINATORS)
def test_source_that_is_no_async_iterable_is_refused(name: str) -> None:
    """A sync iterable, an uncalled generator function, a coroutine and None are refused at once, with what to do."""
    make: Callable[[Any], Any] = COMBINATORS[name]

    async def generator() -> AsyncGenerator[str, None]:
        yield "x"

    async def coroutine() -> None:
        pass

    unawaited = coroutine()
    for source, advice in (
        (["a"], "from_thread"),
        ("text", "yield it from"),
        (iter([1]), "from_thread"),
        (generator, "call it"),
        (unawaited, "await it"),
        (None, "async generator"),
        (5, "async generator"),
    ):
        with pytest.raises(TypeError, match=advice):
            make(source)
    unawaited.close()


@pytest.mark.parametrize("value", [0, -1, -0.1, float("nan"), float("-inf")])
def test_durations_are_positive(value: float) -> None:
    """Zero, negative and NaN durations are a ValueError that names the option, when the combinator is called."""
    for make in (
        lambda: keepalive(Probe(1), interval=value),
        lambda: idle_timeout(Probe(1), seconds=value),
        lambda: cancellable(Probe(1), CancelToken(), grace=value),
        lambda: CancelToken(poll_interval=value),
    ):
        with pytest.raises(ValueError, match=r"(interval|seconds|grace) must be more than 0 seconds"):
            make()


@pytest.mark.parametrize("value", ["15", None, True, b"1"])
def test_durations_are_numbers(value: Any) -> None:
    """What is no number is a TypeError."""
    with pytest.raises(TypeError, match="interval must be a number of seconds"):
        keepalive(Probe(1), interval=value)


def test_close_prefers_aclose_then_close() -> None:
    """A source is closed by `aclose`, else by `close`, async or not; one with neither is left alone."""

    class Source:
        def __init__(self) -> None:
            self.calls: list[str] = []

    class WithBoth(Source):
        async def aclose(self) -> None:
            self.calls.append("aclose")

        def close(self) -> None:
            self.calls.append("close")

    class WithClose(Source):
        async def close(self) -> None:
            self.calls.append("async close")

    class WithSyncClose(Source):
        def close(self) -> None:
            self.calls.append("close")

    async def main() -> None:
        for source, calls in (
            (WithBoth(), ["aclose"]),
            (WithClose(), ["async close"]),
            (WithSyncClose(), ["close"]),
            (Source(), []),
        ):
            await close(source)
            assert source.calls == calls

    run_virtual(main())


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_a_close_raises_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """A source that raises in its cleanup, even SystemExit or a CancelledError of its own, hurts nobody (I9)."""

    class Source:
        async def aclose(self) -> None:
            raise error

    run_virtual(close(Source()))
    assert "Source raised while it was being closed" in caplog.text


def test_close_lets_a_cancellation_through() -> None:
    """A task that is cancelled while it closes a source is cancelled (I9)."""

    class Source:
        async def aclose(self) -> None:
            await asyncio.sleep(10)

    async def main() -> None:
        task = asyncio.create_task(close(Source()))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    run_virtual(main())


def test_source_that_ignores_its_close_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A generator that yields in answer to GeneratorExit ends the stream all the same, with a warning."""

    async def stubborn() -> AsyncGenerator[str, None]:
        while True:
            try:
                yield "x"
            except GeneratorExit:
                yield "again"

    async def main() -> None:
        stage = as_events(stubborn())
        assert (await anext(stage)).data == "x"
        await stage.aclose()

    run_virtual(main())
    assert "ignored GeneratorExit" in caplog.text
    gc.collect()


def test_abandoned_stream_is_closed_by_the_collector() -> None:
    """A reader that breaks and drops the stream closes the source, as with any generator."""

    async def main() -> None:
        probe = Probe(None)
        async for _ in keepalive(guard_terminal(probe)):
            break
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)
        assert probe.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_stage_is_a_context_manager() -> None:
    """A reader that breaks out of `async with` has closed the source."""

    async def main() -> None:
        probe = Probe(None)
        async with keepalive(probe) as events:
            async for _ in events:
                break
        assert probe.closed

    run_virtual(main())


def test_closing_twice_is_closing_once() -> None:
    """`aclose` may be called again, also after the end."""

    async def main() -> None:
        probe = Probe(1)
        stage = guard_terminal(probe)
        assert len([event async for event in stage]) == 2
        await stage.aclose()
        await stage.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stage)

    run_virtual(main())


def test_one_to_one_passes_the_pump_on() -> None:
    """A timed combinator attaches through one-to-one stages, and not through others: one task hop a chain."""

    async def main() -> None:
        timed = cancellable(Probe(1), CancelToken())
        assert timed.pump is not None
        guarded = guard_terminal(timed)
        assert guarded.pump is timed.pump
        assert keepalive(guarded) is guarded
        assert cancellable(guarded, CancelToken()).pump is not timed.pump
        assert render(timed, Native()).pump is None
        for stage in (guarded, timed):
            await stage.aclose()

    run_virtual(main())


def test_helpers_are_typed_errors() -> None:
    """The checks of sources and durations return what they accept."""
    assert positive("seconds", 2) == 2
    require_source(Probe(1))
    assert isinstance(one_to_one(Probe(1)._generate(), None), Stage)


def test_log_name(caplog: pytest.LogCaptureFixture) -> None:
    """What the library has to say goes to the logger `sse_relay`."""

    class Source:
        async def aclose(self) -> None:
            raise ValueError

    run_virtual(close(Source()))
    assert {record.name for record in caplog.records} == {"sse_relay"}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
