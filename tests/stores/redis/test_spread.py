"""What is asked of many partitions at once."""

import asyncio
import os
import signal
from typing import Any

import pytest

from sse_relay import Outcome, StoreUnavailableError
from sse_relay.stores.protocol import Answer, Grant, Opening, Seal
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.keys import hash_slot
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import Server
from tests.stores.redis.test_cluster import move

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")


async def start(store: RedisStore, count: int, lease: float = 60.0) -> list[Grant]:
    opened = await asyncio.gather(*[store.open(Opening(lease, SEAL, SEAL)) for _ in range(count)])
    return [each.grant for each in opened if each.grant is not None]


def calls(asks: Any) -> int:
    told = asks.execute_command("INFO commandstats").split()
    lines = [line for line in told if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


def test_each_node_is_asked_once(cluster: Cluster, prefix: str) -> None:
    """L6: on a Cluster the renewal of runs of all partitions, and the look for lapsed ones, is one call a node."""

    async def main() -> None:
        store = cluster.store(prefix)
        grants = await start(store, 200)
        gone = await start(store, 20, 0.001)
        await store.renew(grants)
        assert set(await store.lapsed()) == {grant.run_id for grant in gone}
        before = [calls(member.asks) for member in cluster.primaries]
        renewed = await store.renew(grants)
        assert {run_id for run_id, told in renewed.items() if told.answer is Answer.OK} == {
            grant.run_id for grant in grants
        }
        assert set(await store.lapsed()) == {grant.run_id for grant in gone}
        assert len(await store.lapsed(7)) == 7
        assert [calls(member.asks) - count for member, count in zip(cluster.primaries, before, strict=True)] == [3] * 3
        await store.aclose()

    asyncio.run(main())


def test_one_node_is_asked_once(server: Server, prefix: str) -> None:
    """L6: on one node it is one call, for as many as 256 runs, and for no runs none."""

    async def main() -> None:
        store, client = server.store(prefix), server.client()
        grants = await start(store, 256)
        await store.renew(grants[:1])
        await store.lapsed()

        async def counted() -> int:
            told: dict[str, Any] = await client.info("commandstats")
            return sum(told[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in told)

        before = await counted()
        assert len(await store.renew(grants)) == 256
        assert await store.renew([]) == {}
        assert await store.lapsed() == []
        assert await counted() - before == 2
        await client.aclose()
        await store.aclose()

    asyncio.run(main())


def test_parted_runs_are_renewed_all_the_same(cluster: Cluster, prefix: str) -> None:
    """L2: runs whose slot moves, or has moved unnoticed, are renewed with the others, and lapsed ones are found."""

    async def main() -> None:
        cluster.forget()
        store = cluster.store(prefix)
        grants = await start(store, 60)
        (gone,) = await start(store, 1, 0.001)
        ids = {grant.run_id for grant in grants}
        await store.renew(grants)
        moving = move(cluster, store._keys.run(grants[-1].run_id))
        await moving.begin()
        while await moving.step():
            renewed = await store.renew(grants)
            assert {run_id for run_id, told in renewed.items() if told.answer is Answer.OK} == ids
        await moving.end()
        unnoticed = next(grant for grant in grants if hash_slot(store._keys.run(grant.run_id)) != moving.slot)
        await move(cluster, store._keys.run(unnoticed.run_id)).whole()
        assert set(await store.renew(grants)) == ids
        await store.lapsed()  # it may learn only now what has moved
        assert await store.lapsed() == [gone.run_id]
        await store.aclose()

    asyncio.run(main())


def test_a_node_that_hangs_costs_the_others_nothing(cluster: Cluster, prefix: str) -> None:
    """L2: when a primary is silent the runs of the others are renewed within their leases; its own are not told."""

    async def main() -> None:
        store = cluster.store(prefix, deadline=1.0)
        grants = await start(store, 60, 3.0)
        await store.renew(grants)
        stopped = cluster.primaries[2]
        theirs = {g.run_id for g in grants if cluster.owner(hash_slot(store._keys.run(g.run_id))) is stopped}
        os.kill(stopped.process.pid, signal.SIGSTOP)
        try:
            begun = asyncio.get_running_loop().time()
            renewed = await store.renew(grants)
            assert asyncio.get_running_loop().time() - begun < 1.0
            assert set(renewed) == {grant.run_id for grant in grants} - theirs
            with pytest.raises(StoreUnavailableError):
                await store.renew([grant for grant in grants if grant.run_id in theirs])
        finally:
            os.kill(stopped.process.pid, signal.SIGCONT)
        cluster.settle()
        assert len(await store.renew(grants)) == len(grants)
        await store.aclose()

    asyncio.run(main())
