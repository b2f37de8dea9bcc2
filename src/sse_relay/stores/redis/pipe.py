"""
A connection whose replies are handed over where they come in: nobody waits for them, and no task is woken to send.

redis-py makes the connection, and knows how: sockets, TLS, passwords, Sentinels. From then on the bytes are ours, if
hiredis is there to read them. Without it a task reads them by what redis-py has of its own.
"""
# ruff: noqa: SLF001 - redis-py has no public way to its transport

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ConnectionError as HungUpError
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from sse_relay.stores.redis.connection import Connection
from sse_relay.stores.redis.resp import HIREDIS

if TYPE_CHECKING:
    from asyncio import BaseProtocol, StreamWriter

__all__ = ["Pipe"]

_NOTHING = object()
_READ_AT_ONCE = 1 << 18  # bytes
_HUNG_UP = "the server has hung up"


class Pipe(asyncio.BufferedProtocol):
    """
    Send commands, and hear replies.

    Args:
        connection: It is connected, and owes no reply; it is the pipe's from now on.
        replied: Called with each reply, in order; one that is an error is an exception. It must not raise.
        lost: Called when there will be no more replies, with the reason; not after `abort` or `aclose`.
    """

    __slots__ = (
        "_buffer", "_closed", "_connection", "_former", "_lost", "_over", "_reader", "_reading", "_replied", "_writer",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, replied: Callable[[Any], None], lost: Callable[[Exception], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        raw: Any = connection
        self._connection = raw
        self._replied = replied
        self._lost = lost
        self._over = False
        self._closed = loop.create_future()
        self._reading: asyncio.Task[None] | None = None
        self._writer: StreamWriter = raw._writer
        self._former: BaseProtocol | None = None
        self._reader: Any = None
        self._buffer = memoryview(bytearray(_READ_AT_ONCE))  # TLS fills parts of it, and a bytearray's are copies
        if HIREDIS is None:
            self._reading = asyncio.Task(self._read(), name="sse_relay redis pipe", context=Context())
            return
        transport = self._writer.transport
        self._reader = HIREDIS.Reader(
            replyError=raw._parser.parse_error, protocolError=InvalidResponse, notEnoughData=_NOTHING
        )
        self._former = transport.get_protocol()
        transport.set_protocol(self)
        if raw._reader.at_eof():  # said to the former protocol, which has left the transport half open
            loop.call_soon(self._end, HungUpError(_HUNG_UP))

    def send(self, commands: bytes) -> None:
        """Send commands, as `pack` writes them."""
        self._writer.write(commands)

    def abort(self) -> None:
        """Hang up at once."""
        self._over = True
        if self._reading is not None:
            self._reading.cancel()
        self._writer.transport.abort()
        self._connection._close()  # disconnect() has to be awaited, and nothing here waits

    async def aclose(self) -> None:
        """Hang up, and wait until that is done."""
        self.abort()
        await asyncio.wait({self._closed if self._reading is None else self._reading})

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop says it
        """Say where to put what the server says."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the server says."""
        take, replied = self._reader.gets, self._replied
        try:
            self._reader.feed(self._buffer, 0, nbytes)
            while not self._over and (reply := take()) is not _NOTHING:
                replied(reply)
        except InvalidResponse as error:
            self._end(error)

    def eof_received(self) -> None:
        """Hang up, too."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Take word that the connection is closed."""
        if not self._closed.done():
            self._closed.set_result(None)
        if self._former is not None:
            self._former.connection_lost(exc)
        self._end(exc or HungUpError(_HUNG_UP))

    def _end(self, error: Exception) -> None:
        if not self._over:
            self.abort()
            self._lost(error)

    async def _read(self) -> None:
        try:
            while not self._over:
                try:
                    reply = await self._connection.read_response()
                except ResponseError as error:
                    reply = error
                self._replied(reply)
        except (RedisError, OSError) as error:
            self._end(cast("Exception", error))
