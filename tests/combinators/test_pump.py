"""The one task hop that timed combinators share."""

import asyncio
import contextvars
import random
import sys
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

import pytest
import uvloop

from sse_relay import (
    CancelToken,
    ServerSentEvent,
    StreamCancelledError,
    cancellable,
    guard_terminal,
    idle_timeout,
    keepalive,
)
from sse_relay.combinators.pump import GRACE, LOOK_AHEAD, attach
from sse_relay.testing import Probe, run_virtual

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def canonical(source: AsyncIterable[Any], token: CancelToken) -> Any:
    return keepalive(guard_terminal(idle_timeout(cancellable(source, token), seconds=600)), interval=0.03)


def test_one_hop_a_chain() -> None:
    """The whole canonical chain runs one task beside the reader's."""

    async def main() -> None:
        stage = canonical(Probe(None, waits=True), CancelToken())
        await anext(stage)
        assert len(asyncio.all_tasks()) == 2
        await stage.aclose()
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_look_ahead_is_bounded() -> None:
    """L6: a pump holds 64 items at most, and goes on when they are read."""

    async def main() -> None:
        probe = Probe(1000)
        stage, pump = attach(probe)
        await anext(stage)
        await asyncio.sleep(1)
        assert probe.read == LOOK_AHEAD
        assert pump.ready
        assert len([item async for item in stage]) == 999

    run_virtual(main())


def test_source_sees_the_readers_context() -> None:
    """A source runs in a copy of the context in which it is first read; what it sets stays its own."""

    async def main() -> None:
        seen: list[str] = []

        async def source() -> AsyncGenerator[str, None]:
            seen.append(VARIABLE.get())
            token = VARIABLE.set("source")
            yield "x"
            VARIABLE.reset(token)

        VARIABLE.set("reader")
        async for _ in keepalive(source()):
            assert VARIABLE.get() == "reader"
        assert seen == ["reader"]

    run_virtual(main())


def test_items_before_an_error_are_delivered() -> None:
    """An error waits its turn: the items that were read ahead of it come first."""

    async def main() -> None:
        seen: list[Any] = []
        with pytest.raises(ValueError, match="boom"):
            async for item in keepalive(Probe(50, ValueError("boom"))):
                seen.append(item)
                await asyncio.sleep(0.1)
        assert len(seen) == 50

    run_virtual(main())


def test_error_keeps_its_traceback() -> None:
    """The exception is the source's own, with the line that raised it."""

    async def main() -> None:
        error = ValueError("boom")
        with pytest.raises(ValueError, match="boom") as raised:
            async for _ in keepalive(Probe(1, error)):
                pass
        assert raised.value is error
        assert any(entry.name == "_generate" for entry in raised.traceback)

    run_virtual(main())


def test_cleanup_is_not_interrupted() -> None:
    """A reader that leaves cancels the source once; its cleanup gets the grace."""

    async def main() -> None:
        cleaned: list[bool] = []

        async def source() -> AsyncGenerator[str, None]:
            try:
                yield "x"
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(GRACE - 1)
                cleaned.append(True)

        stage = keepalive(source())
        await anext(stage)
        await stage.aclose()
        assert cleaned == [True]

    run_virtual(main())


def test_cleanup_that_hangs_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    """A source whose cleanup hangs holds its reader up for the grace, not for ever."""

    async def main() -> None:
        async def source() -> AsyncGenerator[str, None]:
            try:
                yield "x"
                await asyncio.sleep(10)
            finally:
                await asyncio.sleep(1000)

        stage = keepalive(source())
        await anext(stage)
        await stage.aclose()
        assert asyncio.get_running_loop().time() == pytest.approx(GRACE)
        assert "was abandoned" in caplog.text

    run_virtual(main())


def test_grace_is_granted_once(caplog: pytest.LogCaptureFixture) -> None:
    """A chain over a source that swallows its cancellation is closed after one grace, with one warning."""

    async def main() -> None:
        release = asyncio.Event()

        async def stubborn() -> AsyncGenerator[str, None]:
            yield "x"
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        stage = guard_terminal(keepalive(stubborn()))
        await anext(stage)
        await stage.aclose()
        assert asyncio.get_running_loop().time() == pytest.approx(GRACE)
        assert caplog.text.count("was abandoned") == 1
        release.set()
        await asyncio.sleep(1)

    run_virtual(main())


def test_stopped_before_its_first_step() -> None:
    """A source that is stopped before its task took its first step is closed: no task is cancelled so early."""

    async def main() -> None:
        token, probe = CancelToken(), Probe(3)
        stage = cancellable(probe, token)

        async def cancel() -> None:
            token.cancel("at once")

        with pytest.raises(StreamCancelledError, match="at once"):
            await asyncio.gather(_drain(stage), cancel())
        await stage.aclose()
        assert probe.read == 0
        assert probe.closed

    run_virtual(main())


