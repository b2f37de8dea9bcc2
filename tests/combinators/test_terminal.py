"""Exactly one terminal, last, for every way a source can end or misbehave."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from typing import Any

import pytest

from sse_relay import (
    CancelToken,
    ErrorCatalog,
    ErrorInfo,
    Outcome,
    ServerSentEvent,
    cancellable,
    from_sse,
    guard_terminal,
    idle_timeout,
    keepalive,
    render,
    watch_outcome,
)
from sse_relay.dialects import Finish, Native, RenderContext, TextDelta
from sse_relay.testing import Probe, cancel_at_every_await, run_virtual

Source = Callable[[], AsyncIterable[Any]]


async def returns() -> AsyncGenerator[object, None]:
    yield "a"


async def returns_nothing() -> AsyncGenerator[object, None]:
    return
    yield


async def raises() -> AsyncGenerator[object, None]:
    yield "a"
    raise ValueError("secret")


async def raises_at_once() -> AsyncGenerator[object, None]:
    raise ValueError("secret")
    yield


async def raises_in_finally() -> AsyncGenerator[object, None]:
    try:
        yield "a"
    finally:
        raise ValueError("secret")


async def ignores_generator_exit() -> AsyncGenerator[object, None]:
    yield end_event()
    try:
        yield "late"
    except GeneratorExit:
        yield "later"


async def yields_after_the_terminal() -> AsyncGenerator[object, None]:
    yield "a"
    yield end_event()
    yield "late"
    yield end_event("failed")


async def yields_bytes() -> AsyncGenerator[object, None]:
    yield "a"
    yield b"data: x\n\n"


async def yields_garbage() -> AsyncGenerator[object, None]:
    yield "a"
    yield object()


async def yields_nan() -> AsyncGenerator[object, None]:
    yield {"x": float("nan")}


async def yields_a_line_break_in_a_name() -> AsyncGenerator[object, None]:
    yield ServerSentEvent("x", event="a\nevent: end")


async def yields_a_nul_in_an_id() -> AsyncGenerator[object, None]:
    yield ServerSentEvent("x", id="1\0")


async def yields_a_gap() -> AsyncGenerator[object, None]:
    yield ServerSentEvent("{}", event="gap")


async def yields_an_end_of_its_own() -> AsyncGenerator[object, None]:
    yield ServerSentEvent("bye", event="end")


async def yields_a_lone_surrogate() -> AsyncGenerator[object, None]:
    yield TextDelta("a\ud83d")
    yield "b\udc00"


async def yields_a_huge_event() -> AsyncGenerator[object, None]:
    yield "x" * 20_000_000


async def exits() -> AsyncGenerator[object, None]:
    yield "a"
    raise SystemExit(3)


async def interrupts() -> AsyncGenerator[object, None]:
    yield "a"
    raise KeyboardInterrupt


async def cancels_itself() -> AsyncGenerator[object, None]:
    yield "a"
    raise asyncio.CancelledError


async def raises_generator_exit() -> AsyncGenerator[object, None]:
    yield "a"
    raise GeneratorExit


class RaisesStopIteration:
    """A class whose iterator breaks the protocol."""

    def __aiter__(self) -> "RaisesStopIteration":
        return self

    async def __anext__(self) -> str:
        raise StopIteration


class RaisesInAiter:
    """A class whose `__aiter__` fails."""

    def __aiter__(self) -> "RaisesInAiter":
        raise ValueError("secret")

    async def __anext__(self) -> str:
        raise StopAsyncIteration


def end_event(status: str = "completed") -> ServerSentEvent:
    return ServerSentEvent.json({"status": status, "reason": "mine", "error": None}, event="end")


WAYS: list[tuple[Source, str, str | None]] = [
    (returns, "completed", None),
    (returns_nothing, "completed", None),
    (raises, "failed", "internal_error"),
    (raises_at_once, "failed", "internal_error"),
    (raises_in_finally, "failed", "internal_error"),
    (ignores_generator_exit, "completed", None),
    (yields_after_the_terminal, "completed", None),
    (yields_bytes, "failed", "internal_error"),
    (yields_garbage, "failed", "internal_error"),
    (yields_nan, "failed", "invalid_event"),
    (yields_a_line_break_in_a_name, "failed", "invalid_event"),
    (yields_a_nul_in_an_id, "failed", "invalid_event"),
    (yields_a_gap, "failed", "invalid_event"),
    (yields_an_end_of_its_own, "failed", "invalid_event"),
    (yields_a_lone_surrogate, "completed", None),
    (yields_a_huge_event, "completed", None),
    (exits, "failed", "internal_error"),
    (interrupts, "failed", "internal_error"),
    (cancels_itself, "failed", "task_cancelled"),
    (raises_generator_exit, "failed", "internal_error"),
    (RaisesStopIteration, "failed", "internal_error"),
    (RaisesInAiter, "failed", "internal_error"),
]
CHAINS: dict[str, Callable[[AsyncIterable[Any]], Any]] = {
    "alone": guard_terminal,
    "over_a_pump": lambda source: guard_terminal(cancellable(source, CancelToken())),
    "under_a_pump": lambda source: keepalive(guard_terminal(source)),
    "twice": lambda source: guard_terminal(keepalive(guard_terminal(source))),
}


async def collect(source: AsyncIterable[Any]) -> list[ServerSentEvent]:
    return [event async for event in source]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize(("source", "status", "code"), WAYS, ids=lambda way: getattr(way, "__name__", None))
def test_every_way_ends_once(source: Source, status: str, code: str | None, chain: str) -> None:
    """Whatever a source does, there is one terminal, it is last, it can be encoded, and no task is left (I2, I13)."""

    async def main() -> None:
        events = await collect(CHAINS[chain](source()))
        assert [event.event for event in events].count("end") == 1
        *ahead, last = events
        assert last.event == "end"
        assert last.outcome is not None
        assert last.outcome.status == status
        assert (last.outcome.error and last.outcome.error.code) == code
        assert all(event.outcome is None for event in ahead)
        sent = b"".join(event.encode() for event in events)
        assert b"secret" not in sent
        assert b"late" not in sent
        said = json.loads(last.data or "")
        assert said["status"] == status
        assert set(said) == {"status", "reason", "error"}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_never_yielding_source_is_ended_by_an_idle_timeout() -> None:
    """A source that never yields ends with `timed_out`, once an idle timeout is inside the guard (row D)."""
    probe = Probe(0, "wait")
    (last,) = run_virtual(collect(guard_terminal(idle_timeout(probe, seconds=60))))
    assert last.outcome is not None
    assert (last.outcome.status, last.outcome.reason) == ("timed_out", "idle_timeout")
    assert last.outcome.error is not None
    assert last.outcome.error.code == "idle_timeout"
    assert probe.closed


def test_error_behind_a_keepalive_is_no_clean_end() -> None:
    """Defect 5: an upstream error behind a keepalive arrives as a failure, after the items before it."""
    events = run_virtual(collect(guard_terminal(keepalive(raises()))))
    assert events[0].data == "a"
    assert events[-1].outcome is not None
    assert events[-1].outcome.status == "failed"


@pytest.mark.parametrize("name", ["error_recovered", "ended", "end ", "END", "message"])
def test_only_the_name_end_is_terminal(name: str) -> None:
    """Defect 12: an event whose name merely looks like a terminal is none, nor is text that looks like one."""

    async def source() -> AsyncGenerator[object, None]:
        yield ServerSentEvent('{"status":"failed"}', event=name)
        yield "event: end\ndata: [DONE]"

    events = run_virtual(collect(guard_terminal(source())))
    assert [event.event for event in events] == [name, None, "end"]
    assert events[-1].outcome == Outcome("completed")


def test_terminal_after_a_stated_reason_has_it() -> None:
    """Row B5: a stop reason that was stated ahead is the outcome's."""

    async def source() -> AsyncGenerator[object, None]:
        yield TextDelta("Hi")
        yield Finish("length")

    events = run_virtual(collect(guard_terminal(source())))
    assert [event.event for event in events] == ["text", "finish", "end"]
    assert events[-1].outcome == Outcome("completed", "length")


