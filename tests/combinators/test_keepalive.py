"""What to do about silence: say something, or end it."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

import pytest

from sse_relay import (
    CancelToken,
    IdleTimeoutError,
    ServerSentEvent,
    cancellable,
    guard_terminal,
    idle_timeout,
    keepalive,
)
from sse_relay.testing import Probe, run_virtual

PING = ServerSentEvent(None, comment="ping")


async def timed(stage: AsyncIterable[Any]) -> list[tuple[float, Any]]:
    loop = asyncio.get_running_loop()
    return [(round(loop.time(), 3), item) async for item in stage]


async def paced(*pauses: float) -> AsyncGenerator[str, None]:
    for index, pause in enumerate(pauses):
        await asyncio.sleep(pause)
        yield f"item {index}"


def test_beats_fill_silence_and_nothing_else() -> None:
    """Row D: a comment after each interval of silence, none while items come."""
    assert run_virtual(timed(keepalive(paced(1, 1, 35, 1), interval=15))) == [
        (1, "item 0"),
        (2, "item 1"),
        (17, PING),
        (32, PING),
        (37, "item 2"),
        (38, "item 3"),
    ]


def test_a_day_of_silence() -> None:
    """A silent day is 5,760 heartbeats, one every 15 seconds (L4), and takes well under a second."""
    started = time.process_time()
    beats = run_virtual(timed(keepalive(paced(86_400.5), interval=15)))
    assert [when for when, item in beats if item == PING] == [15 * n for n in range(1, 5761)]
    assert beats[-1] == (86_400.5, "item 0")
    assert time.process_time() - started < 5


def test_first_beat_comes_before_the_first_item() -> None:
    """Row D: an early ping, before the first token."""
    assert run_virtual(timed(keepalive(paced(5), interval=15, first=True))) == [(0, PING), (5, "item 0")]


def test_beat_may_be_any_item_or_a_function() -> None:
    """Row D: a data ping, made anew each time where it has to be."""
    assert run_virtual(timed(keepalive(paced(12), interval=5, beat={"type": "ping"}))) == [
        (5, {"type": "ping"}),
        (10, {"type": "ping"}),
        (12, "item 0"),
    ]
    count = iter(range(10))
    assert run_virtual(timed(keepalive(paced(12), interval=5, beat=lambda: next(count), first=True))) == [
        (0, 0),
        (5, 1),
        (10, 2),
        (12, "item 0"),
    ]


def test_failing_beat_is_raised() -> None:
    """What a beat's function raises is the reader's error, and the source is closed."""

    async def main() -> None:
        def beat() -> str:
            raise ValueError("beat")

        probe = Probe(1, "wait")
        with pytest.raises(ValueError, match="beat"):
            await timed(keepalive(probe, interval=5, beat=beat))
        assert probe.closed

    run_virtual(main())


def test_slow_reader_gets_no_beats_for_its_own_silence() -> None:
    """Beats measure the silence that the reader waits through, not its own pauses; they never pile up."""

    async def main() -> None:
        stage = keepalive(paced(1, 1), interval=15)
        seen: list[Any] = []
        async for item in stage:
            seen.append(item)
            await asyncio.sleep(100)
        assert seen == ["item 0", "item 1"]

    run_virtual(main())


def test_shorter_of_two_intervals_counts() -> None:
    """The inner beats break the outer's silence; swapped, the shorter one still wins."""
    for inner, outer in ((5, 15), (15, 5)):
        beats = run_virtual(timed(keepalive(keepalive(paced(17), interval=inner), interval=outer)))
        assert [when for when, _ in beats] == [5, 10, 15, 17]


def test_beats_pass_through_a_guard() -> None:
    """A keepalive above a guard beats while the source below it is silent, without a second task."""

    async def main() -> None:
        stage = keepalive(guard_terminal(cancellable(paced(40), CancelToken())), interval=15)
        assert [when for when, _ in await timed(stage)] == [15, 30, 40, 40]

    run_virtual(main())


