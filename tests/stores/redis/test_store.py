"""The store in Redis: it keeps the whole contract, on real servers, for two processes."""

import asyncio
import itertools
import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

import pytest

from sse_relay import Outcome, Relay, RunNotFoundError, StoreUnavailableError
from sse_relay.stores.protocol import Answer, Appended, Grant, Opening, RunInfo, Seal
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.keys import Keys
from sse_relay.testing import StoreLaw, StoreUnderTest, cancel_at_every_await, store_contract
from tests.stores.redis.proxy import Proxy, through
from tests.stores.redis.servers import Server

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")
LOST = Seal(Outcome("lost"), b"event: end\ndata: lost\n\n")
REPLACED = Seal(Outcome("cancelled", "replaced"), b"event: end\ndata: replaced\n\n")

# Laws that wait for the server's clock wait together.
WAITING = {
    "leases_lapse", "lapsed_is_bounded", "signs_of_life_keep_the_right", "only_the_fence_decides", "takeovers_fence",
    "one_reaper_seals", "an_old_owner_frees_nothing", "a_dead_owner_does_not_block", "a_live_owner_keeps_its_key",
    "runs_expire_after_their_last_activity", "expired_runs_leave_a_tombstone", "names_expire_with_their_run",
    "a_held_run_is_kept", "times_are_the_stores",
}  # fmt: skip


def keep(server: Server, law: StoreLaw) -> Awaitable[None]:
    """Hold two stores, as of two processes, to a law; the clients handed in speak RESP2 and RESP3."""

    def make(retention: float) -> StoreUnderTest:
        prefix = f"law:{secrets.token_hex(8)}"
        one, other = server.client(protocol=2), server.client(protocol=3, decode_responses=True)
        return StoreUnderTest(
            RedisStore(one, prefix=prefix, retention=retention), RedisStore(other, prefix=prefix, retention=retention)
        )

    return law(make)


@pytest.fixture(scope="module")
def waited(server: Server) -> dict[str, BaseException | None]:
    """Hold the store to all laws that wait, at the same time."""
    laws = [law for law in store_contract if law.__name__ in WAITING]

    async def main() -> list[BaseException | None]:
        return await asyncio.gather(*[keep(server, law) for law in laws], return_exceptions=True)

    return dict(zip([law.__name__ for law in laws], asyncio.run(main()), strict=True))


@pytest.mark.parametrize(
    "law", [law for law in store_contract if law.__name__ not in WAITING], ids=lambda law: law.__name__
)
def test_the_contract_is_kept(law: StoreLaw, server: Server) -> None:
    """I1 to I9, L3, L7, defects 1, 2, 7 to 9, 15 and 17: the store keeps every law that needs no time."""

    async def main() -> None:
        await keep(server, law)

    asyncio.run(main())


@pytest.mark.parametrize("law", sorted(WAITING))
def test_the_contract_is_kept_while_time_passes(law: str, waited: dict[str, BaseException | None]) -> None:
    """L2, I6, defects 7, 8, 17 and 19: the store keeps every law of leases and retention, on the server's clock."""
    if (error := waited[law]) is not None:
        raise error


def test_every_law_is_run() -> None:
    """No law is left out: each name of those that wait is that of a law."""
    assert {law.__name__ for law in store_contract} >= WAITING


async def start(store: RedisStore, lease: float = 60.0, **options: Any) -> Grant:
    grant = (await store.open(Opening(lease, REPLACED, LOST, **options))).grant
    assert grant is not None
    return grant


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retention": 0}, "retention must be positive, not 0"),
        ({"retention": float("nan")}, "retention must be positive, not nan"),
        ({"deadline": -1}, "deadline must be positive, not -1"),
        ({"probe": 0}, "probe must be positive, not 0"),
        ({"prefix": "a{b}"}, "prefix must be of"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], problem: str) -> None:
    """An option that cannot be meant is refused before anything is connected."""
    with pytest.raises(ValueError, match=problem):
        RedisStore.from_url("redis://127.0.0.1:1", **options)


