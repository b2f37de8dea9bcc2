"""A worker's line to the store: it is the store, until it is cut."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sse_relay import MemoryStore, Outcome
from sse_relay.demo.lifeline import Lifeline
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Opened, Opening, RunInfo, StreamStore, Wake
from sse_relay.testing import StoreLaw, StoreUnderTest, run_virtual, store_contract

SEAL = seal_of(Outcome("completed"))
OPENING = Opening(lease=10, replaced=SEAL, lapsed=SEAL, run_id="r")


def a_store() -> StreamStore:
    """Make a store on the running loop's clock."""
    return MemoryStore(clock=asyncio.get_running_loop().time)


@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_a_line_keeps_the_contract(law: StoreLaw) -> None:
    """As long as it is whole, a line is a store."""

    def make(retention: float) -> StoreUnderTest:
        store = MemoryStore(retention=retention, clock=asyncio.get_running_loop().time)
        return StoreUnderTest(Lifeline(store))

    run_virtual(law(make))


async def listed(store: StreamStore) -> list[str]:
    """List the runs of a store."""
    return [info.id async for info in store.runs()]


OPERATIONS: dict[str, Callable[[StreamStore, Opened], Coroutine[Any, Any, object]]] = {
    "open": lambda store, _: store.open(OPENING),
    "append": lambda store, opened: store.append(opened.grant, 1, [b"x"]),  # type: ignore[arg-type]
    "renew": lambda store, opened: store.renew([opened.grant]),  # type: ignore[list-item]
    "cancel": lambda store, _: store.cancel("r", "user"),
    "end": lambda store, _: store.end("r", SEAL),
    "read": lambda store, _: store.read("r"),
    "info": lambda store, _: store.info("r"),
    "lookup": lambda store, _: store.lookup("k"),
    "runs": lambda store, _: listed(store),
    "lapsed": lambda store, _: store.lapsed(),
    "follow": lambda store, _: store.follow(lambda _: None),
}


def test_every_operation_is_tried() -> None:
    """What is asked of a store and awaited is in the table of this module, but for `aclose`."""
    asked = {name for name in vars(StreamStore) if not name.startswith("_")}
    assert set(OPERATIONS) == asked - {"aclose", "new_run_id"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_comes_through_a_cut(name: str) -> None:
    """Each operation of a line that is cut hangs for ever, and the store never learns of it."""

    async def main() -> None:
        store = a_store()
        opened = await store.open(OPENING)
        line = Lifeline(store)
        line.cut()
        before = await store.read("r")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await OPERATIONS[name](line, opened)
        assert await store.read("r") == before

    run_virtual(main())


class Slow(MemoryStore):
    """A store that answers a second later."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop, at once; tell of it later."""
        info = await super().cancel(run_id, reason)
        await asyncio.sleep(1)
        return info


def test_an_answer_on_its_way_is_lost() -> None:
    """An operation that is under way when the line is cut is done, but who asked never knows."""

    async def main() -> None:
        store = Slow(clock=asyncio.get_running_loop().time)
        line = Lifeline(store)
        opened = await line.open(OPENING)
        assert opened.grant is not None
        asked = asyncio.ensure_future(line.cancel("r", "user"))
        await asyncio.sleep(0.5)
        line.cut()
        await asyncio.wait({asked}, timeout=3600)
        assert not asked.done()
        asked.cancel()
        assert (await store.append(opened.grant, 1, [])).cancel == "user"

    run_virtual(main())


def test_a_cut_line_is_deaf() -> None:
    """Wake-ups come through until the line is cut, and then no more; what is watched is let go all the same."""

    async def main() -> None:
        store = a_store()
        line = Lifeline(store)
        heard: list[Wake] = []
        follower = await line.follow(heard.append)
        follower.watch("r")
        await store.open(OPENING)
        await store.cancel("r", "user")
        assert [wake.cancel for wake in heard] == ["user"]
        line.cut()
        await store.end("r", SEAL)
        assert len(heard) == 1
        await follower.aclose()
        await line.aclose()
        assert len(line.new_run_id()) == 32

    run_virtual(main())
