"""A primary, two replicas and three sentinels: real processes, on loopback ports of their own."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as RedisConnectionError

from sse_relay.stores.redis import RedisStore

_NAME = "mymaster"
_PATIENCE = 30.0  # seconds
_QUORUM = 2
_PORTS = range(20_000, 32_000)  # below those that the system gives to clients

Place = tuple[str, int]


class Node:
    """
    One process.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, binary: str, settings: str, *options: str) -> None:
        self.port = _free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="sse"))
        config = self._folder / "conf"  # a sentinel writes into its own
        config.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n{settings}")
        self._process = subprocess.Popen([binary, str(config), *options], stdout=subprocess.DEVNULL)
        _until(self._answers, f"{config} does not start")

    def ask(self, *command: str | int) -> Any:
        """Ask something."""
        with Redis(port=self.port, socket_timeout=_PATIENCE, decode_responses=True) as client:
            return client.execute_command(*command)

    def signal(self, number: signal.Signals) -> None:
        """Kill it, stop it, or let it go on."""
        os.kill(self._process.pid, number)

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"{self._folder} has ended"
        try:
            return bool(self.ask("PING"))
        except RedisConnectionError:
            return False


class Group:
    """
    What a deployment with Sentinel is made of.

    Attributes:
        primary: Who is primary at first.
        replicas: Who may be later.
        sentinels: Who decides.
    """

    def __init__(self, binary: str) -> None:
        self._nodes = list[Node]()
        try:
            self.primary = self._start(binary, 'save ""\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n')
            replica = f'save ""\nrepl-diskless-sync-delay 0\nreplicaof 127.0.0.1 {self.primary.port}\n'
            self.replicas = [self._start(binary, replica) for _ in range(2)]
            watching = (
                f"sentinel monitor {_NAME} 127.0.0.1 {self.primary.port} {_QUORUM}\n"
                f"sentinel down-after-milliseconds {_NAME} 500\n"
                f"sentinel failover-timeout {_NAME} 5000\n"
            )
            _until(lambda: self.primary.ask("WAIT", 2, 100) == 2, "the replicas do not follow")
            self.sentinels = [self._start(binary, watching, "--sentinel") for _ in range(3)]
            _until(self._is_ready, "the sentinels do not find each other")
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> list[Place]:
        """Where the sentinels are."""
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    @property
    def elected(self) -> int:
        """The port of who is primary now, if you ask the last sentinel."""
        return int(self.sentinels[-1].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", _NAME)[1])

    def sever(self) -> None:
        """Let nothing more get to the replicas: they stay up, and may be promoted."""
        self.primary.ask("ACL", "SETUSER", "default", "-psync", "-sync", "-replconf")
        self.primary.ask("CLIENT", "KILL", "TYPE", "replica")

    def close(self) -> None:
        """End all of it."""
        for node in reversed(self._nodes):
            node.close()

    def _start(self, binary: str, settings: str, *options: str) -> Node:
        self._nodes.append(node := Node(binary, settings, *options))
        return node

    def _is_ready(self) -> bool:
        known = [sentinel.ask("SENTINEL", "MASTER", _NAME) for sentinel in self.sentinels]
        return all(int(told["num-slaves"]) == int(told["num-other-sentinels"]) == 2 for told in known)


@asynccontextmanager
async def store_at(places: Sequence[Place], prefix: str, **options: Any) -> AsyncGenerator[RedisStore, None]:
    """Make a store that asks sentinels where the primary is."""
    sentinel: Any = Sentinel(places)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(_NAME)
    store = RedisStore(client, prefix=prefix, **options)
    try:
        yield store
    finally:
        await store.aclose()
        await client.aclose()
        await sentinel.aclose()


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                return port


def _until(check: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not check():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)