def test_every_key_has_a_time_to_live(server: Server, prefix: str) -> None:
    """L7: whatever is done with runs, no key of the store is there for ever, and a run that was ended is there last."""

    async def main() -> None:
        store, client = server.store(prefix, retention=100), server.client()
        grant = await start(store, key="k", idempotency_key="i")
        await store.append(grant, 1, [b"data: 1\n\n"])
        await store.renew([grant])
        await start(store, key="k", idempotency_key="j", on_conflict="replace")
        ended = await start(store, idempotency_key="scopeless")
        await store.append(ended, 1, [b"data: 1\n\n" * 1000])
        await store.append(ended, 2, [], SEAL)
        await start(store)
        await store.cancel((await start(store)).run_id, "user")
        await store.lapsed()
        names = [name.decode() async for name in client.scan_iter(f"{prefix}:*")]
        left = {name: await client.pttl(name) for name in names}
        kinds = {name.partition("}:")[2].partition(":")[0] for name in names}
        assert kinds >= {"run", "log", "recent", "key", "start", "runs"}
        assert all(0 < time_left <= 350_000 for time_left in left.values()), left
        mine = [left[name] for name in names if ended.run_id in name and (":log:" in name or ":recent:" in name)]
        assert [90_000 < time_left <= 100_000 for time_left in mine] == [True, True]
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_a_lost_answer_leaves_one_copy(server: Server, prefix: str) -> None:
    """I5, defect 9: an append whose answer was lost is reported as unknown, and asked again it is there once."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            store = server.store(prefix, proxy.path)
            grant = await start(store)
            for offset, seal in ((1, None), (2, SEAL)):
                proxy.loses = 1
                with pytest.raises(StoreUnavailableError):
                    await store.append(grant, offset, [b"data: x\n\n"], seal)
                assert (await store.append(grant, offset, [b"data: x\n\n"], seal)).answer is Answer.DUPLICATE
            page = await store.read(grant.run_id)
            assert list(page.frames) == [b"data: x\n\n", b"data: x\n\n", SEAL.frame]
            await store.aclose()

    asyncio.run(main())


def test_a_start_whose_answer_was_lost_is_told_again(server: Server, prefix: str) -> None:
    """I9: asked again with its claim, a start gets the grant that it had got, and its run is there once."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            store = server.store(prefix, proxy.path)
            await store.lapsed()  # connected
            asked = Opening(60.0, REPLACED, LOST, run_id=store.new_run_id("k"), key="k", claim="c")
            proxy.loses = 1
            with pytest.raises(StoreUnavailableError):
                await store.open(asked)
            opened = await store.open(asked)
            assert opened.grant is not None
            assert [info.id async for info in store.runs()] == [asked.run_id]
            await store.aclose()

    asyncio.run(main())


