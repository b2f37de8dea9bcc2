"""End runs over their producers' heads."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sse_relay import Outcome, RunNotFoundError
from sse_relay.runs.reaper import Reaper
from sse_relay.testing import run_virtual
from tests.runs.faults import memory, process
from tests.runs.test_opening import request

if TYPE_CHECKING:
    from sse_relay.stores.protocol import Page, RunInfo


def test_a_living_run_is_left_alone() -> None:
    """Looking seals a run only once its lease has passed; then it is lost, and told of once (L2)."""

    async def main() -> None:
        store: Any = memory()
        told: list[tuple[RunInfo, Page]] = []
        reaper = Reaper(store, 4.0, lambda info, page: told.append((info, page)))
        opened, _ = await request(1).open(store, 4.0)
        assert (await reaper.look(opened.info.id)).status == "running"
        await asyncio.sleep(4)
        info = await reaper.look(opened.info.id)
        assert (info.status, info.last_offset) == ("lost", 1)
        assert await reaper.look(opened.info.id) == info
        ((ended, last),) = told
        assert ended == info
        assert last == await store.read(info.id)
        with pytest.raises(RunNotFoundError):
            await reaper.look("nothing")

    run_virtual(main())


def test_whoever_is_first_seals() -> None:
    """Of two who end a run one is told that it did, and the outcome is that one's (I2, I8)."""

    async def main() -> None:
        store: Any = memory()
        told: list[Any] = []
        opened, _ = await request(1).open(store, 4.0)
        for name in ("first", "second"):
            reaper = Reaper(store, 4.0, lambda info, _: told.append(info.outcome and info.outcome.reason))
            info = await reaper.end(opened.info.id, Outcome("cancelled", name))
            assert info.outcome == Outcome("cancelled", "first")
        assert told == ["first"]

    run_virtual(main())


def test_the_sweep_finds_whatever_lapses() -> None:
    """Unobserved, a thousand dead producers' runs are lost within a second of their leases, or of an outage (L2)."""

    async def main() -> None:
        store: Any = process(memory())
        told: list[float] = []
        reaper = Reaper(store, 10.0, lambda *_: told.append(asyncio.get_running_loop().time()))
        sweeping = asyncio.create_task(reaper.sweep())
        for _ in range(1000):
            await request(1).open(store, 10.0)
        await asyncio.sleep(5)
        assert store.calls["lapsed"] <= 5
        await asyncio.sleep(15)
        assert len(told) == 1000
        assert max(told) <= 11
        await request(1).open(store, 10.0)
        for fault, value in (("down", True), ("down", False)):
            await asyncio.sleep(9)
            setattr(store, fault, value)
        await asyncio.sleep(2)
        assert len(told) == 1001
        sweeping.cancel()

    run_virtual(main())
