"""A store in front of another one, which passes on whatever is asked."""

import asyncio

import pytest

from sse_relay import MemoryStore, RunNotFoundError
from sse_relay.testing import StoreUnderTest, run_virtual, store_contract
from sse_relay.testing.handle import StoreHandle, listed
from sse_relay.testing.obstacles import OPERATIONS
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.under_test import frames, opening, sealed


@pytest.mark.parametrize("law", store_contract, ids=lambda law: law.__name__)
def test_what_stands_in_front_of_a_store_is_a_store(law: StoreLaw) -> None:
    """Every law of stores holds of a handle on one, and of two handles on one."""

    def make(retention: float) -> StoreUnderTest:
        store = MemoryStore(retention=retention, clock=asyncio.get_running_loop().time)
        return StoreUnderTest(StoreHandle(store), StoreHandle(store))

    run_virtual(law(make))


def test_it_counts() -> None:
    """Each operation is counted by its name when it is asked for, refused or not."""

    async def main() -> None:
        handle = StoreHandle(MemoryStore())
        opened = await handle.open(opening(key="k"))
        assert opened.grant is not None
        await handle.append(opened.grant, 1, frames(1))
        await handle.renew([opened.grant])
        await handle.cancel(opened.info.id, "user")
        await handle.read(opened.info.id)
        await handle.info(opened.info.id)
        await handle.lookup("k")
        await handle.lapsed()
        await handle.follow(print)
        assert [info.id for info in await listed(handle, "running")] == [opened.info.id]
        await handle.end(opened.info.id, sealed())
        with pytest.raises(RunNotFoundError):
            await handle.end("nothing", sealed())
        assert handle.calls == {name: 1 + (name == "end") for name in OPERATIONS}

    run_virtual(main())
