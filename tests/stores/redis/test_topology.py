"""Who has which slot of a Cluster."""

import asyncio
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode

from sse_relay.stores.redis.connection import Connector, Node
from sse_relay.stores.redis.keys import HASH_SLOTS
from sse_relay.stores.redis.topology import Topology
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.waiting import eventually


def asked(cluster: Cluster) -> int:
    """Tell how often the nodes were asked for their slots, or for what else a Cluster tells of itself."""
    lines = [line for member in cluster.primaries for line in member.asks.execute_command("INFO commandstats").split()]
    return sum(
        int(line.split("calls=")[1].split(",")[0])
        for line in lines
        if line.startswith(("cmdstat_cluster|slots:", "cmdstat_cluster:"))
    )


def test_each_slot_has_its_primary(cluster: Cluster) -> None:
    """All slots of partitions are known at once, wherever one begins, and who asks again gets the same."""

    async def main() -> None:
        topology = Topology(Connector(cluster.client(), 5.0), 5.0)
        assert topology.owner(min(HASH_SLOTS)) is None
        for _ in range(2):
            await topology.learn(5.0)
            owners = {slot: topology.owner(slot) for slot in HASH_SLOTS}
            assert owners == {slot: Node("127.0.0.1", cluster.owner(slot).port) for slot in HASH_SLOTS}
        assert topology.owners() == {Node("127.0.0.1", member.port) for member in cluster.primaries}
        await topology.aclose()

    asyncio.run(main())


def test_dead_nodes_are_passed_over(cluster: Cluster) -> None:
    """A node that is dead costs a moment at most, also if it comes first; where all are, it is said why."""

    async def main() -> None:
        dead, alive = ClusterNode("127.0.0.1", 1), ClusterNode("127.0.0.1", cluster.primaries[0].port)
        for startup, known in (([dead, alive], True), ([dead], False)):
            client: Any = RedisCluster(startup_nodes=startup)
            topology = Topology(Connector(client, 5.0), 5.0)
            await topology.learn(5.0 if known else 0.1)
            assert bool(topology.owners()) is known
            assert known or "127.0.0.1:1: ConnectionError" in topology.problem
            await topology.aclose()

    asyncio.run(main())


def test_it_is_not_asked_for_without_need(cluster: Cluster) -> None:
    """L6: many doubts at once are one question, word of a move needs no answer, and nobody asks while all is well."""

    async def main() -> None:
        topology, changes = Topology(Connector(cluster.client(), 5.0), 5.0), list[int]()
        topology.watchers.add(lambda: changes.append(1))
        before = asked(cluster)
        await asyncio.gather(*[topology.learn(5.0) for _ in range(50)])
        between = asked(cluster)
        slot = min(HASH_SLOTS)
        right = topology.owner(slot)
        wrong = next(node for node in topology.owners() if node != right)
        topology.moved(slot, wrong)
        assert topology.owner(slot) == wrong
        await eventually(lambda: topology.owner(slot) == right)  # it was looked at, and is not so
        assert len(changes) == 3
        await eventually(lambda: topology._asking is None)
        assert (between - before, asked(cluster) - between) == (1, 1)
        await topology.aclose()

    asyncio.run(main())


def test_closing_leaves_nothing() -> None:
    """L7: a closed one has no task and asks no more, also if no node has ever answered."""

    async def main() -> None:
        client: Any = RedisCluster(host="127.0.0.1", port=1)
        topology = Topology(Connector(client, 5.0), 5.0)
        waiting = asyncio.create_task(topology.learn(60.0))
        await eventually(lambda: "ConnectionError" in topology.problem)
        await topology.aclose()
        await waiting
        topology.doubt()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