def test_close_while_another_task_reads(caplog: pytest.LogCaptureFixture) -> None:
    """Closing a stream that another task waits on still closes its source, and that reader's wait ends."""

    async def main() -> None:
        probe = Probe(1, "wait")
        stage = keepalive(probe)
        reader = asyncio.create_task(_drain(stage))
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="already running"):
            await stage.aclose()
        await asyncio.wait({reader}, timeout=10)
        assert reader.done()
        assert probe.closed

    run_virtual(main())


async def _drain(stage: Any) -> list[Any]:
    return [item async for item in stage]


@pytest.mark.parametrize("seed", range(150))
def test_any_schedule_keeps_the_promises(seed: int) -> None:
    """A seeded sweep: whoever is slow, cancels, fails or leaves at whatever moment, order holds, all is closed (I9)."""
    chance = random.Random(seed)

    async def pause() -> None:
        for _ in range(chance.choice([0, 0, 0, 1, 2, 5])):
            await asyncio.sleep(chance.choice([0, 0, 0.01, 0.02, 0.05]))

    async def main() -> None:
        count = chance.choice([0, 1, 3, 64, 65, 200])
        ending = chance.choice(["return", "raise", "wait", "cancel itself"])
        closed: list[bool] = []

        async def source() -> AsyncGenerator[ServerSentEvent, None]:
            try:
                for number in range(count):
                    await pause()
                    yield ServerSentEvent(str(number))
                if ending == "raise":
                    raise ValueError("boom")
                if ending == "cancel itself":
                    raise asyncio.CancelledError
                if ending == "wait":
                    await asyncio.sleep(10_000)
            finally:
                await pause()
                closed.append(True)

        token = CancelToken()
        loop = asyncio.get_running_loop()
        cancelled_at = chance.choice([None, 0.0, 0.05, 1.0])
        if cancelled_at is not None:
            loop.call_later(cancelled_at, token.cancel, "user")
        leave_after = chance.choice([None, None, None, 0, 1, 10])
        stage = canonical(source(), token)
        seen: list[str] = []
        terminals: list[Any] = []

        async def read() -> None:
            async for event in stage:
                assert not terminals
                if event.event == "end":
                    terminals.append(event.outcome)
                elif event.data is not None:
                    seen.append(event.data)
                await pause()
                if leave_after is not None and len(seen) >= leave_after:
                    break
            await stage.aclose()

        reader = asyncio.create_task(read())
        if chance.random() < 0.3:
            loop.call_later(chance.choice([0.0, 0.01, 0.3]), reader.cancel)
        await asyncio.wait({reader})
        await stage.aclose()
        await asyncio.sleep(GRACE + 1)
        assert seen == [str(number) for number in range(len(seen))]
        if reader.cancelled():
            assert not terminals or seen is not None
        elif leave_after is None:
            (outcome,) = terminals
            expected = {"return": "completed", "raise": "failed", "wait": "timed_out", "cancel itself": "failed"}[
                ending
            ]
            assert outcome.status in ({expected, "cancelled"} if cancelled_at is not None else {expected})
            if outcome.status != "cancelled":
                assert len(seen) == count
        assert closed in ([], [True])
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not token._watchers

    run_virtual(main())


@pytest.mark.parametrize("kind", ["uvloop", "eager"])
def test_other_loops(kind: str) -> None:
    """The chain works on uvloop and under an eager task factory, which runs no source code inside the call."""
    if kind == "eager" and sys.version_info < (3, 12):
        pytest.skip("eager tasks came with Python 3.12")

    async def main() -> None:
        if kind == "eager":
            asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        token, probe = CancelToken(), Probe(3, "wait")
        stage = canonical(probe, token)
        first = stage.__anext__()
        assert probe.read == 0
        assert (await first).data == "0"
        asyncio.get_running_loop().call_later(0.05, token.cancel)
        events = await _drain(stage)
        assert [event.data for event in events[:2]] == ["1", "2"]
        assert events[-1].outcome.status == "cancelled"
        assert probe.closed

    factory = uvloop.new_event_loop if kind == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_cancelled_error_of_the_source_is_an_error() -> None:
    """A CancelledError that nobody asked for reaches the reader as the source's error, and the reader may go on."""

    async def main() -> None:
        async def source() -> AsyncGenerator[str, None]:
            yield "x"
            raise asyncio.CancelledError

        stage = keepalive(source())
        assert await anext(stage) == "x"
        with pytest.raises(asyncio.CancelledError):
            await anext(stage)
        await asyncio.sleep(1)

    run_virtual(main())


def test_stopped_reader_is_told_why() -> None:
    """An interruption that comes while the reader is busy is the next thing it learns."""

    async def main() -> None:
        token = CancelToken()
        stage = cancellable(Probe(None), token)
        await anext(stage)
        token.cancel("busy")
        with pytest.raises(StreamCancelledError, match="busy"):
            await anext(stage)

    run_virtual(main())
