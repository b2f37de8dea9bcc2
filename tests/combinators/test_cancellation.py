"""Stop a stream from anywhere, also while its source is silent."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from sse_relay import CancelToken, StreamCancelledError, as_events, cancellable, guard_terminal, keepalive
from sse_relay.testing import Probe, cancel_at_every_await, run_virtual


async def drain(stage: Any, seen: list[Any] | None = None) -> list[Any]:
    seen = [] if seen is None else seen
    async for item in stage:
        seen.append(item)
    return seen


def test_silent_source_is_stopped_at_once() -> None:
    """Defect 4: a source that waits is interrupted when the token is cancelled, not at its next item (row E)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        token, probe = CancelToken(), Probe(2, "wait")
        loop.call_at(0.2, token.cancel, "user")
        seen: list[Any] = []
        with pytest.raises(StreamCancelledError) as raised:
            await drain(cancellable(probe, token), seen)
        assert raised.value.reason == "user"
        assert loop.time() == pytest.approx(0.2)
        assert len(seen) == 2
        assert probe.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_nothing_is_delivered_after_the_cancellation() -> None:
    """Defect 3: of 20 items that are ready, none comes after the reader has cancelled, and the error is not lost."""

    async def main() -> None:
        token, seen = CancelToken(), []
        with pytest.raises(StreamCancelledError):
            async for event in cancellable(Probe(20), token):
                seen.append(event.data)
                if len(seen) == 3:
                    token.cancel()
        assert seen == ["0", "1", "2"]

    run_virtual(main())


@pytest.mark.parametrize(
    "wrap",
    [lambda stage: stage, keepalive, lambda stage: keepalive(as_events(stage))],
    ids=["alone", "keepalive", "two"],
)
def test_cancellation_behind_other_combinators(wrap: Any) -> None:
    """Defect 3, 5: no combinator above swallows the cancellation."""

    async def main() -> None:
        token = CancelToken()
        asyncio.get_running_loop().call_later(1, token.cancel)
        with pytest.raises(StreamCancelledError):
            await drain(wrap(cancellable(Probe(None, waits=True), token)))

    run_virtual(main())


def test_cancellable_above_a_guard_raises() -> None:
    """The guard does not take a cancellation for the source's error when the combinator is above it (row G5)."""

    async def main() -> None:
        token = CancelToken()
        asyncio.get_running_loop().call_later(1, token.cancel)
        seen: list[Any] = []
        with pytest.raises(StreamCancelledError):
            await drain(keepalive(cancellable(guard_terminal(keepalive(Probe(2, "wait"))), token)), seen)
        assert [event.event for event in seen] == [None, None]

    run_virtual(main())


