"""Calls of scripts on a Cluster, and the store on it: it keeps the whole contract, and slots may move."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from sse_relay import Outcome, Relay, RunConflictError, StoreUnavailableError
from sse_relay.stores.protocol import Answer, Grant, Opening, Seal
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.call import RefusedError
from sse_relay.stores.redis.cluster import AstrayError, ClusterLink
from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.keys import PARTITIONS, hash_slot
from sse_relay.stores.redis.scripts import Script
from sse_relay.stores.redis.topology import Topology
from sse_relay.testing import StoreLaw, StoreUnderTest, store_contract
from tests.stores.redis.clusters import Cluster, Move
from tests.stores.redis.test_store import WAITING, view
from tests.stores.redis.waiting import eventually

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")
COUNT = Script("count", "redis.call('PEXPIRE', KEYS[1], 60000) return redis.call('INCR', KEYS[1])")


def keep(cluster: Cluster, law: StoreLaw) -> Awaitable[None]:
    """Hold two stores, as of two processes, to a law; the clients handed in speak RESP2 and RESP3."""

    def make(retention: float) -> StoreUnderTest:
        prefix = f"law:{secrets.token_hex(8)}"
        one, other = cluster.client(protocol=2), cluster.client(protocol=3, decode_responses=True)
        return StoreUnderTest(
            RedisStore(one, prefix=prefix, retention=retention), RedisStore(other, prefix=prefix, retention=retention)
        )

    return law(make)


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> dict[str, BaseException | None]:
    """Hold the store to all laws: many at the same time, and then those that wait."""
    quick, waiting = ([law for law in store_contract if (law.__name__ in WAITING) is waits] for waits in (False, True))

    async def main() -> list[BaseException | None]:
        first = await asyncio.gather(*[keep(cluster, law) for law in quick], return_exceptions=True)
        return first + await asyncio.gather(*[keep(cluster, law) for law in waiting], return_exceptions=True)

    return dict(zip([law.__name__ for law in quick + waiting], asyncio.run(main()), strict=True))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("law", [law.__name__ for law in store_contract])
def test_the_contract_is_kept(law: str, told: dict[str, BaseException | None]) -> None:
    """I1 to I9, L2, L3, L7: on a Cluster, too, the store keeps every law."""
    if (error := told[law]) is not None:
        raise error


async def start(store: RedisStore, **options: Any) -> Grant:
    grant = (await store.open(Opening(60.0, SEAL, SEAL, **options))).grant
    assert grant is not None
    return grant


def move(cluster: Cluster, name: str) -> Move:
    """Prepare the move of a name's slot to the next node."""
    slot = hash_slot(name)
    source = cluster.owner(slot)
    place = cluster.primaries.index(source)
    target, other = (cluster.primaries[(place + step) % 3] for step in (1, 2))
    return Move(slot, source, target, [other])


def linked(cluster: Cluster, deadline: float = 5.0) -> tuple[ClusterLink, Topology]:
    connector = Connector(cluster.client(), deadline)
    topology = Topology(connector, deadline)
    return ClusterLink(connector, topology, deadline), topology


def test_each_call_goes_to_its_slot(cluster: Cluster, prefix: str) -> None:
    """I5: calls of all partitions are done once each, also when all of their slots are believed to be elsewhere."""

    async def main() -> None:
        link, topology = linked(cluster)
        names = [f"{prefix}:{{p{partition}}}:x" for partition in range(PARTITIONS)]
        assert await asyncio.gather(*[link.call(COUNT, [name]) for name in names]) == [1] * PARTITIONS
        owners = {name: topology.owner(hash_slot(name)) for name in names}
        assert len(set(owners.values())) == 3
        for name in names:
            wrong = next(node for node in topology.owners() if node != owners[name])
            topology._owners[hash_slot(name)] = wrong
        assert await asyncio.gather(*[link.call(COUNT, [name]) for name in names]) == [2] * PARTITIONS
        assert {name: topology.owner(hash_slot(name)) for name in names} == owners
        await link.aclose()
        await topology.aclose()

    asyncio.run(main())


def test_a_call_follows_its_key(cluster: Cluster, prefix: str) -> None:
    """I5: while a slot moves, a call is done once where its key is: before, in between, after; without a pause."""

    async def main() -> None:
        link, topology = linked(cluster)
        name = f"{prefix}:{{p7}}:x"
        moving = move(cluster, name)
        counts = [await link.call(COUNT, [name])]
        await moving.begin()
        counts.append(await link.call(COUNT, [name]))
        while await moving.step():
            pass
        counts += [await link.call(COUNT, [name]) for _ in range(3)]
        await moving.end()
        counts += [await link.call(COUNT, [name]) for _ in range(3)]
        assert counts == list(range(1, 9))
        await link.aclose()
        await topology.aclose()

    asyncio.run(main())


