"""One ear a shard."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.keys import PARTITIONS, Keys, hash_slot
from sse_relay.stores.redis.shards import Shards
from sse_relay.stores.redis.topology import Topology
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.test_cluster import move
from tests.stores.redis.test_ear import Heard
from tests.stores.redis.waiting import eventually


@asynccontextmanager
async def hearing(cluster: Cluster) -> AsyncGenerator[tuple[Shards, Heard, Topology], None]:
    heard = Heard()
    connector = Connector(cluster.client(), 1.0)
    topology = Topology(connector, 1.0)
    shards = Shards(connector, topology, heard.heard, heard.confirm, 5.0)
    try:
        yield shards, heard, topology
    finally:
        await shards.aclose()
        await topology.aclose()


def say(cluster: Cluster, channel: str, what: str) -> None:
    """Say something where the channel's slot is."""
    command = "SPUBLISH" if cluster.modern else "PUBLISH"
    cluster.owner(hash_slot(channel)).asks.execute_command(command, channel, what)


def listeners(cluster: Cluster) -> list[str]:
    """Tell the connections to all nodes that hear of something."""
    lines = [line for member in cluster.members for line in member.asks.execute_command("CLIENT LIST").splitlines()]
    return [line for line in lines if " sub=0" not in line or (" ssub=0" not in line and " ssub=" in line)]


def channels(prefix: str) -> list[str]:
    return [Keys(prefix).wakes(f"p{partition}-x") for partition in range(PARTITIONS)]


def test_every_partition_is_heard(cluster: Cluster, prefix: str) -> None:
    """L6: what is said of any partition is heard once, on one connection to each primary."""

    async def main() -> None:
        before = len(listeners(cluster))
        async with hearing(cluster) as (shards, heard, _):
            for channel in channels(prefix):
                shards.listen(channel)
            await eventually(lambda: set(heard.confirmed) == set(channels(prefix)))
            assert len(listeners(cluster)) == before + 3
            for channel in channels(prefix):
                say(cluster, channel, channel)
            await heard.hears(PARTITIONS)
            assert sorted(heard.said) == sorted((channel, channel.encode()) for channel in channels(prefix))
            assert len(heard.confirmed) == PARTITIONS

    asyncio.run(main())


def test_a_channel_follows_its_slot(cluster: Cluster, prefix: str) -> None:
    """I1: where a slot goes its channel is heard; from Redis 7 on it is confirmed there, so that one looks again."""

    async def main() -> None:
        channel = channels(prefix)[9]
        async with hearing(cluster) as (shards, heard, _):
            shards.listen(channel)
            await heard.confirms(channel, 1)
            for turn in range(1, 4):
                await move(cluster, channel).whole()
                if cluster.modern:
                    await heard.confirms(channel, turn + 1)
                say(cluster, channel, str(turn))
                await heard.hears(turn)
            assert heard.said == [(channel, b"1"), (channel, b"2"), (channel, b"3")]

    asyncio.run(main())


def test_a_stale_view_is_put_right(cluster: Cluster, prefix: str) -> None:
    """Who listens at a node that has not the slot is sent on, and ears without a channel are closed."""

    async def main() -> None:
        channel = channels(prefix)[11]
        async with hearing(cluster) as (shards, heard, topology):
            await topology.learn(5.0)
            right = topology.owner(hash_slot(channel))
            wrong = next(node for node in topology.owners() if node != right)
            topology._owners[hash_slot(channel)] = wrong
            shards.listen(channel)
            await heard.confirms(channel, 1)
            if cluster.modern:
                await eventually(lambda: set(shards._ears) == {right})
            say(cluster, channel, "x")
            await heard.hears(1)

    asyncio.run(main())


def test_who_is_ignored_is_not_heard(cluster: Cluster, prefix: str) -> None:
    """L7: nothing is heard of a channel that is ignored, and closed ears leave no connection and no task."""

    async def main() -> None:
        one, other = channels(prefix)[:2]
        before: Any = len(listeners(cluster))
        async with hearing(cluster) as (shards, heard, _):
            shards.ignore(one)  # nobody listened
            shards.listen(one)
            shards.listen(other)
            await heard.confirms(one, 1)
            await heard.confirms(other, 1)
            shards.ignore(one)
            shards.listen(one)
            shards.ignore(one)
            await eventually(lambda: len(listeners(cluster)) <= before + 2)
            say(cluster, other, "x")
            await heard.hears(1)
        await eventually(lambda: len(listeners(cluster)) == before)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
