"""Pages of logs: one script, or a command of the server's own and the state behind it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from sse_relay import Cursor, CursorMismatchError, RunNotFoundError
from sse_relay.stores.paging import PAGE_BYTES
from sse_relay.stores.protocol import Page
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.pages import INFO, READ, Heavy, page_of
from sse_relay.stores.redis.scripts import Script
from sse_relay.testing.stores.under_test import sealed, start
from tests.stores.redis.servers import Server

MUCH = 500
Meanwhile = Callable[[], Awaitable[object]]


class Asked:
    """
    Calls that are noted.

    Attributes:
        names: What was called.
        meanwhile: Done before each state is asked for, once all that was asked before is answered.
    """

    def __init__(self, store: RedisStore) -> None:
        self._calls: Any = store._lines.reads
        self._asking: asyncio.Task[None] | None = None
        self._before: asyncio.Future[Any] | None = None
        self.names: list[str] = []
        self.meanwhile: Meanwhile | None = None

    async def call(self, script: Script, keys: Sequence[str], *args: bytes, **how: Any) -> Any:
        self.names.append(script.name)
        return await self._calls.call(script, keys, *args, **how)

    def ask(self, call: Call) -> None:
        self.names.append(call.script.name)
        if call.script is INFO and self.meanwhile is not None and self._before is not None:
            self._asking = asyncio.ensure_future(self._ask_later(call, self._before, self.meanwhile))
        else:
            self._calls.ask(call)
        self._before = call.future

    async def _ask_later(self, call: Call, before: asyncio.Future[Any], meanwhile: Meanwhile) -> None:
        await before
        await meanwhile()
        self._calls.ask(call)


async def read(store: RedisStore, asked: Asked, run_id: str, after: Cursor | int | None, *, one_node: bool) -> Page:
    link: Any = asked if one_node else None
    return await page_of(asked, store._keys, run_id, after, (MUCH, PAGE_BYTES), link=link, heavy=Heavy())  # type: ignore[arg-type]


def frame(number: int) -> bytes:
    return b"data: %d %b\n\n" % (number, b"." * (number * 37 % 300))


@pytest.mark.parametrize("on_full", ["fail", "trim"])
@pytest.mark.parametrize("taken", [False, True])
def test_both_ways_tell_the_same(on_full: Any, taken: bool, server: Server, prefix: str) -> None:
    """I3, I4: from every place, of a log of any batches, trimmed or taken over, both tell the same, if not as much."""

    async def main() -> None:
        store = server.store(prefix, max_events=150 if on_full == "trim" else None, on_full=on_full)
        grant, last, dice = await start(store), 0, random.Random(5)
        while last < 300:
            count = dice.choice([1, 1, 2, 5, 40])
            await store.append(grant, last + 1, [frame(last + 1 + number) for number in range(count)])
            last += count
        if taken:
            await store.end(grant.run_id, sealed("lost"))
        plainly = Asked(store)
        for after in range(last + 1):
            page = await read(store, plainly, grant.run_id, Cursor(grant.epoch, after), one_node=True)
            wanted = await read(store, Asked(store), grant.run_id, Cursor(grant.epoch, after), one_node=False)
            assert (page.info, page.epoch, page.first, page.after) == (
                wanted.info, wanted.epoch, wanted.first, wanted.after
            )  # fmt: skip
            assert list(page.frames) == list(wanted.frames[: len(page.frames)])
            assert bool(page.frames) is bool(wanted.frames)
        by_script = {"read"} if on_full == "trim" else set[str]()  # where a page begins with a gap
        assert set(plainly.names) == {"XRANGE", "info"} | by_script
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["another node", "not much"])
def test_a_script_tells_the_rest(how: str, server: Server, prefix: str) -> None:
    """Where two calls may be answered by two servers, or little is wanted, it is one script in one round trip."""

    async def main() -> None:
        store = server.store(prefix)
        grant = await start(store)
        await store.append(grant, 1, [frame(number) for number in range(1, 101)])
        asked, limit = Asked(store), MUCH if how == "another node" else MUCH - 1
        link: Any = asked if how == "not much" else None
        page = await page_of(asked, store._keys, grant.run_id, None, (limit, PAGE_BYTES), link=link, heavy=Heavy())  # type: ignore[arg-type]
        assert (len(page.frames), asked.names) == (100, [READ.name])
        await store.aclose()

    asyncio.run(main())


def test_a_run_of_large_entries_is_read_by_the_script(server: Server, prefix: str) -> None:
    """L6: a command knows no bytes: what has brought far more than a page once is asked of the script, which does."""

    async def main() -> None:
        store, heavy = server.store(prefix), Heavy()
        light, large = await start(store), await start(store)
        for number in range(20):
            for grant, size in ((light, 100), (large, 100_000)):
                await store.append(grant, 5 * number + 1, [b"x" * size] * 5)
            await store.append(light, 5 * number + 6, [])
        await store.append(light, 101, [b"x" * 9000])  # what gathered is an entry now
        for grant, names in ((light, ["XRANGE", "info"] * 2), (large, ["XRANGE", "info", "read"])):
            asked, bounds = Asked(store), (MUCH, 1_000_000)
            link: Any = asked
            for _ in range(2):
                page = await page_of(asked, store._keys, grant.run_id, 0, bounds, link=link, heavy=heavy)  # type: ignore[arg-type]
                assert len(page.frames) == (101 if grant is light else 10)
            assert asked.names == names
        await store.aclose()

    asyncio.run(main())


def test_what_gathers_is_told_with_the_state(server: Server, prefix: str) -> None:
    """I3: what is no entry yet, and that nothing follows, is told in the same round trip."""

    async def main() -> None:
        store = server.store(prefix)
        grant = await start(store)
        for number in range(1, 201):
            await store.append(grant, number, [frame(number)])
        for after in (0, 100, 195, 199, 200):
            asked = Asked(store)
            page = await read(store, asked, grant.run_id, after, one_node=True)
            assert (page.first, list(page.frames)) == (after + 1, [frame(number) for number in range(after + 1, 201)])
            assert asked.names == ["XRANGE", "info"]
        name = store._keys.run(grant.run_id)
        for after, until, parts in ((0, 500, 3), (199, 500, 3), (200, 500, 2), (0, 100, 2)):
            reply = await store._lines.reads.call(INFO, [name], b"%d" % after, b"%d" % until)
            assert len(reply) == parts  # only what there is a use for
        await store.aclose()

    asyncio.run(main())


def test_what_gathers_is_no_part_of_a_page_before_it(server: Server, prefix: str) -> None:
    """I3: where a page ends within the entries, or before, it has nothing of what gathers behind them."""

    async def main() -> None:
        store = server.store(prefix)
        grant = await start(store)
        await store.append(grant, 1, [b"x" * 100] * (MUCH + 200))
        await store.append(grant, MUCH + 201, [b"gathers"])
        asked = Asked(store)
        page = await read(store, asked, grant.run_id, 0, one_node=True)
        assert (page.first, page.last, asked.names) == (1, MUCH, ["XRANGE", "info", "read"])
        page = await read(store, Asked(store), grant.run_id, MUCH + 100, one_node=True)
        assert (page.first, page.last, page.frames[-1]) == (MUCH + 101, MUCH + 201, b"gathers")
        await store.aclose()

    asyncio.run(main())


def test_what_gathered_and_became_an_entry_is_no_gap(server: Server, prefix: str) -> None:
    """I7: what was no entry when entries were read, and is one when the state is, is read again, and not left out."""

    async def main() -> None:
        store = server.store(prefix)
        grant = await start(store)
        await store.append(grant, 1, [frame(1), frame(2)])
        asked = Asked(store)

        async def becomes_an_entry() -> None:
            await store.append(grant, 3, [b"x" * 8000])
            await store.append(grant, 4, [b"x" * 200])

        asked.meanwhile = becomes_an_entry
        page = await read(store, asked, grant.run_id, 0, one_node=True)
        assert (page.first, page.last, asked.names) == (1, 4, ["XRANGE", "info", "read"])
        assert list(page.frames) == [frame(1), frame(2), b"x" * 8000, b"x" * 200]
        await store.aclose()

    asyncio.run(main())


def test_a_page_ends_at_a_hole(server: Server, prefix: str) -> None:
    """I7: an entry that has vanished from among the others is not spliced over: a page ends before it."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant = await start(store)
        for first in (1, 11, 21):
            await store.append(grant, first, [b"x" * 1000] * 10)
        await client.xdel(store._keys.run(grant.run_id).replace("}:run:", "}:log:"), "20-10")
        for after, first, last in ((0, 1, 10), (5, 6, 10), (10, 21, 30)):
            page = await read(store, Asked(store), grant.run_id, after, one_node=True)
            assert (page.first, page.last) == (first, last)
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_entries_that_are_dropped_meanwhile_are_a_gap(server: Server, prefix: str) -> None:
    """I7: where nothing of what was read is kept by the time the state is told, the page is what is there now."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant = await start(store)
        await store.append(grant, 1, [b"x" * 1000] * 10)
        asked = Asked(store)

        async def are_dropped() -> None:
            await store.append(grant, 11, [b"y" * 1000] * 10)
            await client.hset(store._keys.run(grant.run_id), mapping={"trimmed": 10})

        asked.meanwhile = are_dropped
        page = await read(store, asked, grant.run_id, 0, one_node=True)
        assert (page.after, page.first, page.last, set(page.frames)) == (0, 11, 20, {b"y" * 1000})
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_heavy_runs_are_forgotten_in_time() -> None:
    """L6: of which runs entries are large is remembered of so many."""
    heavy = Heavy()
    for number in range(1500):
        heavy.note(f"{number}")
    assert "1499" in heavy
    assert "499" not in heavy
    assert len(heavy._runs) == 1000


def test_what_happens_between_is_told(server: Server, prefix: str) -> None:
    """I7: between the entries and the state a log may grow, end, be rolled back or vanish: nothing is spliced."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant = await start(store)
        name, begin = store._keys.run(grant.run_id), Cursor(grant.epoch, 0)
        await store.append(grant, 1, [frame(number) for number in range(1, 101)])
        asked = Asked(store)

        async def grows() -> None:
            await store.append(grant, 101, [frame(101)])

        async def is_rolled_back() -> None:
            await client.hset(name, mapping={"last": 60, "stored": 60, "epochs": f"{grant.epoch}:59,another-epoch"})

        async def vanishes() -> None:
            await client.delete(name)

        asked.meanwhile = grows
        page = await read(store, asked, grant.run_id, begin, one_node=True)
        assert (len(page.frames), page.info.last_offset) == (101, 101)
        asked.meanwhile = is_rolled_back
        page = await read(store, asked, grant.run_id, begin, one_node=True)
        assert (page.epoch, page.last, page.info.last_offset) == (grant.epoch, 59, 60)
        with pytest.raises(CursorMismatchError):
            await read(store, asked, grant.run_id, Cursor(grant.epoch, 60), one_node=True)
        asked.meanwhile = vanishes
        with pytest.raises(RunNotFoundError):
            await read(store, asked, grant.run_id, begin, one_node=True)
        await client.aclose()
        await store.aclose()

    asyncio.run(main())
