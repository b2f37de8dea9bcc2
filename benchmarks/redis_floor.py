"""The least that Redis costs: commands written by hand on bare sockets, nothing packed by a client, nothing parsed."""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from urllib.parse import urlsplit

from sse_relay import ServerSentEvent

__all__ = [
    "EVENT",
    "FRAME",
    "PACKED",
    "BareLink",
    "bare_publish",
    "command",
    "connect",
    "connected",
    "pipelined",
]

FRAME = b'event: text\ndata: {"text":"%b"}\n\n' % (b"x" * 169)
"""One event as it is stored: 200 bytes."""

EVENT = ServerSentEvent(FRAME.decode().split("data: ")[1].strip(), event="text")
"""The same, as a source yields it."""

PACKED = b"redis.call('XADD', KEYS[1], '*', 'b', ARGV[1]) redis.call('PUBLISH', KEYS[2], ARGV[1]) return 1"
"""The least that a store does for a batch: keep it, and tell whoever listens."""

_IN_FLIGHT = 100  # commands in one write; two of them are under way


def command(*words: bytes) -> bytes:
    """Write one command."""
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


def connect(url: str) -> socket.socket:
    """Open a blocking socket."""
    place = urlsplit(url)
    if place.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(place.path)
        return sock
    sock = socket.create_connection((place.hostname or "", place.port or 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def pipelined(sock: socket.socket, commands: Sequence[bytes], lines: int) -> None:
    """Send commands without waiting for each, and read all their answers, of so many lines each."""
    left = 0
    for at in range(0, len(commands), _IN_FLIGHT):
        sending = commands[at : at + _IN_FLIGHT]
        sock.sendall(b"".join(sending))
        left = _read(sock, left) + lines * len(sending)
    _read(sock, left)


def _read(sock: socket.socket, left: int) -> int:
    """Read so many lines; tell how many more have come: less than none are left."""
    while left > 0:
        part = sock.recv(1 << 16)
        if not part or part.startswith(b"-"):
            raise ConnectionError(part.decode() or "the server has hung up")
        left -= part.count(b"\n")
    return left


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream of the loop."""
    place = urlsplit(url)
    if place.scheme == "unix":
        return await asyncio.open_unix_connection(place.path)
    return await asyncio.open_connection(place.hostname, place.port)


class BareLink(asyncio.Protocol):
    """Sends commands whose answers are one line each; who asks waits for its own."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, url: str) -> "BareLink":
        """Connect."""
        place = urlsplit(url)
        loop = asyncio.get_running_loop()
        if place.scheme == "unix":
            return (await loop.create_unix_connection(cls, place.path))[1]
        return (await loop.create_connection(cls, place.hostname or "", place.port or 0))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Tell who waits."""
        for _ in range(data.count(b"\n")):
            if not (waiter := self._waiting.popleft()).done():
                waiter.set_result(None)

    def ask(self, sent: bytes) -> asyncio.Future[None]:
        """Send a command; the future is done when it is answered."""
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        self._transport.write(sent)
        return waiter

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


async def bare_publish(url: str, count: int, pause: float, sha: bytes | None = None) -> list[float]:
    """
    Publish and hear so many messages on two connections of this process; tell how long each took.

    Args:
        url: The server.
        count: How many.
        pause: Seconds before each.
        sha: The packed script, which keeps the message and then publishes it; None: it is published only.
    """
    hearing, telling = await connected(url), await connected(url)
    said = command(b"PUBLISH", b"channel", FRAME)
    if sha is not None:
        said = command(b"EVALSHA", sha, b"2", b"log", b"channel", FRAME)
    heard = len(command(b"message", b"channel", FRAME))
    seconds: list[float] = []
    try:
        hearing[1].write(command(b"SUBSCRIBE", b"channel"))
        await hearing[0].readuntil(b":1\r\n")
        for _ in range(count):
            await asyncio.sleep(pause)
            begun = perf_counter()
            telling[1].write(said)
            await hearing[0].readexactly(heard)
            seconds.append(perf_counter() - begun)
            await telling[0].readline()
    finally:
        for _, writer in (hearing, telling):
            writer.close()
    return seconds
