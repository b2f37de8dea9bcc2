"""
Calls of scripts on a Cluster: each to the node that has its keys.

A node that has not says so, and has done nothing: it is asked again, there or elsewhere, until the deadline. What may
have been done is never asked twice here either.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.call import REFUSALS, RefusedError
from sse_relay.stores.redis.connection import Connector, Node
from sse_relay.stores.redis.keys import hash_slot
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.scripts import Command, Script
from sse_relay.stores.redis.topology import Topology

__all__ = ["AstrayError", "ClusterLink"]

_AT_ONCE = 2  # redirections in a row, before there are pauses
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2  # seconds
_NOT_HERE = "non local key"  # what a script is told, in all versions


class AstrayError(StoreUnavailableError):
    """A call told of several names, and not all of them are where it went; what it began may be done."""


class ClusterLink:
    """
    Call scripts on a Cluster, on one connection to each primary.

    Args:
        connector: Makes connections to the nodes.
        topology: Who has which slot.
        deadline: How long an answer may take, in seconds.
    """

    def __init__(self, connector: Connector, topology: Topology, deadline: float) -> None:
        self._connector = connector
        self._topology = topology
        self._deadline = deadline
        self._links: dict[Node, Link] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        topology.watchers.add(self._leave)

    async def call(
        self,
        script: Script | Command,
        keys: Sequence[str],
        *args: bytes,
        settles: bool = False,
        waits: tuple[int, int] | None = None,
        joins: int = 0,
    ) -> Any:  # noqa: ANN401 - whatever the script answers
        """
        Call a script.

        Args:
            script: The script.
            keys: Its keys, of one partition.
            args: Its arguments.
            settles: Whoever asks and is cancelled waits a moment for what was sent.
            waits: For how many replicas, and how many milliseconds, the server is to wait after it.
            joins: How much it asks for, if it may be one with others.

        Raises:
            StoreUnavailableError: There is no answer; what was asked may have been done.
        """
        slot = hash_slot(keys[0])
        loop = asyncio.get_running_loop()
        until = loop.time() + self._deadline
        asks: Node | None = None
        for pause in _pauses():
            node = asks or await self._owner(slot, until)
            how: dict[str, Any] = {"settles": settles, "asking": asks is not None, "waits": waits, "joins": joins}
            try:
                return await self._link(node).call(script, keys, *args, **how)
            except RefusedError as refused:
                if loop.time() + pause >= until:
                    raise
                asks = await self._elsewhere(refused.__cause__, slot, node, until)
            await asyncio.sleep(pause)
        raise AssertionError("there is always another pause")

    async def across(self, script: Script, names: Sequence[str], *args: bytes) -> Any:  # noqa: ANN401 - whatever the script answers
        """
        Call a script whose arguments tell of several names, which `groups` put together.

        Raises:
            AstrayError: They are not together any more.
            StoreUnavailableError: There is no answer; what was asked may have been done.
        """
        slot = hash_slot(names[0])
        node = await self._owner(slot, asyncio.get_running_loop().time() + self._deadline)
        try:
            return await self._link(node).call(script, names[:1], *args)
        except StoreUnavailableError as error:
            refusal = error.__cause__
            if not isinstance(refusal, REFUSALS) and _NOT_HERE not in error.detail:
                raise
            await self._elsewhere(refusal, slot, node, 0.0)
            raise AstrayError(error.detail) from refusal

    async def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Tell by place which of these names one call may tell of: those that one node has."""
        groups: dict[Node, list[int]] = {}
        until = asyncio.get_running_loop().time() + self._deadline
        for place, name in enumerate(names):
            groups.setdefault(await self._owner(hash_slot(name), until), []).append(place)
        return list(groups.values())

    async def aclose(self) -> None:
        """Finish what is asked already, and let go of the connections."""
        self._closed = True
        self._topology.watchers.discard(self._leave)
        await asyncio.gather(*[link.aclose() for link in self._links.values()], *self._leaving)

    def _link(self, node: Node) -> Link:
        if self._closed:
            raise StoreUnavailableError("this store is closed")
        if (link := self._links.get(node)) is None:
            connect, lost = partial(self._connector.connect, node), partial(self._topology.doubt, node)
            link = self._links[node] = Link(connect, self._deadline, lost)
        return link

    async def _owner(self, slot: int, until: float) -> Node:
        loop = asyncio.get_running_loop()
        while (node := self._topology.owner(slot)) is None:
            if self._closed or loop.time() >= until:
                raise RefusedError(f"no primary of hash slot {slot} is known: {self._topology.problem}")
            await self._topology.learn(until - loop.time())
        return node

    async def _elsewhere(self, refusal: BaseException | None, slot: int, node: Node, until: float) -> Node | None:
        """Tell which node is to be asked, if another one has the slot for this call only; else wait for a reason."""
        if isinstance(refusal, AskError):  # or MovedError, which is one
            there = self._connector.redirected(refusal, node)
            if not isinstance(refusal, MovedError):
                return there
            self._topology.moved(slot, there)
        elif not isinstance(refusal, ResponseError) or isinstance(refusal, ClusterDownError):
            await self._topology.learn(until - asyncio.get_running_loop().time())
        return None

    def _leave(self) -> None:
        """Let go of nodes that are primaries no more; what waits for them is asked elsewhere."""
        for node in self._links.keys() - self._topology.owners():
            link = self._links.pop(node)
            link.withdraw()
            task = asyncio.Task(link.aclose(), name="sse_relay redis leaving", context=Context())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)


def _pauses() -> Iterator[float]:
    yield from [0.0] * _AT_ONCE
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
