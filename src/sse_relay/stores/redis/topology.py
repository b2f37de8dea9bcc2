"""
Who has which slot of a Cluster.

It is asked for when it is needed, and again when something tells that it is not so any more: a server that names
another, or one that does not answer. Any node will do; one that failed just now is asked last.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

from redis.exceptions import RedisError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.connection import Connector, Node, border
from sse_relay.stores.redis.keys import HASH_SLOTS

__all__ = ["Topology"]

_Watcher = Callable[[], None]

_APART = 0.25  # seconds at least from one question to the next
_LONGEST_PAUSE = 2.0  # seconds, while no node answers
_PATIENCE = 1.0  # seconds for one node, when there are others


class Topology:
    """
    Know the primary of each hash slot.

    Args:
        connector: Makes connections to the nodes.
        deadline: How long a node has for an answer, in seconds.

    Attributes:
        problem: Why it is not known better.
        watchers: Called when a slot has another primary; they must not raise.
    """

    def __init__(self, connector: Connector, deadline: float) -> None:
        self._connector = connector
        self._patience = min(deadline, _PATIENCE)
        self._owners: dict[int, Node] = {}
        self._told_by: Node | None = None
        self._failed: set[Node] = set()
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._doubted = False
        self._closed = False
        self.problem: str = "no node was asked"
        self.watchers: set[_Watcher] = set()

    def owner(self, hash_slot: int) -> Node | None:
        """Tell the primary of a slot, if it is known."""
        return self._owners.get(hash_slot)

    def owners(self) -> set[Node]:
        """Tell all primaries that are known."""
        return set(self._owners.values())

    def moved(self, hash_slot: int, node: Node) -> None:
        """Note that a server said where a slot is."""
        self._told_by = node
        self._know(self._owners | {hash_slot: node})
        self.doubt()

    def doubt(self, node: Node | None = None) -> None:
        """Ask anew, for it may have changed: perhaps because a node does not answer."""
        if node is not None:
            self._failed.add(node)
        self._doubted = True
        if self._asking is None and not self._closed:
            self._answered.clear()
            self._asking = asyncio.Task(self._ask(), name="sse_relay redis topology", context=Context())

    async def learn(self, seconds: float) -> None:
        """Ask anew, and wait until it is known, but not for longer than that."""
        self.doubt()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._answered.wait()

    async def aclose(self) -> None:
        """Ask no more."""
        self._closed = True
        self._answered.set()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> None:
        """Ask until each slot has a primary."""
        loop = asyncio.get_running_loop()
        pause = _APART
        try:
            while True:
                await asyncio.sleep(self._asked_at + pause - loop.time())
                self._asked_at = loop.time()
                self._doubted = False
                complete = await self._learned()
                if complete and not self._doubted:
                    return
                self._answered.set()  # it is known as well as it can be
                self._answered.clear()
                pause = _APART if complete else min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._asking = None
            self._answered.set()

    async def _learned(self) -> bool:
        for node in self._nodes():
            try:
                owners = await self._asked(node)
            except StoreUnavailableError as error:
                self.problem = f"{node.host}:{node.port}: {error.detail}"
                self._failed.add(node)
                continue
            self._failed.clear()
            self._know(owners)
            return len(owners) == len(HASH_SLOTS)
        return False

    def _nodes(self) -> list[Node]:
        known = [*self.owners(), *self._connector.nodes]
        random.shuffle(known)  # so that not all ask the same one
        first = [] if self._told_by is None else [self._told_by]
        self._told_by = None
        return sorted(dict.fromkeys([*first, *known]), key=self._failed.__contains__)

    async def _asked(self, node: Node) -> dict[int, Node]:
        async with border(), asyncio.timeout(self._patience):
            connection = await self._connector.connect(node)
            try:
                packed = connection.pack_command("CLUSTER", "SLOTS")
                await connection.send_packed_command(packed, check_health=False)
                told: list[Any] = await connection.read_response()
            finally:
                with suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
        primaries = [
            (first, last, self._connector.reached((primary[0] or b"").decode(), primary[1], node))
            for first, last, primary, *_ in told
        ]
        return {slot: there for slot in HASH_SLOTS for first, last, there in primaries if first <= slot <= last}

    def _know(self, owners: dict[int, Node]) -> None:
        if owners != self._owners:
            self._owners = owners
            for watcher in list(self.watchers):
                watcher()