def test_recognised_terminal_passes_as_it_is() -> None:
    """Row B3, B4: a terminal that the source wrote itself is the terminal; its payload is the outcome."""
    error = {"code": "overloaded", "message": "Try later.", "error_id": "e1"}
    sent = ServerSentEvent.json({"status": "failed", "reason": "error", "error": error}, event="end")

    async def source() -> AsyncGenerator[object, None]:
        yield sent

    (last,) = run_virtual(collect(guard_terminal(source())))
    assert last == sent
    assert last.outcome == Outcome("failed", "error", ErrorInfo("overloaded", "Try later.", "e1"))


class TwoFrames(Native):
    """A dialect whose failure has two frames, each of which it would recognise as a terminal."""

    name = "two frames"

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        if event.event == "error":
            return Outcome("failed", "error")
        return Outcome("completed") if event.data == "[DONE]" else None

    def renderer(self, context: RenderContext) -> "TwoFrames":
        return self

    def preamble(self) -> Sequence[ServerSentEvent]:
        return ()

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        return (event,)

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        done = ServerSentEvent("[DONE]")
        return (done,) if outcome.error is None else (ServerSentEvent("{}", event="error"), done)


def test_terminal_of_several_events_stays_whole() -> None:
    """A guard over a rendered guard passes every frame of the terminal, and its outcome (what the HTTP edge builds)."""
    dialect = TwoFrames()
    events = run_virtual(collect(guard_terminal(render(guard_terminal(raises()), dialect), dialect=dialect)))
    assert [event.event or event.data for event in events] == ["a", "error", "[DONE]"]
    assert [event.outcome and event.outcome.status for event in events] == [None, None, "failed"]
    assert events[-1].outcome is not None
    assert events[-1].outcome.error is not None