def test_source_that_ignores_cancellation_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    """After the grace the stream ends without the source; what it yields later is dropped (L3)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        release = asyncio.Event()

        async def stubborn() -> AsyncGenerator[str, None]:
            yield "first"
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            yield "late"

        token = CancelToken()
        loop.call_at(1, token.cancel)
        seen: list[Any] = []
        with pytest.raises(StreamCancelledError):
            await drain(cancellable(stubborn(), token, grace=2), seen)
        assert loop.time() == pytest.approx(3)
        assert seen == ["first"]
        assert "ignored its cancellation for 2 s" in caplog.text
        release.set()
        await asyncio.sleep(1)
        assert seen == ["first"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_source_may_clean_up_within_its_grace() -> None:
    """A source that needs time to clean up gets it, uninterrupted, and what it yields meanwhile is dropped."""

    async def main() -> None:
        cleaned: list[str] = []

        async def source() -> AsyncGenerator[str, None]:
            try:
                yield "first"
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(3)
                cleaned.append("caught")
                yield "dropped"
            finally:
                await asyncio.sleep(1)
                cleaned.append("finally")

        token = CancelToken()
        asyncio.get_running_loop().call_later(1, token.cancel)
        seen: list[Any] = []
        with pytest.raises(StreamCancelledError):
            await drain(cancellable(source(), token), seen)
        assert seen == ["first"]
        assert cleaned == ["caught", "finally"]
        assert asyncio.get_running_loop().time() == pytest.approx(5)

    run_virtual(main())


def test_token_cancelled_before_the_start() -> None:
    """A stream whose token is cancelled already never starts its source, and closes it."""

    async def main() -> None:
        token, probe = CancelToken(), Probe(3)
        token.cancel("early")
        with pytest.raises(StreamCancelledError, match="early"):
            await drain(cancellable(probe, token))
        assert probe.read == 0
        assert probe.closed

    run_virtual(main())


def test_first_reason_stays() -> None:
    """A token is cancelled once: a later reason does not replace the first."""
    token = CancelToken()
    assert not token.cancelled
    assert token.reason is None
    token.cancel("user")
    token.cancel("shutdown")
    assert token.cancelled
    assert token.reason == "user"


def test_any_thread_may_cancel() -> None:
    """A token cancelled in another thread wakes the stream in its loop."""

    async def main() -> None:
        token, probe = CancelToken(), Probe(1, "wait")
        started = asyncio.Event()

        async def read() -> None:
            async for _ in cancellable(probe, token):
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        thread = threading.Thread(target=token.cancel, args=("thread",))
        thread.start()
        with pytest.raises(StreamCancelledError, match="thread"):
            await task
        thread.join()

    asyncio.run(main())


def test_one_token_stops_many_streams() -> None:
    """Every stream that watches a token stops; none is left watching afterwards."""

    async def main() -> None:
        token = CancelToken()
        probes = [Probe(1, "wait") for _ in range(20)]
        tasks = [asyncio.create_task(drain(cancellable(probe, token))) for probe in probes]
        asyncio.get_running_loop().call_later(1, token.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, StreamCancelledError) for result in results)
        assert all(probe.closed for probe in probes)

    run_virtual(main())


def test_finished_streams_stop_watching() -> None:
    """A long-lived token does not grow with the streams that watched it (row E: no registry that grows)."""

    async def main() -> None:
        token = CancelToken()
        for _ in range(10):
            await drain(cancellable(Probe(3), token))
            stage = cancellable(Probe(None), token)
            await anext(stage)
            await stage.aclose()
        assert not token._watchers

    run_virtual(main())


def test_two_tokens_on_one_stream() -> None:
    """Either token stops the stream, with its own reason."""

    async def main() -> None:
        first, second = CancelToken(), CancelToken()
        asyncio.get_running_loop().call_later(1, second.cancel, "second")
        with pytest.raises(StreamCancelledError, match="second"):
            await drain(cancellable(cancellable(Probe(1, "wait"), first), second))
        assert not first._watchers

    run_virtual(main())


def test_cancelled_after_the_source_has_ended() -> None:
    """What a finished source left unread is dropped, too: a reader that asked to stop sees no more."""

    async def main() -> None:
        token, seen = CancelToken(), []
        stage = cancellable(Probe(10), token)
        with pytest.raises(StreamCancelledError):
            async for event in stage:
                seen.append(event)
                await asyncio.sleep(1)  # the source has ended meanwhile
                token.cancel()
        assert len(seen) == 1

    run_virtual(main())


def test_wait_returns_the_reason() -> None:
    """`wait` returns once the token is cancelled, or at once."""

    async def main() -> None:
        token = CancelToken()
        asyncio.get_running_loop().call_later(2, token.cancel, "user")
        assert await token.wait() == "user"
        assert await token.wait() == "user"
        assert asyncio.get_running_loop().time() == pytest.approx(2)

    run_virtual(main())


@pytest.mark.parametrize("answer", [True, "status says so"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_poll_cancels(answer: bool | str, *, asynchronous: bool) -> None:
    """Row E: a caller's status function is asked at most every interval, and its true answer stops a silent stream."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        asked: list[float] = []

        def poll() -> bool | str:
            asked.append(loop.time())
            return answer if loop.time() >= 2 else False

        async def poll_async() -> bool | str:
            await asyncio.sleep(0)
            return poll()

        token = CancelToken(poll=poll_async if asynchronous else poll)
        with pytest.raises(StreamCancelledError, match="cancelled" if answer is True else "status says so"):
            await drain(cancellable(Probe(1, "wait"), token))
        assert asked == pytest.approx([0, 0.5, 1, 1.5, 2])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_failing_poll_never_fails_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    """Row E: a status function that raises is logged once and asked again; the stream goes on."""

    async def main() -> None:
        def poll() -> bool:
            if asyncio.get_running_loop().time() < 3:
                raise ConnectionError("database is down")
            return False

        assert len(await drain(cancellable(Probe(1000, waits=True), CancelToken(poll=poll)))) == 1000
        assert caplog.text.count("poll function failed") == 1

    run_virtual(main())


def test_polling_ends_with_the_stream() -> None:
    """Nobody watches: nobody asks."""

    async def main() -> None:
        asked: list[float] = []

        def poll() -> bool:
            asked.append(1)
            return False

        token = CancelToken(poll=poll)
        await drain(cancellable(Probe(3), token))
        count = len(asked)
        await asyncio.sleep(100)
        assert len(asked) == count
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


@pytest.mark.parametrize("again", [0, 1, 2])
def test_cancelled_reader_is_no_cancelled_token(again: int) -> None:
    """A reader cancelled at any await closes the source, and leaves the token alone (I9, row E)."""

    async def main() -> None:
        token = CancelToken()
        probes: list[Probe] = []

        async def read() -> None:
            probes.append(Probe(3, waits=True))
            stage = cancellable(probes[-1], token)
            try:
                await drain(stage)
            finally:
                await stage.aclose()

        async def check(step: int) -> None:
            await asyncio.sleep(1)
            assert probes[-1].closed, step
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not token._watchers

        assert await cancel_at_every_await(read, check, again=again) >= 3
        assert not token.cancelled

    run_virtual(main())


def test_token_must_be_a_token() -> None:
    """Something else in the token's place is refused at once."""
    token: Any = asyncio.Event()
    with pytest.raises(TypeError, match="token must be a CancelToken, not Event"):
        cancellable(Probe(1), token)