def test_a_full_memory_lets_the_end_through(server: Server, prefix: str) -> None:
    """A full server refuses records whole, but a run can still be renewed, stopped and sealed."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant, other = await start(store), await start(store)
        await store.append(grant, 1, [b"data: 1\n\n"])
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailableError, match="maxmemory"):
                await store.append(grant, 2, [b"data: 2\n\n"])
            with pytest.raises(StoreUnavailableError, match="maxmemory"):
                await start(store)
            assert (await store.renew([grant]))[grant.run_id].answer is Answer.OK
            await store.cancel(grant.run_id, "user")
            await store.lapsed()
            assert (await store.append(grant, 2, [], SEAL)).answer is Answer.OK
            assert (await store.end(other.run_id, LOST)).sealed
        finally:
            await client.config_set("maxmemory", 0)
        page = await store.read(grant.run_id)
        assert (page.info.status, page.info.last_offset, len(page.frames)) == ("completed", 2, 2)
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("size", [10, 9000])
def test_a_log_that_vanished_is_not_made_anew(server: Server, prefix: str, size: int) -> None:
    """I7: records that were deleted behind the store's back are missing for their producer, and a gap for a reader."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant = await start(store)
        await store.append(grant, 1, [b"data: 1\n\n", b"x" * size])
        (log,) = [name async for name in client.scan_iter(f"{prefix}:*-*") if b":run:" not in name]
        await client.delete(log)
        assert (await store.append(grant, 3, [b"data: 3\n\n"])).answer is Answer.MISSING
        page = await store.read(grant.run_id)
        assert (page.after, page.first, list(page.frames)) == (0, 3, [])
        await store.end(grant.run_id, LOST)
        page = await store.read(grant.run_id)
        assert (page.first, list(page.frames)) == (3, [LOST.frame])
        await client.flushdb()
        with pytest.raises(RunNotFoundError):
            await store.read(grant.run_id)
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["log", "recent"])
def test_half_of_a_log_may_vanish(server: Server, prefix: str, lost: str) -> None:
    """I7: of a log whose older or newer part was deleted, readers get the other, with a gap; it grows no more."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grant = await start(store)
        await store.append(grant, 1, [b"old" * 3000])
        await store.append(grant, 2, [b"new"])
        (part,) = [name async for name in client.scan_iter(f"{prefix}:*:{lost}:*")]
        await client.delete(part)
        assert (await store.append(grant, 3, [b"newer"])).answer is Answer.MISSING
        page = await store.read(grant.run_id)
        expected = (2, [b"new"]) if lost == "log" else (1, [b"old" * 3000])
        assert (page.first, list(page.frames)) == expected
        await store.end(grant.run_id, LOST)
        page = await store.read(grant.run_id, 2)
        assert (page.first, list(page.frames)) == (3, [LOST.frame])
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_batches_of_all_sizes_are_read_from_every_place(server: Server, prefix: str) -> None:
    """I3, I4: whether small batches gathered or large ones went by themselves, each place leads to what follows it."""

    async def main() -> None:
        store = server.store(prefix)
        grant, log = await start(store), list[bytes]()
        for number, size in enumerate((1, 4000, 4000, 90, 9000, 1, 8000, 70_000, 5, 5, 300, 300, 8100, 8095, 8096, 7)):
            batch = [bytes([65 + number]) * (size // count) for count in range(1, 1 + number % 3 + 1)]
            assert (await store.append(grant, len(log) + 1, batch)).answer is Answer.OK
            log += batch
            for after in range(len(log) + 1):
                for limit in (1, 2, 500):
                    page = await store.read(grant.run_id, after, limit=limit)
                    assert (page.first, list(page.frames)) == (after + 1, log[after : after + limit])
        await store.append(grant, len(log) + 1, [b"last"], SEAL)
        assert list((await store.read(grant.run_id)).frames) == [*log, b"last", SEAL.frame]
        await store.aclose()

    asyncio.run(main())


def test_a_page_brings_no_more_than_it_may(server: Server, prefix: str) -> None:
    """L6: what the server sends for a page of so many bytes is that, and one batch at most, however long the log is."""

    async def main() -> None:
        store = server.store(prefix)
        grant, log = await start(store), list[bytes]()
        for number in range(120):
            batch = [bytes([65 + number % 26]) * 10_000] * (1 + number % 3)
            await store.append(grant, len(log) + 1, batch)
            log += batch
        async with aclosing(server.client(protocol=2)) as client:
            for most in (1, 50_000, 1_000_000):
                before = (await client.info("stats"))["total_net_output_bytes"]
                page = await store.read(grant.run_id, limit=10_000, max_bytes=most)
                sent = (await client.info("stats"))["total_net_output_bytes"] - before
                assert list(page.frames) == log[: max(most // 10_000, 1)]
                assert sent < most + 30_000 + 20_000  # a batch, and what the two questions about it cost
        await store.aclose()

    asyncio.run(main())


def test_a_bounded_log_takes_no_more(server: Server, prefix: str) -> None:
    """L6: a log at its bound of records or bytes is FULL, whatever the batch; its seal still fits."""

    async def main() -> None:
        bounds: list[tuple[dict[str, Any], list[int]]] = [({"max_events": 3}, [3, 1]), ({"max_bytes": 1000}, [5, 5, 5])]
        for options, batches in bounds:
            store = server.store(prefix, **options)
            grant, last = await start(store), 0
            for size in batches[:-1]:
                assert (await store.append(grant, last + 1, [b"x" * 80] * size)).answer is Answer.OK
                last += size
            for seal in (None, SEAL):
                refused = await store.append(grant, last + 1, [b"x" * 80] * batches[-1], seal)
                assert (refused.answer, refused.last_offset) == (Answer.FULL, last)
            assert (await store.append(grant, last + 1, [], SEAL)).answer is Answer.OK
            await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "size", "most"), [({"max_events": 100}, 200, 140), ({"max_bytes": 40_000}, 200, 230)]
)
def test_a_log_that_trims_says_so(server: Server, prefix: str, options: dict[str, Any], size: int, most: int) -> None:
    """Defect 15, I7, L6: a log that trims keeps its newest records, at their offsets, and says what is missing."""

    async def main() -> None:
        store, client = server.store(prefix, on_full="trim", **options), server.client()
        grant, log = await start(store), list[bytes]()
        page = await store.read(grant.run_id)
        for number in range(200):
            batch = [b"%d" % number + b"x" * size] * (1 + number % 7)
            assert (await store.append(grant, len(log) + 1, batch)).answer is Answer.OK
            log += batch
            page = await store.read(grant.run_id)
            assert page.last == len(log) <= page.first - 1 + most
            assert list(page.frames) == log[page.first - 1 :]
        assert page.first > 400
        names = [name async for name in client.scan_iter(f"{prefix}:*:log:*")]
        assert (await client.memory_usage(names[0], samples=0) or 0) < 70_000
        assert (await store.read(grant.run_id, page.first + 3)).first == page.first + 4
        await store.append(grant, len(log) + 1, [], SEAL)
        assert (await store.read(grant.run_id, len(log))).frames == [SEAL.frame]
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_long_lists_are_paged(server: Server, prefix: str) -> None:
    """Each run is listed once, newest first, also where one partition has many, and those that are gone are not."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        made = [(await start(store, run_id=store.new_run_id("k"))).run_id for _ in range(70)]
        assert [info.id async for info in store.runs()] == made[::-1]
        for run_id in made[25:50]:
            await client.delete(store._keys.run(run_id))
        assert [info.id async for info in store.runs()] == made[:24:-1][:20] + made[24::-1]
        (index,) = [name async for name in client.scan_iter(f"{prefix}:*:runs")]
        assert await client.zcard(index) == 45
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_the_index_does_not_grow_with_runs_that_are_gone(server: Server, prefix: str) -> None:
    """L6: starts tidy up what earlier runs have left."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        for _ in range(60):
            grant = await start(store, run_id=store.new_run_id("k"))
            await client.delete(store._keys.run(grant.run_id))
        (index,) = [name async for name in client.scan_iter(f"{prefix}:*:runs")]
        assert await client.zcard(index) <= 10
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_a_run_id_of_ones_own_can_have_any_text(server: Server, prefix: str) -> None:
    """Ids that no name could hold are kept apart, and told as they were."""

    async def main() -> None:
        store = server.store(prefix)
        for run_id in ("p300-x", "p7-x", "a b", "\n", "\0", "é", "\ud800", "x" * 500, "}:run:{p1", ""):
            assert (await start(store, run_id=run_id)).run_id == run_id
            assert (await store.info(run_id)).id == run_id
        assert len([info async for info in store.runs()]) == 10
        await store.aclose()

    asyncio.run(main())


# Two processes


async def numbers(pause: float = 0.01, count: int = 10_000) -> AsyncIterator[str]:
    for number in range(count):
        yield str(number)
        await asyncio.sleep(pause)


def test_most_appends_take_the_short_path(server: Server, prefix: str) -> None:
    """I2: the next batch of a running log costs six commands; a stopped run hears why, a sealed one takes none."""

    async def main() -> None:
        client = server.client()
        store = server.store(prefix)
        grant = await start(store)
        await store.append(grant, 1, [b"data: 1\n\n"])
        for offset in range(2, 12):
            await client.config_resetstat()
            assert (await store.append(grant, offset, [b"data: x\n\n"])).answer is Answer.OK
            stats = await client.info("commandstats")
            told = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
            for ours in ("config", "config|resetstat", "info", "ping"):
                told.pop(ours, None)
            assert told == {
                "evalsha": 1, "hmget": 1, "time": 1, "strlen": 1, "append": 1, "hset": 1, "publish": 1,
            }  # fmt: skip
        run = await store.info(grant.run_id)
        assert (run.last_offset, run.status) == (11, "running")
        await store.cancel(grant.run_id, "user")
        assert await store.append(grant, 12, [b"data: y\n\n"]) == Appended(Answer.OK, 12, "user")
        await client.hset(Keys(prefix).run(grant.run_id), "ttl", "1")  # it is time to keep the log for longer
        for offset in (13, 14):
            assert await store.append(grant, offset, [b"data: y\n\n"]) == Appended(Answer.OK, offset, "user")
        other = await start(store)
        await store.append(other, 1, [b"data: 1\n\n"])
        await store.append(other, 2, [], SEAL)
        assert (await store.append(other, 3, [b"data: z\n\n"])).answer is Answer.SEALED
        await store.aclose()
        await client.aclose()

    asyncio.run(main())


def test_a_run_is_viewed_and_stopped_from_another_process(server: Server, prefix: str) -> None:
    """L3, I1: a run of one relay is found, viewed and stopped by another, and its viewer sees every record once."""

    async def main() -> None:
        stores = server.store(prefix), server.store(prefix)
        async with Relay(stores[0]) as mine, Relay(stores[1]) as yours:
            run = await mine.start(numbers(), key="k")
            found = await yours.active("k")
            assert found is not None
            assert found.id == run.id
            seen: list[str | None] = []
            stopping: asyncio.Task[RunInfo] | None = None
            async with yours.subscribe(run.id) as events:
                async for event in events:
                    seen.append(event.data)
                    if len(seen) == 20:
                        stopping = asyncio.create_task(yours.cancel(run.id, "user"))
            assert stopping is not None
            assert (await stopping).status == "cancelled"
            assert events.outcome == Outcome("cancelled", "user")
            assert seen[:-1] == [str(number) for number in range(len(seen) - 1)]
            assert (await mine.wait(run.id)).status == "cancelled"
        for store in stores:
            await store.aclose()

    asyncio.run(main())


async def disturb(proxies: list[Proxy], pause: float) -> None:
    """Cut one process's connections or lose its next answer, in turn, for ever."""
    for number in itertools.count():
        await asyncio.sleep(pause)
        proxy = proxies[number % 2]
        if number % 4 < 2:
            proxy.cut()
        else:
            proxy.loses = 1


