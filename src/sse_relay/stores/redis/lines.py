"""The connections of a process: three to one node, or to each primary of a Cluster."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sse_relay.stores.redis.cluster import ClusterLink
from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.ear import Ear
from sse_relay.stores.redis.follower import Hearing
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.scripts import Command, Script
from sse_relay.stores.redis.shards import Shards
from sse_relay.stores.redis.topology import Topology

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["Calls", "Lines"]


class Calls(Protocol):
    """Who calls scripts: a `Link`, or a `ClusterLink`."""

    async def call(
        self,
        script: Script | Command,
        keys: Sequence[str],
        *args: bytes,
        settles: bool = False,
        waits: tuple[int, int] | None = None,
        joins: int = 0,
    ) -> Any:  # noqa: ANN401 - whatever the script answers
        """Call a script."""
        ...

    async def across(self, script: Script, names: Sequence[str], *args: bytes) -> Any:  # noqa: ANN401 - whatever the script answers
        """Call a script whose arguments tell of several names, which `groups` put together."""
        ...

    async def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Tell by place which of these names one call may tell of."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Lines:
    """
    Connect a process.

    Args:
        client: The client that says where to.
        deadline: How long the server has for an answer, in seconds.
        probe: How long a silent connection for wake-ups is trusted, in seconds.

    Attributes:
        connector: Makes more connections.
        topology: Who has which slot; None: there is one node.
        writes: Calls what writes.
        reads: Calls what reads.
        seals: Calls what the server is to wait for replicas after: nobody else waits for them.

    Raises:
        TypeError: The client is neither one of one node nor of a Cluster.
    """

    def __init__(self, client: "Redis | RedisCluster", deadline: float, probe: float) -> None:
        self.connector: Connector = Connector(client, deadline)
        self._probe = probe
        self.topology: Topology | None = Topology(self.connector, deadline) if self.connector.nodes else None
        self.writes: Calls = self._link(deadline)
        self.reads: Calls = self._link(deadline)
        self.seals: Calls = self._link(deadline)

    def ear(self, heard: Callable[[str, bytes], None], confirmed: Callable[[str], None]) -> Hearing:
        """Make what hears of channels."""
        if self.topology is None:
            return Ear(self.connector.connect, heard, confirmed, self._probe)
        return Shards(self.connector, self.topology, heard, confirmed, self._probe)

    async def aclose(self) -> None:
        """Let go of all connections."""
        for calls in (self.reads, self.writes, self.seals):
            await calls.aclose()
        if self.topology is not None:
            await self.topology.aclose()

    def _link(self, deadline: float) -> Calls:
        if self.topology is None:
            return Link(self.connector.connect, deadline)
        return ClusterLink(self.connector, self.topology, deadline)
