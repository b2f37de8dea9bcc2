"""Who watches which run, and what is said of it."""

import asyncio
from typing import Any

import pytest

from sse_relay import Outcome
from sse_relay.stores.protocol import Grant, Opening, Seal, Wake
from sse_relay.stores.redis import RedisStore
from tests.stores.redis.proxy import through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")


async def start(store: RedisStore, **options: Any) -> Grant:
    grant = (await store.open(Opening(60.0, SEAL, SEAL, **options))).grant
    assert grant is not None
    return grant


async def hears(wakes: list[Wake], count: int) -> None:
    await eventually(lambda: len(wakes) >= count)


def test_records_come_with_the_wake(server: Server, prefix: str) -> None:
    """I1, I8: once a run was read, a wake brings its records, and the state that a read would tell at that instant."""

    async def main() -> None:
        producer, reader, wakes = server.store(prefix), server.store(prefix), list[Wake]()
        grant = await start(producer, key="k", metadata={"a": 1}, dialect="openai-chat")
        follower = await reader.follow(wakes.append)
        follower.watch(grant.run_id)
        await hears(wakes, 1)
        await producer.append(grant, 1, [b"data: 1\n\n"])
        await hears(wakes, 2)
        assert [wake.page for wake in wakes] == [None, None]  # the run is not known yet
        await reader.read(grant.run_id)
        batches = (3, 2, [b"data: 2\n\n", b"data: 3\n\n"], None), (4, 4, [b"data: 4\n\n"], SEAL)
        for count, first, frames, seal in batches:
            await producer.append(grant, first, frames, seal)
            await hears(wakes, count)
            assert wakes[-1].page == await reader.read(grant.run_id, first - 1)
        for store in (producer, reader):
            await store.aclose()

    asyncio.run(main())


def test_the_seal_of_another_comes_with_its_epoch(server: Server, prefix: str) -> None:
    """I6: the seal over a producer's head comes with a wake in its new epoch; a cancel comes with its reason."""

    async def main() -> None:
        store, wakes = server.store(prefix), list[Wake]()
        grant = await start(store)
        await store.append(grant, 1, [b"data: 1\n\n"])
        follower = await store.follow(wakes.append)
        follower.watch(grant.run_id)
        await hears(wakes, 1)
        await store.cancel(grant.run_id, "us\u00e9r \ud800\n")
        await hears(wakes, 2)
        ended = await store.end(grant.run_id, SEAL)
        await hears(wakes, 3)
        assert wakes[:2] == [Wake(grant.run_id), Wake(grant.run_id, cancel="us\u00e9r \ud800\n")]
        assert wakes[2].page == await store.read(grant.run_id, 1)
        assert wakes[2].page is not None
        assert wakes[2].page.epoch == ended.info.epoch != grant.epoch
        await store.aclose()

    asyncio.run(main())


def test_any_id_comes_back_as_it_was(server: Server, prefix: str) -> None:
    """I7: ids of whatever characters are told apart, on the short way and the long one; what is in them is no word."""

    async def main() -> None:
        store, wakes = server.store(prefix), list[Wake]()
        follower = await store.follow(wakes.append)
        for run_id in ("a b", "a%20b", "a\nb log", "%", "ünïcode \ud800", "{x}:y.z_-"):
            grant = await start(store, run_id=run_id)
            follower.watch(run_id)
            await hears(wakes, 1)
            await store.read(run_id)
            for first in (1, 2, 3):
                await store.append(grant, first, [b"data: 1\n\n"], SEAL if first == 3 else None)
            await hears(wakes, 4)
            assert [wake.run_id for wake in wakes] == [run_id] * 4
            assert [wake.page and wake.page.first for wake in wakes] == [None, 1, 2, 3]
            assert wakes[3].page == await store.read(run_id, 2)
            follower.unwatch(run_id)
            wakes.clear()
        await store.aclose()

    asyncio.run(main())


def test_many_bytes_are_to_be_fetched(server: Server, prefix: str) -> None:
    """A batch of more than 16 KiB is told of, and not sent to everybody."""

    async def main() -> None:
        store, wakes = server.store(prefix), list[Wake]()
        grant = await start(store)
        follower = await store.follow(wakes.append)
        follower.watch(grant.run_id)
        await hears(wakes, 1)
        await store.info(grant.run_id)
        await store.append(grant, 1, [b"x" * 16_379])
        await store.append(grant, 2, [b"x" * 16_380])
        await hears(wakes, 3)
        assert [wake.page is not None for wake in wakes] == [False, True, False]
        await store.aclose()

    asyncio.run(main())


def test_what_was_missed_is_looked_for(server: Server, prefix: str) -> None:
    """I1: after a cut each run that is watched is woken without records, so that its reader looks itself."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            store, wakes = server.store(prefix, proxy.path), list[Wake]()
            grants = [await start(store) for _ in range(3)]
            follower = await store.follow(wakes.append)
            for grant in grants:
                follower.watch(grant.run_id)
            await hears(wakes, 3)
            wakes.clear()
            proxy.cut()
            await hears(wakes, 3)
            assert {(wake.run_id, wake.page) for wake in wakes} == {(grant.run_id, None) for grant in grants}
            await store.aclose()

    asyncio.run(main())


def test_all_followers_share_a_connection(server: Server, prefix: str) -> None:
    """L6, L7: any number of followers and runs cost one connection, and the last follower closes it."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            store, wakes = server.store(prefix, proxy.path), list[Wake]()
            followers = [await store.follow(wakes.append) for _ in range(10)]
            for follower in followers:
                for number in range(30):
                    follower.watch(f"run-{number}")
            await hears(wakes, 30)
            assert proxy.accepted == 1
            for follower in followers:
                await follower.aclose()
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "sse_relay redis ear"]
            followers[0].watch("run-1")  # closed: it hears nothing more
            assert store._followers._ear is None
            assert proxy.accepted == 1
            await store.aclose()

    asyncio.run(main())


def test_noise_on_a_channel_hurts_nobody(server: Server, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody else says on a channel of ours is logged, and what comes after it is heard."""

    async def main() -> None:
        store, client, wakes = server.store(prefix), server.client(), list[Wake]()
        grant = await start(store)
        follower = await store.follow(wakes.append)
        follower.watch(grant.run_id)
        await hears(wakes, 1)
        await store.info(grant.run_id)
        for noise in (b"", b"\xff\n", b"{}\n", b"log", f"log {grant.run_id} e 1\nH".encode()):
            await client.publish(store._keys.wakes(grant.run_id), noise)
        await store.append(grant, 1, [b"data: 1\n\n"])
        await hears(wakes, 2)
        assert wakes[1].page is not None
        await client.aclose()
        await store.aclose()

    asyncio.run(main())
    assert caplog.text.count("is not understood") == 5
