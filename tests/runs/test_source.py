"""What a run is made of: an async iterable, an awaitable of one, or a callable that makes one."""

import asyncio
from typing import Any

import pytest

from sse_relay import CancelToken
from sse_relay.runs.source import OwnedSource, RunContext, discard, require_openable
from sse_relay.testing import Probe, run_virtual

CONTEXT = RunContext("run", None, CancelToken(), {})


async def later(probe: Probe) -> Probe:
    await asyncio.sleep(1)
    return probe


WAYS: dict[str, Any] = {
    "itself": lambda probe: probe,
    "a coroutine": later,
    "a task": lambda probe: asyncio.ensure_future(later(probe)),
    "a callable": lambda probe: lambda _: probe,
    "an async callable": lambda probe: lambda _: later(probe),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_kind_of_source_is_read_and_closed(way: str) -> None:
    """However a source is given, its items come in order, and it is closed (row B2)."""

    async def main() -> None:
        probe = Probe(3)
        source = OwnedSource(WAYS[way](probe), CONTEXT)
        assert [item.data async for item in source] == ["0", "1", "2"]
        await source.aclose()
        await source.aclose()
        assert probe.closed

    run_virtual(main())


@pytest.mark.parametrize("way", WAYS)
def test_closing_an_unread_source(way: str) -> None:
    """A source that nobody has read is closed unstarted: no coroutine is left unawaited, no task running."""

    async def main() -> None:
        probe = Probe(3)
        given = WAYS[way](probe)
        await OwnedSource(given, CONTEXT).aclose()
        await asyncio.sleep(2)
        assert not probe.read
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert probe.closed == (way == "itself")

    run_virtual(main())


def test_what_a_future_holds_is_closed_with_it() -> None:
    """A future that is done gives up its source, one that failed its error, and one that waits is cancelled."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done, failed, waiting = loop.create_future(), loop.create_future(), loop.create_future()
        done.set_result(probe := Probe(1))
        failed.set_exception(ValueError("boom"))
        for future in (done, failed, waiting, waiting):
            await discard(future)
        assert probe.closed
        assert waiting.cancelled()

    run_virtual(main())


def test_what_can_be_no_source() -> None:
    """A list, a string and a number are refused; a function, an awaitable and an iterable are not."""
    for wrong in ([1], "text", 7, None):
        with pytest.raises(TypeError, match="async iterable"):
            require_openable(wrong)
    for right in (Probe(1), print):
        require_openable(right)