def test_incomplete_source_fails() -> None:
    """Row B5: an event stream that was cut before its terminal is `failed` with `stream_incomplete`."""

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"data: a\n\ndata: b"

    events = run_virtual(collect(guard_terminal(from_sse(source(), dialect=Native()))))
    assert [event.data for event in events[:-1]] == ["a"]
    assert events[-1].outcome is not None
    assert events[-1].outcome.error is not None
    assert events[-1].outcome.error.code == "stream_incomplete"


def test_cancelled_token_is_no_error() -> None:
    """Row B7: an explicit cancellation ends with `cancelled`, its reason, and no error."""

    async def main() -> None:
        token = CancelToken()
        asyncio.get_running_loop().call_later(5, token.cancel, "user")
        events = await collect(guard_terminal(cancellable(Probe(2, "wait"), token)))
        assert [event.data for event in events[:-1]] == ["0", "1"]
        assert events[-1].outcome == Outcome("cancelled", "user")

    run_virtual(main())


def test_late_error_status_ends_the_stream() -> None:
    """Row F: `(item, status)` with a status other than 2xx is passed on, and then the stream has failed."""

    async def source() -> AsyncGenerator[object, None]:
        yield ("first", 201)
        yield ({"error": "rate limit"}, 429)
        yield "late"

    events = run_virtual(collect(guard_terminal(source())))
    assert [event.data for event in events[:-1]] == ["first", '{"error":"rate limit"}']
    assert [event.status for event in events[:-1]] == [201, 429]
    assert events[-1].outcome is not None
    assert events[-1].outcome.error == ErrorInfo("source_status", "The source answered with status 429.", status=429)


def test_catalog_decides_what_clients_learn(caplog: pytest.LogCaptureFixture) -> None:
    """Row G6: a registered exception has its code and message, and the log has the rest under the error id (I13)."""
    errors = ErrorCatalog()
    errors.register(ValueError, "llm_error", "The model failed.", reason="llm_api_error")
    last = run_virtual(collect(guard_terminal(raises(), errors=errors)))[-1]
    assert last.outcome is not None
    assert last.outcome.reason == "llm_api_error"
    assert last.outcome.error is not None
    assert last.outcome.error.code == "llm_error"
    assert last.outcome.error.error_id is not None
    assert last.outcome.error.error_id in caplog.text
    assert "secret" in caplog.text
    assert "secret" not in (last.data or "")


