"""
The contract of a store, as laws: the same for any store.

A law is a coroutine function of a factory, which makes a new store that keeps runs for so many seconds. It raises
`AssertionError` when the law is broken, and needs no test framework::

    def make(retention):
        return StoreUnderTest(MyStore(retention=retention))

    @pytest.mark.parametrize("law", store_contract)
    def test_my_store(law):
        asyncio.run(law(make))

A store whose clock is the loop's runs on the virtual one, in no time: ``run_virtual(law(make))``. A real server's clock
cannot be moved, and a law that needs time waits; all of them together wait for less than a minute.
"""

from sse_relay.testing.stores import appending, interrupting, keys, lifetimes, ownership, reading, starting, waking
from sse_relay.testing.stores.under_test import StoreFactory, StoreLaw, StoreUnderTest

__all__ = ["StoreFactory", "StoreLaw", "StoreUnderTest", "store_contract"]

store_contract: tuple[StoreLaw, ...] = (
    *appending.laws,
    *reading.laws,
    *ownership.laws,
    *keys.laws,
    *starting.laws,
    *lifetimes.laws,
    *waking.laws,
    *interrupting.laws,
)
