"""Both event loops, and both of uvicorn's parsers: as it chooses them itself where all is installed, and where not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]
Parser = Literal["h11", "httptools"]
Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(
    params=[(asyncio.new_event_loop, "h11"), (uvloop.new_event_loop, "httptools")],
    ids=["asyncio and h11", "uvloop and httptools"],
)
def speeds(request: pytest.FixtureRequest) -> tuple[Loop, Parser]:
    """Choose the slow parts, or the fast ones."""
    chosen: tuple[Loop, Parser] = request.param
    return chosen


@pytest.fixture
def run(speeds: tuple[Loop, Parser]) -> Run:
    """Run a test in real time; no task may be left after it (L7)."""

    async def settled(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(15):
            await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=speeds[0]) as runner:
            runner.run(settled(main))

    return run


@pytest.fixture
def http(speeds: tuple[Loop, Parser]) -> Parser:
    """Which parser reads the requests."""
    return speeds[1]
