"""I9 over the client: cancelled at every await, once and twice, nothing is left open, and nothing is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sse_relay.client import collect, connect
from sse_relay.testing import cancel_at_every_await, cancelled_at
from tests.reading.conftest import Stand
from tests.reading.faults import FAULTS
from tests.reading.gateway import Gateway, open_files
from tests.reading.memory import in_memory
from tests.stores.redis.waiting import eventually

WORDS = ["1", "2", "3", "4", "5"]
INTERRUPTED = ["none", "reset", "half-open", "502 of a gateway", "redirect", "wrong content type"]

Work = Callable[[str, dict[str, Any]], Coroutine[Any, Any, object]]


async def _connect(url: str, options: dict[str, Any]) -> None:
    async with connect(url, **options) as events:
        try:
            async for _ in events:
                pass
        except Exception:  # noqa: BLE001 - of rows that raise; what is left open counts
            return


async def _collect(url: str, options: dict[str, Any]) -> None:
    await collect(url, **options)


@pytest.mark.parametrize("work", [_connect, _collect])
@pytest.mark.parametrize("fault", INTERRUPTED)
def test_cancelled_at_every_await(stand: Stand, fault: str, work: Work) -> None:
    """I9, L7: wherever a reader is cancelled, once or twice, no task, no connection and no socket is left."""
    run, ground = stand

    async def main() -> None:
        async with ground(FAULTS[fault].fault, *WORDS) as gateway:
            gateway.options["read_timeout"] = 0.02
            tasks, sockets = len(asyncio.all_tasks()), open_files()

            def make() -> Coroutine[Any, Any, object]:
                gateway.visits.clear()
                return work(gateway.url, gateway.options)

            async def check(_: int) -> None:
                await eventually(lambda: not gateway.open)
                await eventually(lambda: len(asyncio.all_tasks()) <= tasks and open_files() <= sockets)

            for again in (0, 1, 3) if ground is in_memory else (len(fault) % 2,):  # the second one meets the cleanup
                assert await cancel_at_every_await(make, check, again=again) > 3

    run(main())


@pytest.mark.parametrize("fault", INTERRUPTED[:-1])
def test_a_reader_who_goes_on(stand: Stand, fault: str) -> None:
    """I1, I9: a reader who is cancelled at any await, and reads on with the same stream, has missed nothing."""
    run, ground = stand

    async def main() -> None:
        async with ground(FAULTS[fault].fault, *WORDS) as gateway:
            for step in range(1, 1000):
                if await _whole_but_for(step, gateway):
                    break

    run(main())


async def _whole_but_for(step: int, gateway: Gateway) -> bool:
    """Read the stream, cancelled once; tell whether it was over before that await."""
    gateway.visits.clear()
    seen: list[str | None] = []
    gateway.options["read_timeout"] = 0.02
    async with connect(gateway.url, **gateway.options) as events:

        async def read() -> None:
            async for event in events:
                seen.append(event.data)  # noqa: PERF401 - one by one, for it is cancelled

        try:
            await cancelled_at(read(), {step})
            through = True
        except asyncio.CancelledError:
            through = False
            await read()
    assert seen[:-1] == WORDS, step
    return through
