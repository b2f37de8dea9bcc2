"""The connections of a process."""

import asyncio
from typing import Any

import pytest

from sse_relay import RunNotFoundError, StoreUnavailableError
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.cluster import ClusterLink
from sse_relay.stores.redis.ear import Ear
from sse_relay.stores.redis.lines import Lines
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.shards import Shards
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import Server


def test_the_client_says_what_is_connected_to(server: Server, cluster: Cluster) -> None:
    """A client of one node is answered by one node, one of a Cluster by all of its primaries; nothing is left open."""

    async def main() -> None:
        kinds: list[tuple[Any, type, type]] = [
            (server.client(), Link, Ear),
            (cluster.client(), ClusterLink, Shards),
        ]
        for client, link, ear in kinds:
            lines = Lines(client, 5.0, 5.0)
            assert (type(lines.writes), type(lines.reads)) == (link, link)
            assert (lines.topology is None) is (link is Link)
            hearing = lines.ear(print, print)
            assert isinstance(hearing, ear)
            await hearing.aclose()
            assert sum(map(len, await lines.reads.groups(["a:{p1}:x", "a:{p2}:x"]))) == 2
            await lines.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_the_wrong_client_is_told_what_to_do(server: Server, cluster: Cluster) -> None:
    """A client of one node at a Cluster, and the other way round, is an error that says which one to use."""

    async def main() -> None:
        port = cluster.primaries[0].port
        for store, advice in (
            (RedisStore.from_url(f"redis://127.0.0.1:{port}"), "from_url.url, cluster=True"),
            (RedisStore.from_url("redis://127.0.0.1:1", cluster=True, deadline=0.1), "127.0.0.1:1"),
        ):
            with pytest.raises(StoreUnavailableError, match=advice):
                await store.info("p1-x")
            await store.aclose()
        store = RedisStore.from_url(f"redis://127.0.0.1:{port}", cluster=True)
        with pytest.raises(RunNotFoundError):
            await store.info("p1-x")
        await store.aclose()

    asyncio.run(main())
