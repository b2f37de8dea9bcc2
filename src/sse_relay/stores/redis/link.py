"""
One connection, on which all calls of a process are pipelined.

What is asked while an exchange is under way is the next exchange: no timers, and as many calls a round trip as there
are. The tasks that ask own none of the input and output, so that none of them can break it by being cancelled.

Nothing that may have reached the server is sent a second time: only whoever asked knows whether that is safe.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.connection import Connection
from sse_relay.stores.redis.scripts import Script

__all__ = ["Call", "Link"]

_MOST_CALLS = 1000  # an exchange
_MOST_BYTES = 1 << 22
_SETTLES_WITHIN = 0.25  # seconds: long for a server that answers, short for whoever cancels when it does not


class Call:
    """
    One run of a script.

    Attributes:
        script: Which one.
        keys: Its keys.
        args: Its arguments.
        always: It has to get through when the server's memory is full.
        settles: Whoever asked and is cancelled waits a moment for what was sent, so that as a rule nothing that was
            cancelled is done later.
    """

    __slots__ = ("_loads", "_sent", "args", "future", "keys", "script", "settles", "always")  # noqa: RUF023

    def __init__(
        self, script: Script, keys: Sequence[str], args: Sequence[bytes], *, always: bool, settles: bool
    ) -> None:
        self.script: Script = script
        self.keys: Sequence[str] = keys
        self.args: Sequence[bytes] = args
        self.always: bool = always
        self.settles: bool = settles
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._loads = False
        self._sent = False

    @property
    def size(self) -> int:
        """Tell about how many bytes it sends."""
        return sum(map(len, self.args)) + 100 * len(self.keys)

    def packed(self, connection: Connection, *, modern: bool) -> list[bytes]:
        """Write the command."""
        self._sent = True
        text = self.script.text(always=self.always and modern)
        how = ("EVAL", text.source) if self._loads else ("EVALSHA", text.sha)
        return connection.pack_command(*how, len(self.keys), *self.keys, *self.args)

    def answered(self, reply: object) -> bool:
        """Take the answer; tell whether it has to be asked again, because the server did not know the script."""
        if isinstance(reply, NoScriptError) and not self._loads:
            self._loads, self._sent = True, False
            return not self.future.done()
        if self.future.done():
            return False
        if isinstance(reply, ResponseError):
            self.failed(reply)
        else:
            self.future.set_result(reply)
        return False

    def failed(self, error: BaseException) -> None:
        """Tell whoever asked that it is not known what was done."""
        if not self.future.done():
            known = error.detail if isinstance(error, StoreUnavailableError) else f"{type(error).__name__}: {error}"
            self.future.set_exception(StoreUnavailableError(known))

    async def result(self) -> Any:  # noqa: ANN401 - whatever the script answers
        """Wait for the answer."""
        cancelled: asyncio.CancelledError | None = None
        loop = asyncio.get_running_loop()
        left: float | None = None  # how long it may take yet; nothing bounds it but the exchange's deadline
        until = 0.0
        while not self.future.done():
            try:
                _, pending = await asyncio.wait({self.future}, timeout=left)
                if pending:
                    self.future.cancel()
            except asyncio.CancelledError as error:
                if not (self.settles and self._sent):
                    self.future.cancel()
                if cancelled is None:
                    cancelled, until = error, loop.time() + _SETTLES_WITHIN
                left = max(0.0, until - loop.time())
        if cancelled is not None:
            if not self.future.cancelled():
                self.future.exception()  # it is known now, and nobody asks
            raise cancelled
        return self.future.result()


class Link:
    """
    Call scripts.

    Args:
        connect: Makes a connection.
        deadline: How long an exchange may take, in seconds.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._queue: deque[Call] = deque()
        self._connection: Connection | None = None
        self._modern = False
        self._draining: asyncio.Task[None] | None = None
        self._closed = False

    async def call(
        self, script: Script, keys: Sequence[str], *args: bytes, always: bool = False, settles: bool = False
    ) -> Any:  # noqa: ANN401 - whatever the script answers
        """
        Call a script.

        Raises:
            StoreUnavailableError: There is no answer; what was asked may have been done.
        """
        if self._closed:
            raise StoreUnavailableError("this store is closed")
        call = Call(script, keys, args, always=always, settles=settles)
        self._queue.append(call)
        if self._draining is None:
            self._draining = asyncio.Task(self._drain(), name="sse_relay redis", context=Context())
        return await call.result()

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
                packed = [part for call in asked for part in call.packed(connection, modern=self._modern)]
                await connection.send_packed_command(packed, check_health=False)
                again.extend([call for call in asked if call.answered(await _reply(connection))])
        except (RedisError, OSError, TimeoutError, StoreUnavailableError) as error:
            await self._failed(batch, error)
        except BaseException as error:
            await self._failed(batch, error)
            raise
        self._queue.extendleft(reversed(again))

    async def _failed(self, batch: list[Call], error: BaseException) -> None:
        for call in batch:
            call.failed(error)
        await self._drop()

    async def _connected(self) -> Connection:
        if self._connection is not None and _is_stale(self._connection):
            await self._drop()
        if self._connection is None:
            connection = await self._connect()
            try:
                self._modern = await _version(connection) >= 7
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection
        return self._connection

    async def _drop(self, *, gently: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=not gently)


def _is_stale(connection: Connection) -> bool:
    """Tell whether the server has hung up meanwhile, so that nothing need be sent to find out."""
    reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
    return reader is None or reader.at_eof()


async def _reply(connection: Connection) -> object:
    """Read a reply. A server that has become a replica is left: whoever has its name now may be another."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        if isinstance(error, ReadOnlyError) or "READONLY" in str(error):
            raise ReadOnlyError(str(error)) from error
        return error


async def _version(connection: Connection) -> int:
    """Ask for the server's major version, as Redis counts."""
    await connection.send_packed_command(connection.pack_command("INFO", "server"), check_health=False)
    told: bytes = await connection.read_response()
    for line in told.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"redis_version":
            return int(value.partition(b".")[0])
    return 0
