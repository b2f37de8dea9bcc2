"""Reads streams as fast as they come, and counts their events, or notes when they come."""

import asyncio
import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from time import monotonic, perf_counter
from typing import Self

from benchmarks.fixtures import TEXT
from benchmarks.servers import Address

__all__ = ["Arrivals", "Slow", "connected", "cpu_seconds", "fetch", "hold", "read_all", "read_body"]

_LOCALHOSTS = 8
_QUIET, _PATIENCE = 0.02, 2.0  # seconds

_MARK = TEXT.encode()


def fetch(address: Address, path: str) -> tuple[float, int]:
    """
    Read one stream to its end.

    Returns:
        The seconds that it took, and the events that came.
    """
    start = perf_counter()
    body = _read(address, path)
    return perf_counter() - start, body.count(_MARK)


def read_all(address: Address, path: str, count: int) -> float:
    """Read a stream of so many events, and tell the seconds that each took."""
    seconds, events = fetch(address, path)
    if events != count:
        raise AssertionError(events)
    return seconds / events


def cpu_seconds(address: Address) -> float:
    """Ask a server for its CPU time."""
    return float(read_body(address, "/cpu"))


def read_body(address: Address, path: str) -> bytes:
    """Return the body of a short answer."""
    return _read(address, path).rpartition(b"\r\n")[2]


def _request(path: str) -> bytes:
    """Write a request that wants the connection closed behind its answer."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def _read(address: Address, path: str) -> bytes:
    parts: list[bytes] = []
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(_request(path))
        while part := connection.recv(1 << 18):
            parts.append(part)
    return b"".join(parts)


@dataclass(slots=True)
class Slow:
    """What many slow streams cost their server, once all of them run."""

    cpu: float
    events: int


async def hold(address: Address, path: str, *, streams: int, spread: float, settle: float, seconds: float) -> Slow:
    """
    Open many streams, and measure while all of them run.

    Args:
        address: The server's.
        path: The stream's.
        streams: How many.
        spread: Over which time they are opened, evenly, so that their events do not coincide.
        settle: How long they run before.
        seconds: How long to measure.
    """
    events = 0

    async def follow() -> None:
        nonlocal events
        reader, writer = await asyncio.open_connection(*address)
        writer.write(_request(path))
        try:
            while part := await reader.read(1 << 16):
                events += part.count(_MARK)
        finally:
            writer.close()

    tasks: list[asyncio.Task[None]] = []
    for _ in range(streams):
        tasks.append(asyncio.create_task(follow()))
        await asyncio.sleep(spread / streams)
    await asyncio.sleep(settle)
    before, counted = await asyncio.to_thread(cpu_seconds, address), events
    await asyncio.sleep(seconds)
    after, counted = await asyncio.to_thread(cpu_seconds, address), events - counted
    await asyncio.gather(*tasks)
    return Slow(after - before, counted)


def connected(stack: ExitStack, address: Address, path: str, viewers: int) -> list[socket.socket]:
    """Connect viewers of one path, until each has got its first byte of the stream."""
    return [_viewer(stack, address, path) for _ in range(viewers)]


def _viewer(stack: ExitStack, address: Address, path: str) -> socket.socket:
    connection = stack.enter_context(_connection(address))
    connection.sendall(_request(path))
    head = b""
    while not head.partition(b"\r\n\r\n")[2]:
        if not (part := connection.recv(1 << 12)):
            raise AssertionError(head)
        head += part
    return connection


def _connection(address: Address) -> socket.socket:
    """Connect from the first address of this machine that has a port left."""
    for last in range(1, _LOCALHOSTS):
        try:
            return socket.create_connection(address, 60, None if last == 1 else (f"127.0.0.{last}", 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    raise OSError(errno.EADDRNOTAVAIL, "this machine has no port left")


class Arrivals:
    """
    Notes what comes to many connections, and when; as a context manager, until then.

    Attributes:
        found: The times, on the clock that processes share, and what came.
    """

    def __init__(self, connections: Sequence[socket.socket]) -> None:
        self.found: list[tuple[float, bytes]] = []
        self._selector = DefaultSelector()
        for connection in connections:
            connection.settimeout(0)
            self._selector.register(connection, EVENT_READ, connection.recv)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def note(self, seconds: float) -> None:
        """Note all that comes, for so long."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            self._once(left)

    def until_quiet(self) -> None:
        """Note the rest of what is on its way: until nothing has come for a moment."""
        until = monotonic() + _PATIENCE
        while self._once(_QUIET) and monotonic() < until:
            pass

    def _once(self, seconds: float) -> bool:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            part = key.data(1 << 16)
            if not part:
                raise AssertionError("the server has gone")
            self.found.append((monotonic(), part))
        return bool(ready)