@pytest.mark.parametrize("again", [0, 1, 2])
@pytest.mark.parametrize("chain", CHAINS)
def test_reader_cancelled_at_every_await(chain: str, again: int) -> None:
    """A reader cancelled at any await, once or twice, gets its CancelledError; the source is closed (I9)."""

    async def main() -> None:
        probes: list[Probe] = []

        async def read() -> None:
            probes.append(Probe(4, waits=True))
            stage = CHAINS[chain](probes[-1])
            try:
                async for _ in stage:
                    await asyncio.sleep(0)
            finally:
                await stage.aclose()

        async def check(step: int) -> None:
            for _ in range(200):
                if asyncio.all_tasks() == {asyncio.current_task()}:
                    break
                await asyncio.sleep(0)
            else:
                raise AssertionError(f"tasks are left after await {step}")
            assert probes[-1].closed or probes[-1].read == 0

        assert await cancel_at_every_await(read, check, again=again) >= 8

    run_virtual(main())


def test_terminal_comes_before_a_slow_close() -> None:
    """The terminal does not wait for the source's cleanup."""

    async def slow() -> AsyncGenerator[object, None]:
        try:
            yield end_event()
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(100)

    async def main() -> None:
        stage = guard_terminal(slow())
        await anext(stage)
        assert asyncio.get_running_loop().time() < 1
        await stage.aclose()
        assert asyncio.get_running_loop().time() >= 100

    run_virtual(main())


# watch_outcome


def watched(source: AsyncIterable[Any], *, stop_after: int | None = None) -> tuple[list[Outcome], BaseException | None]:
    """Read a watched source; returns what the callback was told and what was raised."""
    told: list[Outcome] = []

    async def main() -> BaseException | None:
        stage = watch_outcome(source, told.append)
        seen = 0
        try:
            async for _ in stage:
                seen += 1
                if seen == stop_after:
                    break
        except BaseException as exc:  # noqa: BLE001 - told apart by the tests
            return exc
        finally:
            await stage.aclose()
        return None

    return told, run_virtual(main())


def test_callback_learns_each_end_once() -> None:
    """Row B9: completed, failed, cancelled and closed are told apart, each once."""
    assert watched(returns()) == ([Outcome("completed")], None)
    assert watched(guard_terminal(returns()))[0] == [Outcome("completed")]
    assert watched(returns(), stop_after=1)[0] == [Outcome("cancelled", "closed")]
    told, error = watched(raises())
    assert [outcome.status for outcome in told] == ["failed"]
    assert isinstance(error, ValueError)
    token = CancelToken()
    token.cancel("user")
    told, _ = watched(cancellable(Probe(1), token))
    assert told == [Outcome("cancelled", "user")]


def test_callback_comes_after_the_close() -> None:
    """The callback may release what the source used: the source is closed when it is called."""

    async def main() -> None:
        probe = Probe(1)
        closed: list[bool] = []
        await collect(watch_outcome(probe, lambda _: closed.append(probe.closed)))
        assert closed == [True]

    run_virtual(main())


def test_callback_is_called_for_an_unread_stream() -> None:
    """A stream that is closed before it was read is told, too."""

    async def main() -> None:
        told: list[Outcome] = []
        stage = watch_outcome(Probe(1), told.append)
        await stage.aclose()
        await stage.aclose()
        assert told == [Outcome("cancelled", "closed")]

    run_virtual(main())


def test_failing_callback_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What a callback raises is logged, and the stream ends as it would."""

    def callback(_: Outcome) -> None:
        raise ValueError("callback")

    events = run_virtual(collect(watch_outcome(guard_terminal(returns()), callback)))
    assert [event.event for event in events] == [None, "end"]
    assert "an outcome callback failed" in caplog.text


@pytest.mark.parametrize("again", [0, 1, 2])
def test_async_callback_survives_cancellation(again: int) -> None:
    """A callback that writes to a database gets through, however often the reader is cancelled (I9)."""

    async def main() -> None:
        told: list[Outcome] = []

        async def callback(outcome: Outcome) -> None:
            await asyncio.sleep(1)
            told.append(outcome)

        async def read() -> None:
            stage = watch_outcome(Probe(3, waits=True), callback)
            try:
                async for _ in stage:
                    pass
            finally:
                await stage.aclose()

        async def check(step: int) -> None:
            await asyncio.sleep(2)
            assert len(told) == 1, step
            told.clear()

        assert await cancel_at_every_await(read, check, again=again) > 3

    run_virtual(main())


def test_callback_must_be_callable() -> None:
    """A callback that cannot be called is refused at once."""
    callback: Any = "print"
    with pytest.raises(TypeError, match="callback must be callable"):
        watch_outcome(Probe(1), callback)