def test_cuts_and_lost_answers_hurt_nobody(server: Server, prefix: str) -> None:
    """I1, I3, I5: with a fault every 40 ms each viewer sees every record once, in order, and every run completes."""

    async def main() -> None:
        async with through(server.socket) as one, through(server.socket) as other:
            stores = server.store(prefix, one.path), server.store(prefix, other.path)
            async with Relay(stores[0]) as mine, Relay(stores[1]) as yours:
                runs = [await mine.start(numbers(0.003, 300)) for _ in range(5)]
                faults = asyncio.create_task(disturb([one, other], 0.04))
                seen = await asyncio.gather(*[view(yours, run.id) for run in runs for _ in range(3)])
                faults.cancel()
            assert all(said == [*map(str, range(300)), "completed"] for said in seen)
            assert one.accepted > 5 < other.accepted
            for store in stores:
                await store.aclose()

    asyncio.run(main())


async def view(relay: Relay, run_id: str) -> list[str | None]:
    """Read a run to its end; where a fault breaks the reading off, go on behind what was seen."""
    said: list[str | None] = []
    last_id: str | None = None
    while True:
        try:
            async with relay.subscribe(run_id, last_id) as events:
                async for event in events:
                    said.append(event.data)
                    last_id = event.id
            assert events.outcome is not None
            return [*said[:-1], events.outcome.status]
        except StoreUnavailableError:
            await asyncio.sleep(0.01)


