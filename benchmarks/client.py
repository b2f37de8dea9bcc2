"""Reads streams as fast as they come, and counts their events."""

import asyncio
import socket
from dataclasses import dataclass
from time import perf_counter

from benchmarks.fixtures import TEXT

__all__ = ["Address", "Slow", "cpu_seconds", "fetch", "hold", "read_body", "request"]

Address = tuple[str, int]
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


def cpu_seconds(address: Address) -> float:
    """Ask a server for its CPU time."""
    return float(read_body(address, "/cpu"))


def read_body(address: Address, path: str) -> bytes:
    """Return the body of a short answer."""
    return _read(address, path).rpartition(b"\r\n")[2]


def request(path: str) -> bytes:
    """Write a request that wants the connection closed behind its answer."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def _read(address: Address, path: str) -> bytes:
    parts: list[bytes] = []
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(request(path))
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
        writer.write(request(path))
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
