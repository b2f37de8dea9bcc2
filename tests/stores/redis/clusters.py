"""Real Clusters for the tests: each node with a port and a folder of its own, and slots that move by command."""

import asyncio
import random
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from redis.asyncio import Redis, RedisCluster

from sse_relay.stores.redis import RedisStore
from tests.stores.redis.servers import PATIENCE

SLOTS = 16_384
_BUS = 10_000  # a node's other port is so far above


class Member:
    """
    One node.

    Attributes:
        port: Where it listens.
        id: How the others call it.
        process: Its process.
        asks: Asks it, and waits.
    """

    def __init__(self, binary: str, node_timeout: int) -> None:
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="sse"))
        self._command = [
            binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder),
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout),
            "--cluster-replica-validity-factor", "0",  # also after a pause of the machine a replica may be elected
            "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        self.asks: Any = _plain_client(self.port)
        self.start()
        self.id: str = self.asks.execute_command("CLUSTER MYID")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, "a node did not start"
            assert time.monotonic() < until, "a node does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.asks.ping())
        return False

    def client(self) -> Redis:
        """Make a client of this node alone."""
        return Redis(port=self.port)

    def knows(self) -> tuple[str, int, int]:
        """Tell the state of the Cluster, how many nodes and how many slots with one that works there are."""
        told = dict(line.split(":", 1) for line in self.asks.execute_command("CLUSTER INFO").split())
        return told["cluster_state"], int(told["cluster_known_nodes"]), int(told["cluster_slots_ok"])

    def replicas_known(self) -> int:
        """Tell how many replicas it knows."""
        return str(self.asks.execute_command("CLUSTER NODES")).count("slave ")

    def follows(self) -> bool:
        """Tell whether it is a replica that has all."""
        return "master_link_status:up" in self.asks.execute_command("INFO replication")

    def close(self) -> None:
        """End it."""
        self.asks.close()
        self.process.kill()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder)


class Cluster:
    """
    Three primaries, each with so many replicas.

    Attributes:
        name: What its servers are, and their version.
        primaries: Those that begin with a third of the slots each.
        replicas: The others.
    """

    def __init__(self, name: str, binary: str, replicas: int = 0, node_timeout: int = 2000) -> None:
        self.name = name
        self.primaries = [Member(binary, node_timeout) for _ in range(3)]
        self.replicas = [Member(binary, node_timeout) for _ in range(3 * replicas)]
        first, *others = self.members
        for place, member in enumerate(self.primaries):
            slots = range(place * SLOTS // 3, (place + 1) * SLOTS // 3)
            member.asks.execute_command("CLUSTER ADDSLOTS", *slots)
            member.asks.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
        for member in others:
            first.asks.execute_command("CLUSTER MEET", "127.0.0.1", member.port)
        self.settle()
        for place, member in enumerate(self.replicas):
            member.asks.execute_command("CLUSTER REPLICATE", self.primaries[place % 3].id)
        self._wait(lambda: all(member.follows() for member in self.replicas))
        self._wait(lambda: {member.replicas_known() for member in self.members} == {len(self.replicas)})

    @property
    def members(self) -> list[Member]:
        """All nodes."""
        return self.primaries + self.replicas

    @property
    def modern(self) -> bool:
        """Whether it is Redis 7 or later, or any Valkey."""
        return self.name.startswith("valkey") or int(self.name.split("-")[1].split(".")[0]) >= 7

    def client(self, **options: Any) -> RedisCluster:
        """Make a client, which begins with any node."""
        return RedisCluster(**{"host": "127.0.0.1", "port": random.choice(self.primaries).port, **options})

    def store(self, prefix: str, **options: Any) -> RedisStore:
        """Make a store."""
        url = f"redis://127.0.0.1:{self.primaries[0].port}"
        return RedisStore.from_url(url, cluster=True, prefix=prefix, **options)

    def owner(self, slot: int) -> Member:
        """Tell who has a slot, as the first node sees it."""
        for first, last, (_, port, *_), *_ in self.primaries[0].asks.execute_command("CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(member for member in self.members if member.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def settle(self) -> None:
        """Wait until all nodes know that all is well."""
        self._wait(lambda: {member.knows() for member in self.members} == {("ok", len(self.members), SLOTS)})

    def forget(self) -> None:
        """Delete all keys."""
        for member in self.primaries:
            member.asks.flushall()

    def close(self) -> None:
        """End it."""
        for member in self.members:
            member.close()

    def _wait(self, check: Any) -> None:
        until = time.monotonic() + PATIENCE
        while not check():
            assert time.monotonic() < until, f"the Cluster of {self.name} does not come about"
            time.sleep(0.02)


class Move:
    """
    Move a slot, key by key.

    Args:
        slot: The slot.
        source: Who has it.
        target: Who is to have it.
        others: Who is told.

    Attributes:
        slot: The slot.
    """

    def __init__(self, slot: int, source: Member, target: Member, others: list[Member]) -> None:
        self.slot = slot
        self._source, self._target = source, target
        self._others = others

    async def begin(self) -> None:
        """Let both know that it moves."""
        await _ask(self._target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", self._source.id)
        await _ask(self._source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", self._target.id)

    async def step(self, count: int = 1) -> int:
        """Move so many keys; tell how many there were to be moved yet."""
        names: list[bytes] = await _ask(self._source, "CLUSTER", "GETKEYSINSLOT", self.slot, count)
        if names:
            await _ask(self._source, "MIGRATE", "127.0.0.1", self._target.port, "", 0, 5000, "KEYS", *names)
        return len(names)

    async def end(self) -> None:
        """Let everybody know that it has moved."""
        for member in (self._target, self._source, *self._others):
            await _ask(member, "CLUSTER", "SETSLOT", self.slot, "NODE", self._target.id)

    async def whole(self, pause: float = 0.0) -> None:
        """Move it, with a pause after each key."""
        await self.begin()
        left = 1
        while left:
            await asyncio.sleep(pause)
            left = await self.step()
        await self.end()


async def _ask(member: Member, *command: Any) -> Any:
    client: Any = member.client()
    async with client:
        return await client.execute_command(*command)


def _plain_client(port: int) -> Any:
    client = redis.Redis(port=port, decode_responses=True, protocol=2)
    client.response_callbacks.clear()  # what is answered, as it is
    return client


def _free_port() -> int:
    for _ in range(1000):
        port = random.randrange(20_000, 30_000)
        if _is_free(port) and _is_free(port + _BUS):
            return port
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