PRODUCER = """
import asyncio, sys
from sse_relay import Relay
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.keys import Keys

async def source():
    while True:
        yield "token"
        await asyncio.sleep(0.01)

async def main():
    async with Relay(RedisStore.from_url(sys.argv[1], prefix=sys.argv[2]), lease=1.0) as relay:
        run = await relay.start(source(), key="k")
        print(run.id, flush=True)
        await relay.wait(run.id)

asyncio.run(main())
"""


def test_a_killed_producer_is_lost_in_time(server: Server, prefix: str) -> None:
    """L2: the producer's process is killed with SIGKILL; a viewer of another one has the end within lease + 2 s."""
    command = [sys.executable, "-c", textwrap.dedent(PRODUCER), f"unix://{server.socket}", prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as producer:
        try:
            assert producer.stdout is not None
            run_id = producer.stdout.readline().strip()

            async def main() -> float:
                store = server.store(prefix)
                async with Relay(store, lease=1.0) as relay, relay.subscribe(run_id) as events:
                    count, killed = 0, 0.0
                    async for _ in events:
                        count += 1
                        if count == 10:
                            os.kill(producer.pid, signal.SIGKILL)
                            killed = time.monotonic()
                    assert events.outcome is not None
                    assert events.outcome.status == "lost"
                    lasted = time.monotonic() - killed
                await store.aclose()
                return lasted

            assert 0 < asyncio.run(main()) < 3.0
        finally:
            producer.kill()


def test_a_cancelled_caller_breaks_nothing(server: Server, prefix: str) -> None:
    """I9: whoever is cancelled at any await of a read leaves the connection as it was, and the others their answers."""

    async def main() -> None:
        store = server.store(prefix)
        grant = await start(store)
        await store.append(grant, 1, [b"data: 1\n\n"])
        others = [asyncio.create_task(store.info(grant.run_id)) for _ in range(50)]

        async def check(step: int) -> None:
            assert (await store.info(grant.run_id)).last_offset == 1

        await cancel_at_every_await(lambda: store.read(grant.run_id), check)
        assert {info.last_offset for info in await asyncio.gather(*others)} == {1}
        await store.aclose()

    asyncio.run(main())
