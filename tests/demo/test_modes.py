"""Sources that misbehave, each in its own way."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from sse_relay import ErrorCatalog, ServerSentEvent, StreamIncompleteError
from sse_relay.demo.modes import (
    MODES,
    Mode,
    ModelBrokeError,
    ModelBusyError,
    Timings,
    misbehave,
    register_errors,
)
from sse_relay.dialects import Delta, Finish, TextDelta, event_of
from sse_relay.testing import run_virtual

TIMINGS = Timings(trouble_after=2, stubborn=5)
WORDS: list[Delta] = [TextDelta("a"), TextDelta("b"), TextDelta("c"), Finish("stop")]


class Source:
    """Words, and whether their generator was closed."""

    def __init__(self) -> None:
        self.closed = False
        self.began = False

    async def words(self) -> AsyncGenerator[Delta, None]:
        """Yield the words."""
        self.began = True
        try:
            for word in WORDS:
                await asyncio.sleep(1)
                yield word
        finally:
            self.closed = True


async def read(mode: Mode, source: Source, items: list[object]) -> None:
    """Read what a mode makes of the words."""
    async for item in misbehave(source.words(), mode, TIMINGS):
        items.append(item)  # noqa: PERF401 - what came before an error counts


def test_normal_is_the_source_itself() -> None:
    """The mode `normal` changes nothing."""
    items: list[object] = []
    run_virtual(read("normal", Source(), items))
    assert items == WORDS


@pytest.mark.parametrize(
    ("mode", "error"), [("fail", ModelBrokeError), ("vanish", StreamIncompleteError), ("refuse", ModelBusyError)]
)
def test_a_source_raises(mode: Mode, error: type[Exception]) -> None:
    """`fail` raises in mid-run, `vanish` is cut off there, `refuse` raises before the first word."""
    source = Source()
    items: list[object] = []
    with pytest.raises(error):
        run_virtual(read(mode, source, items))
    expected = [] if mode == "refuse" else WORDS[:2]
    assert items == ([event_of(word) for word in expected] if mode == "vanish" else expected)
    assert source.closed == source.began == (mode != "refuse")


def test_vanish_does_not_pass_a_finish() -> None:
    """A stop reason would make a cut look like an end, also in a text that is shorter than the cut is late."""

    async def read_all() -> list[object]:
        items: list[object] = []
        with pytest.raises(StreamIncompleteError):
            async for item in misbehave(Source().words(), "vanish", Timings(trouble_after=99)):
                items.append(item)  # noqa: PERF401
        return items

    items = run_virtual(read_all())
    assert [item.event for item in items if isinstance(item, ServerSentEvent)] == ["text"] * 3


def test_silent_waits_for_ever() -> None:
    """`silent` says no more, and is closed by a cancellation."""
    source = Source()
    items: list[object] = []

    async def give_up() -> None:
        async with asyncio.timeout(3600):
            await read("silent", source, items)

    with pytest.raises(TimeoutError):
        run_virtual(give_up())
    assert items == WORDS[:2]
    assert source.closed


def test_hang_swallows_cancellation() -> None:
    """`hang` stays for its time whatever is asked of it, and then is gone: the demo itself leaks nothing."""
    source = Source()

    async def cancel_often() -> float:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(read("hang", source, []))
        await asyncio.sleep(1.5)
        began = loop.time()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(1)
            assert not task.done()
        await task
        return loop.time() - began

    assert run_virtual(cancel_often()) == pytest.approx(TIMINGS.stubborn)
    assert source.closed


def test_every_mode_is_known() -> None:
    """The page's switch and the request's `mode` have the same six."""
    assert {"normal", "fail", "silent", "hang", "vanish", "refuse"} == MODES


def test_errors_say_nothing_of_the_inside() -> None:
    """What a client learns of a failure has a code and a status, and none of the exception's own words (I13)."""
    errors = ErrorCatalog()
    register_errors(errors)
    broke = errors.resolve(ModelBrokeError("10.0.0.12"))
    busy = errors.resolve(ModelBusyError("project 1234"))
    assert (broke.code, broke.status) == ("llm_error", 502)
    assert (busy.code, busy.status) == ("llm_rate_limit", 429)
    assert "10.0.0.12" not in broke.message
    assert "1234" not in busy.message