def test_half_a_run_is_not_touched(cluster: Cluster, prefix: str) -> None:
    """I2, I4, I7: while a run is torn between two nodes, what needs all of it waits, and nothing is done by halves."""

    async def main() -> None:
        store, patient = cluster.store(prefix, deadline=0.3), cluster.store(prefix)
        cluster.forget()
        grant = await start(store, key="k", idempotency_key="i")
        await store.append(grant, 1, [b"data: 1\n\n"])
        moving = move(cluster, store._keys.run(grant.run_id))
        refused, last = 0, 1
        await moving.begin()
        while await moving.step():
            assert (await store.renew([grant]))[grant.run_id].answer is Answer.OK
            assert (await store.info(grant.run_id)).last_offset == last
            try:
                last = (await store.append(grant, last + 1, [b"data: x\n\n"])).last_offset
            except RefusedError:
                refused += 1
            asked = store.lookup("k"), store.read(grant.run_id), start(store, key="k")
            found, page, started = await asyncio.gather(*asked, return_exceptions=True)
            for told in (found, page):
                assert isinstance(told, RefusedError) or getattr(told, "info", told).last_offset == last  # type: ignore[union-attr]
            assert isinstance(started, RefusedError | RunConflictError)
        waiting = asyncio.create_task(patient.append(grant, last + 1, [], SEAL))
        await asyncio.sleep(0)
        await moving.end()
        assert refused
        assert (await waiting).answer is Answer.OK
        page = await patient.read(grant.run_id)
        assert list(page.frames) == [b"data: 1\n\n", *[b"data: x\n\n"] * (last - 1), SEAL.frame]
        assert (await patient.lookup("k")) == page.info
        for each in (store, patient):
            await each.aclose()

    asyncio.run(main())


def test_a_run_id_from_elsewhere_is_refused(cluster: Cluster, prefix: str) -> None:
    """A run id of one's own that is not in its key's partition is refused with a word on what to do, and not kept."""

    async def main() -> None:
        store = cluster.store(prefix)
        key = next(key for key in map(str, range(99)) if store.new_run_id(key)[:3] != store._keys.run("mine")[:3])
        for options in ({"key": key}, {"idempotency_key": key}):
            with pytest.raises(ValueError, match=r"run_id must come from store.new_run_id"):
                await start(store, run_id="mine", **options)
        assert [info async for info in store.runs()] == []
        assert await store.lookup(key) is None
        for options in ({"key": key}, {"idempotency_key": key}, {"key": "x", "idempotency_key": key}):
            led_by = options.get("key", key)
            await start(store, run_id=store.new_run_id(led_by), **options, on_conflict="replace")
        async with Relay(store) as relay:
            assert not (await relay.start(numbers(0.0, 3), idempotency_key="i")).joined
            assert (await relay.start(numbers(0.0, 3), idempotency_key="i")).joined
        await store.aclose()

    asyncio.run(main())


async def numbers(pause: float, count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield str(number)
        await asyncio.sleep(pause)


def test_viewers_miss_nothing_while_a_slot_moves(cluster: Cluster, prefix: str) -> None:
    """I1, I3, I5: two relays, live runs, and their slots go round the nodes: every viewer sees each record once."""

    async def main() -> None:
        cluster.forget()
        stores = cluster.store(prefix), cluster.store(prefix)
        async with Relay(stores[0]) as mine, Relay(stores[1]) as yours:
            runs = [await mine.start(numbers(0.01, 200), key=f"{place}") for place in range(3)]
            views = asyncio.gather(*[view(yours, run.id) for run in runs for _ in range(3)])
            moved = 0
            for turn in range(6):
                await move(cluster, stores[0]._keys.run(runs[turn % 3].id)).whole(0.01)
                moved += not views.done()
            assert moved >= 3
            assert all(said == [*map(str, range(200)), "completed"] for said in await views)
        for store in stores:
            await store.aclose()

    asyncio.run(main())


def test_names_that_parted_are_told(cluster: Cluster, prefix: str) -> None:
    """A call across names of which one has moved on is refused as such, and the next grouping is right."""
    both = Script("renew", "return {redis.call('GET', ARGV[1]), redis.call('GET', ARGV[2])}")

    async def main() -> None:
        link, topology = linked(cluster)
        first = f"{prefix}:{{p0}}:x"
        groups = await link.groups(names := [f"{prefix}:{{p{number}}}:x" for number in range(PARTITIONS)])
        group = next(group for group in groups if 0 in group)
        last = names[group[-1]]
        args = first.encode(), last.encode()
        assert await link.across(both, [first, last], *args) == [None, None]
        await move(cluster, last).whole()
        with pytest.raises(AstrayError):
            await link.across(both, [first, last], *args)
        await link.call(COUNT, [last])
        assert not any(0 in group and names.index(last) in group for group in await link.groups(names))
        await eventually(lambda: topology._asking is None)
        await link.aclose()
        await topology.aclose()

    asyncio.run(main())


def test_no_cluster_costs_the_deadline(prefix: str) -> None:
    """Where no node answers, a call fails within its deadline, and says whom it asked."""

    async def main() -> None:
        store = RedisStore.from_url("redis://127.0.0.1:1", cluster=True, prefix=prefix, deadline=0.3)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
            await store.info("p1-x")
        assert 0.2 < asyncio.get_running_loop().time() - begun < 2.0
        await store.aclose()

    asyncio.run(main())
