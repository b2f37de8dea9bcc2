"""What the laws of a store work with."""

import asyncio
from dataclasses import replace
from types import ModuleType

import pytest

from sse_relay.exceptions import CursorMismatchError
from sse_relay.stores.memory import MemoryStore
from sse_relay.stores.protocol import Answer, Grant, Page
from sse_relay.testing import StoreUnderTest, run_virtual, store_contract
from sse_relay.testing.stores import (
    appending,
    interrupting,
    keys,
    lifetimes,
    ownership,
    reading,
    starting,
    waking,
)
from sse_relay.testing.stores.under_test import (
    expect,
    expect_equal,
    frames,
    fresh,
    log_of,
    opening,
    refused,
    sealed,
    start,
    wrote,
)
from sse_relay.wire.cursor import Cursor
from tests.testing.stores.breaking import Open


def test_the_contract_is_all_laws() -> None:
    """Every law of every topic is in the contract, once, and says what it holds."""
    topics = (appending, reading, ownership, keys, starting, lifetimes, waking, interrupting)
    assert list(store_contract) == [law for topic in topics for law in topic.laws]
    assert len(set(store_contract)) == len(store_contract) > 50
    assert all(law.__doc__ for law in store_contract)


def test_every_law_is_in_its_topic() -> None:
    """No coroutine function that takes a factory was left out."""
    for topic in (appending, reading, ownership, keys, starting, lifetimes, waking, interrupting):
        found = {
            value
            for value in vars(topic).values()
            if getattr(value, "__module__", "") == topic.__name__ and "factory" in getattr(value, "__annotations__", {})
        }
        assert found == set(topic.laws)


def test_stores_are_closed() -> None:
    """A law closes the store and its peer, also when it fails, and keeps the store for as long as it needs."""
    closed: list[MemoryStore] = []
    kept: list[float] = []

    class Closing(MemoryStore):
        async def aclose(self) -> None:
            closed.append(self)

    def make(retention: float) -> StoreUnderTest:
        kept.append(retention)
        return StoreUnderTest(Closing(), Closing())

    async def main() -> None:
        async with fresh(make) as under:
            assert under.other is under.peer
        async with fresh(make, 5):
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run_virtual(main())
    assert len(closed) == 4
    assert kept == [3600, 5]


def test_without_a_peer_the_store_is_its_own() -> None:
    """Where there is no other handle on the data, the store is asked itself."""
    store = MemoryStore()
    assert StoreUnderTest(store).other is store
    assert StoreUnderTest(store).advance is asyncio.sleep


@pytest.mark.parametrize("topic", [appending, reading, ownership, keys, starting, lifetimes, waking, interrupting])
def test_the_peer_is_asked(topic: ModuleType) -> None:
    """A peer that knows nothing of the store's runs breaks laws of every topic: what is promised holds across both."""

    def make(retention: float) -> StoreUnderTest:
        clock = asyncio.get_running_loop().time
        return StoreUnderTest(MemoryStore(retention=retention, clock=clock), MemoryStore(clock=clock))

    broken: list[str] = []
    for law in topic.laws:
        try:
            run_virtual(law(make))
        except AssertionError:
            broken.append(law.__name__)
    assert len(broken) > len(topic.laws) / 2


def test_every_start_has_a_claim_of_its_own() -> None:
    """Two openings are two starts, and options are kept."""
    assert opening().claim != opening().claim
    assert opening(key="k").key == "k"
    assert opening(lease=1.0).lease == 1


def test_what_is_wrong_is_said() -> None:
    """Each expectation raises an AssertionError that tells what was found and what was wanted."""

    async def answer() -> str:
        return "fine"

    async def fail() -> None:
        raise LookupError("boom")

    async def main() -> None:
        expect(condition=True, message="")
        expect_equal(1, 1, "")
        with pytest.raises(AssertionError, match=r"^message$"):
            expect(condition=False, message="message")
        with pytest.raises(AssertionError, match=r"^the number: 1 instead of 2$"):
            expect_equal(1, 2, "the number")
        assert str(await refused(fail(), LookupError, "it")) == "boom"
        with pytest.raises(AssertionError, match=r"^it was not refused with LookupError, but answered 'fine'$"):
            await refused(answer(), LookupError, "it")
        with pytest.raises(LookupError):
            await refused(fail(), ValueError, "it")

    run_virtual(main())


def test_an_append_has_to_be_ok() -> None:
    """A law's own append that is refused breaks it, and so does a start that finds a run."""

    async def main() -> None:
        store = MemoryStore()
        grant = await start(store, key="k")
        assert (await wrote(store, grant, 1, frames(1), sealed())).last_offset == 2
        with pytest.raises(AssertionError, match=r"the answer to records from 2: <Answer\.SEALED"):
            await wrote(store, grant, 2, frames(2))
        grant = await start(store, key="k")
        with pytest.raises(AssertionError, match="a start found the run"):
            await start(store, key="k", on_conflict="join")

    run_virtual(main())


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"after": 5}, "page.after, having asked for what is after None: 5 instead of 0"),
        ({"first": 2}, "the first record after None: 2 instead of 1"),
        ({"frames": frames(1, 2, 3)}, "3 records on a page of at most 2"),
        ({"frames": frames(1, 2)}, "a page up to 2 of a log up to 1"),
        ({"status": "lost"}, "state and outcome disagree"),
        ({"last_offset": 9, "frames": []}, "an empty page after None, though the log goes on"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_every_page_is_checked(change: dict[str, object], finding: str) -> None:
    """Reading a log finds what is wrong with a page, whatever law reads it."""

    class Wrong(Open):
        async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
            page = await super().read(run_id, after, limit=limit, **more)
            of_run = {name: value for name, value in change.items() if name in {"status", "last_offset"}}
            of_page = {name: value for name, value in change.items() if name not in of_run}
            return replace(page, info=replace(page.info, **of_run), **of_page)  # type: ignore[arg-type]

    async def main() -> None:
        store = Wrong()
        grant = await start(store)
        await store.append(grant, 1, frames(1))
        with pytest.raises(AssertionError, match=finding):
            await log_of(store, grant.run_id, limit=2)

    run_virtual(main())


def test_an_endless_log_is_found() -> None:
    """A store whose log never ends does not hang the law."""

    class Endless(Open):
        async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
            page = await super().read(run_id, None, limit=limit, **more)
            seen = after.offset if isinstance(after, Cursor) else 0
            return replace(page, info=replace(page.info, last_offset=10**9), first=seen + 1, after=seen)

    async def main() -> None:
        store = Endless()
        grant: Grant = await start(store)
        assert (await store.append(grant, 1, frames(1))).answer is Answer.OK
        with pytest.raises(AssertionError, match="never ends"):
            await log_of(store, grant.run_id)

    run_virtual(main())


def test_a_refusal_breaks_the_law() -> None:
    """An error of the library that a law did not ask for breaks it."""

    async def main() -> None:
        async with fresh(lambda retention: StoreUnderTest(MemoryStore(retention=retention))) as under:
            grant = await start(under.store)
            await under.store.read(grant.run_id, 1)

    with pytest.raises(AssertionError, match="the store refused what it has to do: CursorMismatchError") as caught:
        run_virtual(main())
    assert isinstance(caught.value.__cause__, CursorMismatchError)
