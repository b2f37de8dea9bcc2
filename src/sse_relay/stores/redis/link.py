"""
One connection, on which all calls of a process are pipelined.

What is asked while an exchange is under way is the next exchange: no timers, and as many calls a round trip as there
are. Only many of them do not wait for its end, so that the server and we work at the same time. A call is sent where it
is made, and answered where the reply comes in, so that no task stands between. The tasks that ask own none of the input
and output, so that none of them can break it by being cancelled.

A server writes first to whom it had something to say last. After a silence, what tells others something is asked behind
a PING: so they hear of it before whoever asked, and what he does with his answer is not in between.

Nothing that may have reached the server is sent a second time: only whoever asked knows whether that is safe.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Any

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.bundle import Bundle, bundled
from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.connection import Connection, Server, greet
from sse_relay.stores.redis.pipe import Pipe
from sse_relay.stores.redis.resp import pack
from sse_relay.stores.redis.scripts import Command, Flavour, Script

__all__ = ["Link"]

_logger = logging.getLogger("sse_relay")
_MOST_CALLS = 50  # an exchange: about as many as the server reads at once
_MOST_BYTES = 1 << 20
_JOINED_BYTES = 200  # about, of a call that is sent as one with others
_MOST_UNDER_WAY = 200  # calls
_NOBODYS = Context()  # what is sent for all of them is not part of the request that asked last
Lost = Callable[[], None]

_PING = pack(b"PING")
_SILENCE = 0.001  # seconds; where calls are more frequent the time of all of them counts, and not how long one takes

_MISTAKEN = {
    True: "the server is one of a Cluster: make the store of a RedisCluster, or with from_url(url, cluster=True)",
    False: "the server is not one of a Cluster: make the store of a Redis, or with from_url(url)",
}


class _Pong:
    """What waits for the answer to a PING: nobody."""

    __slots__ = ("until",)

    replies = 1
    asking = False
    waits = None
    calls: Sequence[Call] = ()

    def __init__(self) -> None:
        self.until: float = 0.0

    def answered(self, reply: object) -> bool:  # noqa: ARG002 - whatever it is
        return False


class Link:
    """
    Call scripts.

    Args:
        connect: Makes a connection.
        deadline: How long connecting may take, and an exchange, in seconds.
        lost: On a Cluster, called when the server does not answer.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], deadline: float, lost: Lost | None = None) -> None:
        self._connect = connect
        self._deadline = deadline
        self._lost = lost
        self._queue: deque[Call] = deque()
        self._asked: deque[Call | Bundle | _Pong] = deque()  # who waits for replies
        self._pong = _Pong()
        self._alone_at = 0.0  # the last call that was sent by itself, by the loop's clock
        self._parts: list[object] = []  # of the reply that is coming
        self._timer: asyncio.TimerHandle | None = None
        self._crowded = False  # the last exchange had several calls, so there may be more in this turn of the loop
        self._scheduled = False
        self._pipe: Pipe | None = None
        self._flavour = Flavour.OLD
        self._connecting: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None  # whoever closes waits for it
        self._closed = False

    async def call(
        self,
        script: Script | Command,
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
        call = Call(script, keys, args, settles, asking, waits, joins)
        self.ask(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            await call.left()
            raise

    def ask(self, call: Call) -> None:
        """
        Send a call when it is due. Whoever asks waits for its future; if that is cancelled, for `Call.left` too.

        Raises:
            StoreUnavailableError: The store is closed.
        """
        if self._closed:
            raise StoreUnavailableError("this store is closed")
        is_busy = self._asked or self._queue or self._crowded or self._scheduled
        if self._pipe is not None and not (is_busy or call.joins or isinstance(call.script, Command)):
            self._alone(call, self._pipe)
            return
        self._queue.append(call)
        if not self._scheduled and (not self._asked or self._is_due()):
            if self._crowded or call.joins or isinstance(call.script, Command):  # a script says what a command means
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._send, context=_NOBODYS)
            else:
                self._send()

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
        if self._asked or self._queue:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._idle})
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            await pipe.aclose()

    def _is_due(self) -> bool:
        """Tell whether what is asked has to wait no longer."""
        waiting = len(self._queue)
        return not self._asked or (waiting >= _MOST_CALLS and len(self._asked) <= _MOST_UNDER_WAY - _MOST_CALLS)

    def _send(self) -> None:
        """Begin exchanges, as far as anything is asked and may be sent."""
        self._scheduled = False
        while self._queue and self._is_due():
            if self._pipe is None:
                if self._connecting is None:
                    self._connecting = asyncio.Task(self._connected(), name="sse_relay redis", context=Context())
                return
            self._begin(self._pipe)
        if self._idle is not None and not (self._asked or self._queue or self._idle.done()):
            self._idle.set_result(None)

    def _alone(self, call: Call, pipe: Pipe) -> None:
        """Send a call beside which there is none, as most are where runs are slow."""
        loop = asyncio.get_running_loop()
        now, before = loop.time(), self._alone_at
        self._alone_at = now
        call.until = until = now + self._deadline
        packed = call.packed(self._flavour)
        if call.script.tells and now - before > _SILENCE:
            packed = _PING + packed
            self._pong.until = until
            self._asked.append(self._pong)
        self._asked.append(call)
        if self._timer is None:
            self._timer = loop.call_at(until, self._look, context=_NOBODYS)
        pipe.send(packed)

    def _begin(self, pipe: Pipe) -> None:
        """Send what is next: calls by themselves, so many or so large, and behind them those that may be one."""
        loop = asyncio.get_running_loop()
        until, flavour, size = loop.time() + self._deadline, self._flavour, 0
        queue = self._queue
        packed: list[bytes] = []
        joined: list[Call] = []
        while queue and len(packed) < _MOST_CALLS and size < _MOST_BYTES:
            call = queue.popleft()
            if call.future.done():
                continue
            if call.joins:
                joined.append(call)
                size += _JOINED_BYTES
                continue
            packed.append(one := call.packed(flavour))
            size += len(one)
            call.until = until
            self._asked.append(call)
        self._crowded = len(packed) + len(joined) > 1
        for asked in bundled(joined, one_slot=self._lost is not None) if joined else ():
            packed.append(asked.packed(flavour))
            asked.until = until
            self._asked.append(asked)
        if not packed:
            return
        if self._timer is None:
            self._timer = loop.call_at(until, self._look, context=_NOBODYS)
        pipe.send(packed[0] if len(packed) == 1 else b"".join(packed))

    def _replied(self, reply: object) -> None:
        """Take a reply. A server that has become a replica is left: whoever has its name now may be another."""
        if isinstance(reply, RedisError) and (not isinstance(reply, ResponseError) or _is_read_only(reply)):
            self._failed(ReadOnlyError(str(reply)) if isinstance(reply, ResponseError) else reply)
            return
        asked = self._asked
        call = asked[0]
        if call.replies > 1:
            self._parts.append(reply)
            if len(self._parts) < call.replies:
                return
            reply = self._whole(call)
        asked.popleft()
        if call.answered(reply):
            self._queue += call.calls
        if (self._queue or self._idle is not None) and self._is_due():
            self._send()

    def _whole(self, call: Call | Bundle | _Pong) -> object:
        parts, self._parts = self._parts, []
        if call.waits is not None and isinstance(count := parts[-1], int) and count < call.waits[0]:
            _logger.warning("the end of a run is on %d of %d replicas only, after %d ms", count, *call.waits)
        return parts[1 if call.asking else 0]

    def _failed(self, error: BaseException) -> None:
        """Tell whoever waits for replies, and leave the connection."""
        failed = [call for asked in self._asked for call in asked.calls]
        self._asked.clear()
        self._parts = []
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.abort()
        for call in failed:
            call.failed(error)
        if self._lost is not None and failed:
            self._lost()
        self._send()

    def _look(self) -> None:
        """Give up a server that takes too long: one timer looks as late as it may."""
        self._timer = None
        if not self._asked:
            return
        loop, until = asyncio.get_running_loop(), self._asked[0].until
        if loop.time() >= until:
            self._failed(TimeoutError(f"no answer in {self._deadline:g} s"))
        else:
            self._timer = loop.call_at(until, self._look, context=_NOBODYS)

    async def _connected(self) -> None:
        waiting = list(self._queue)
        try:
            async with asyncio.timeout(self._deadline):
                connection = await self._connect()
                try:
                    self._flavour = self._flavour_of(await greet(connection))
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
            self._pipe = Pipe(connection, self._replied, self._failed)
        except (RedisError, OSError, TimeoutError, StoreUnavailableError) as error:
            self._refuse(waiting, error)
        except BaseException as error:
            self._refuse(self._queue, error)
            raise
        finally:
            self._connecting = None
        self._send()

    def _refuse(self, waiting: Iterable[Call], error: BaseException) -> None:
        """Tell those who waited for the connection: for who came later another one is tried."""
        for call in waiting:
            call.failed(error)
        self._queue = deque(call for call in self._queue if not call.future.done())
        if self._lost is not None:
            self._lost()

    def _flavour_of(self, server: Server) -> Flavour:
        if server.cluster is (self._lost is None):
            raise StoreUnavailableError(_MISTAKEN[server.cluster])
        return Flavour.of(server)


def _is_read_only(error: ResponseError) -> bool:
    return isinstance(error, ReadOnlyError) or "READONLY" in str(error)