def test_closing_never_deadlocks() -> None:
    """Defect 6: a reader that leaves a keepalive over a fast source closes it at once; at most 64 items were read."""

    async def main() -> None:
        probe = Probe(None)
        stage = keepalive(probe)
        await anext(stage)
        await asyncio.sleep(1)
        await stage.aclose()
        assert probe.closed
        assert probe.read <= 65
        assert asyncio.get_running_loop().time() == pytest.approx(1)

    run_virtual(main())


def test_wait_for_on_a_keepalive_closes_the_source() -> None:
    """A reader's own timeout around one item closes the stream as a whole: it is never truncated silently."""

    async def main() -> None:
        probe = Probe(1, "wait")
        stage = keepalive(probe)
        await anext(stage)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(stage)
        assert probe.closed

    run_virtual(main())


def test_idle_timeout_ends_silence() -> None:
    """Row D: a cap on silence is a typed error, and the source is closed (it costs money)."""

    async def main() -> None:
        probe = Probe(2, "wait")
        with pytest.raises(IdleTimeoutError) as raised:
            await timed(idle_timeout(probe, seconds=60))
        assert raised.value.seconds == 60
        assert isinstance(raised.value, TimeoutError)
        assert asyncio.get_running_loop().time() == pytest.approx(60)
        assert probe.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_idle_timeout_spares_a_slow_source() -> None:
    """Silence shorter than the cap is none, however long the stream is, and a slow reader's pauses do not count."""

    async def main() -> None:
        async for _ in idle_timeout(paced(59, 59, 59), seconds=60):
            await asyncio.sleep(500)

    run_virtual(main())


@pytest.mark.parametrize(
    "chain",
    [
        lambda source: keepalive(idle_timeout(source, seconds=60), interval=15),
        lambda source: idle_timeout(keepalive(source, interval=15), seconds=60),
        lambda source: keepalive(guard_terminal(idle_timeout(source, seconds=60)), interval=15),
        lambda source: guard_terminal(idle_timeout(keepalive(source, interval=15), seconds=60)),
    ],
    ids=["outside", "inside", "outside a guard", "inside a guard"],
)
def test_heartbeats_are_no_activity(chain: Any) -> None:
    """Heartbeats keep the connection, not the source: the idle timeout comes all the same."""

    async def main() -> None:
        probe = Probe(1, "wait")
        seen: list[Any] = []
        try:
            async for event in chain(probe):
                seen.append(event)  # noqa: PERF401 - what came before the error counts
        except IdleTimeoutError:
            pass
        else:
            assert seen.pop().outcome.status == "timed_out"
        assert [event.data for event in seen] == ["0", None, None, None]
        assert asyncio.get_running_loop().time() == pytest.approx(60)

    run_virtual(main())


def test_grace_is_for_any_stop() -> None:
    """A stubborn source that goes silent holds the stream up for the grace of its `cancellable`, not longer."""

    async def main() -> None:
        release = asyncio.Event()

        async def stubborn() -> AsyncGenerator[str, None]:
            yield "x"
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        stage = keepalive(guard_terminal(idle_timeout(cancellable(stubborn(), CancelToken(), grace=1), seconds=60)))
        events = [event async for event in stage]
        assert events[-1].outcome is not None
        assert events[-1].outcome.status == "timed_out"
        assert asyncio.get_running_loop().time() == pytest.approx(61)
        release.set()
        await asyncio.sleep(1)

    run_virtual(main())


def test_attaching_to_a_running_stream() -> None:
    """A combinator may be put over a stream that was read already; its interval counts from the next wait."""

    async def main() -> None:
        stage = cancellable(paced(1, 20), CancelToken())
        assert await anext(stage) == "item 0"
        assert await timed(keepalive(stage, interval=15)) == [(16, PING), (21, "item 1")]

    run_virtual(main())
