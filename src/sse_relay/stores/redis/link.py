"""
One connection, on which all calls of a process are pipelined.

What is asked while an exchange is under way is the next exchange: no timers, and as many calls a round trip as there
are. The tasks that ask own none of the input and output, so that none of them can break it by being cancelled.

Nothing that may have reached the server is sent a second time: only whoever asked knows whether that is safe.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.bundle import Bundle, bundled
from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.connection import Connection, Server, greet
from sse_relay.stores.redis.scripts import Flavour, Script

__all__ = ["Link"]

_logger = logging.getLogger("sse_relay")
_MOST_CALLS = 1000  # an exchange
_MOST_BYTES = 1 << 22
Lost = Callable[[], None]

_MISTAKEN = {
    True: "the server is one of a Cluster: make the store of a RedisCluster, or with from_url(url, cluster=True)",
    False: "the server is not one of a Cluster: make the store of a Redis, or with from_url(url)",
}


class Link:
    """
    Call scripts.

    Args:
        connect: Makes a connection.
        deadline: How long an exchange may take, in seconds.
        lost: On a Cluster, called when the server does not answer.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], deadline: float, lost: Lost | None = None) -> None:
        self._connect = connect
        self._deadline = deadline
        self._lost = lost
        self._queue: deque[Call] = deque()
        self._connection: Connection | None = None
        self._flavour = Flavour.OLD
        self._draining: asyncio.Task[None] | None = None
        self._closed = False

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: bytes,
        settles: bool = False,
        asking: bool = False,
        waits: tuple[int, int] | None = None,
        joins: int = 0,
    ) -> Any:  # noqa: ANN401 - whatever the script answers
        """
        Call a script.

        Raises:
            StoreUnavailableError: There is no answer; what was asked may have been done, unless it is a `RefusedError`.
        """
        if self._closed:
            raise StoreUnavailableError("this store is closed")
        call = Call(script, keys, args, settles=settles, asking=asking, waits=waits, joins=joins)
        self._queue.append(call)
        if self._draining is None:
            self._draining = asyncio.Task(self._drain(), name="sse_relay redis", context=Context())
        return await call.result()

    async def across(self, script: Script, names: Sequence[str], *args: bytes) -> Any:  # noqa: ANN401 - whatever the script answers
        """
        Call a script whose arguments tell of several names, which `groups` put together.

        Raises:
            StoreUnavailableError: There is no answer; what was asked may have been done.
        """
        return await self.call(script, names[:1], *args)

    async def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Tell by place which of these names one call may tell of: all of them."""
        return [list(range(len(names)))]

    def withdraw(self) -> None:
        """Refuse what was not sent yet."""
        while self._queue:
            self._queue.popleft().failed(ConnectionAbortedError("the server is not asked any more"))

    async def aclose(self) -> None:
        """Finish what is asked already, and let go of the connection."""
        self._closed = True
        if self._draining is not None:
            await asyncio.wait({self._draining})
        await self._drop(gently=True)

    async def _drain(self) -> None:
        try:
            while batch := self._next():
                await self._exchange(batch)
        finally:
            self._draining = None
            for call in self._queue:
                call.failed(ConnectionAbortedError("the loop is closing"))

    def _next(self) -> list[Call]:
        batch, size = list[Call](), 0
        while self._queue and len(batch) < _MOST_CALLS and size < _MOST_BYTES:
            call = self._queue.popleft()
            if not call.future.done():
                batch.append(call)
                size += call.size
        return batch

    async def _exchange(self, batch: list[Call]) -> None:
        again: list[Call] = []
        try:
            async with asyncio.timeout(self._deadline):
                connection = await self._connected()
                asked = [call for call in batch if not call.future.done()]
                sent = bundled(asked, one_slot=self._lost is not None)
                await connection.send_packed_command([call.packed(self._flavour) for call in sent], check_health=False)
                for call in sent:
                    if call.answered(await _reply(connection, call)):
                        again += call.calls
        except (RedisError, OSError, TimeoutError, StoreUnavailableError) as error:
            await self._failed(batch, error)
        except BaseException as error:
            await self._failed(batch, error)
            raise
        self._queue.extendleft(reversed(again))

    async def _failed(self, batch: list[Call], error: BaseException) -> None:
        for call in batch:
            call.failed(error)
        if self._lost is not None:
            self._lost()
        await self._drop()

    async def _connected(self) -> Connection:
        if self._connection is not None and _is_stale(self._connection):
            await self._drop()
        if self._connection is None:
            connection = await self._connect()
            try:
                self._flavour = self._flavour_of(await greet(connection))
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection
        return self._connection

    def _flavour_of(self, server: Server) -> Flavour:
        if server.cluster is (self._lost is None):
            raise StoreUnavailableError(_MISTAKEN[server.cluster])
        return Flavour.of(server)

    async def _drop(self, *, gently: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=not gently)


def _is_stale(connection: Connection) -> bool:
    """Tell whether the server has hung up meanwhile, so that nothing need be sent to find out."""
    reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
    return reader is None or reader.at_eof()


async def _reply(connection: Connection, call: Call | Bundle) -> object:
    """Read a reply. A server that has become a replica is left: whoever has its name now may be another."""
    try:
        if call.asking:
            await connection.read_response()
        reply: object = await connection.read_response()
    except ResponseError as error:
        if isinstance(error, ReadOnlyError) or "READONLY" in str(error):
            raise ReadOnlyError(str(error)) from error
        reply = error
    if call.waits is not None and (count := await connection.read_response()) < call.waits[0]:
        _logger.warning("the end of a run is on %d of %d replicas only, after %d ms", count, *call.waits)
    return reply
