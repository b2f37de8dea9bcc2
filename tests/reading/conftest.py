"""Both clocks."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sse_relay.testing import run_virtual
from tests.reading.gateway import Ground
from tests.reading.memory import in_memory
from tests.reading.sockets import on_sockets

Stand = tuple[Callable[[Coroutine[Any, Any, None]], None], Ground]


@pytest.fixture(params=["virtual clock, in memory", "real clock, on sockets"])
def stand(request: pytest.FixtureRequest) -> Stand:
    """Choose how a test is run, and where its gateways stand; no task may be left (L7)."""

    async def settled(main: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(None if virtual else 15):
            await main
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual = request.param.startswith("virtual")
    run = run_virtual if virtual else asyncio.run
    return lambda main: run(settled(main)), in_memory if virtual else on_sockets
