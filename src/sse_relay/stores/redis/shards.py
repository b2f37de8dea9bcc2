"""One ear a shard: hear of channels on a Cluster, each where its slot is."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial

from redis.exceptions import MovedError

from sse_relay.stores.redis.connection import Connector, Node
from sse_relay.stores.redis.ear import Ear
from sse_relay.stores.redis.keys import hash_slot
from sse_relay.stores.redis.topology import Topology

__all__ = ["Shards"]


class Shards:
    """
    Hear of channels, each at the primary of its slot.

    Where a slot goes its channels follow: they are confirmed there anew, so that what was missed is looked for.

    Args:
        connector: Makes connections to the nodes.
        topology: Who has which slot.
        heard: Called with a channel and what was said there; it must not raise.
        confirmed: Called with a channel when what is said there is heard from now on; it must not raise.
        probe: How long a silent connection is trusted, in seconds.
    """

    def __init__(
        self,
        connector: Connector,
        topology: Topology,
        heard: Callable[[str, bytes], None],
        confirmed: Callable[[str], None],
        probe: float,
    ) -> None:
        self._connector = connector
        self._topology = topology
        self._make: Callable[[Node], Ear] = lambda node: Ear(
            partial(connector.connect, node), heard, confirmed, probe, _Shard(connector, topology, node)
        )
        self._homes: dict[str, Node | None] = {}
        self._ears: dict[Node, Ear] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        topology.watchers.add(self._settle)

    def listen(self, channel: str) -> None:
        """Hear of a channel."""
        self._homes.setdefault(channel, None)
        self._move(channel)

    def ignore(self, channel: str) -> None:
        """Hear of a channel no more."""
        home = self._homes.pop(channel, None)
        if home is not None:
            self._ears[home].ignore(channel)

    async def aclose(self) -> None:
        """Hear of nothing, and let go of the connections."""
        self._topology.watchers.discard(self._settle)
        self._homes.clear()
        await asyncio.gather(*[ear.aclose() for ear in self._ears.values()], *self._leaving)

    def _settle(self) -> None:
        for channel in self._homes:
            self._move(channel)
        for node in self._ears.keys() - self._homes.values():
            task = asyncio.Task(self._ears.pop(node).aclose(), name="sse_relay redis leaving", context=Context())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _move(self, channel: str) -> None:
        home, owner = self._homes[channel], self._topology.owner(hash_slot(channel))
        if owner is None:
            self._topology.doubt()
        elif owner != home:
            if home is not None:
                self._ears[home].ignore(channel)
            if owner not in self._ears:
                self._ears[owner] = self._make(owner)
            self._homes[channel] = owner
            self._ears[owner].listen(channel)


class _Shard:
    """What an ear learns of the slots of its node."""

    def __init__(self, connector: Connector, topology: Topology, node: Node) -> None:
        self._connector = connector
        self._topology = topology
        self._node = node

    def lost(self) -> None:
        self._topology.doubt(self._node)

    def moved(self, error: MovedError) -> None:
        self._topology.moved(error.slot_id, self._connector.redirected(error, self._node))
