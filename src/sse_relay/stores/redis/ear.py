"""
One connection that hears of channels, and of nothing twice that it could have missed.

A subscription holds from the server's acknowledgement on, and after each connection that was lost all of them are made
again: whenever one is acknowledged, whoever listens is told to look for what it may have missed. A connection whose
other end is gone says nothing, as does one where nothing happens; so it is asked for a sign of life now and then.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple, Protocol

from redis.exceptions import MovedError

from sse_relay.stores.redis.connection import Connection, border, greet
from sse_relay.stores.redis.pipe import Pipe
from sse_relay.stores.redis.resp import pack

__all__ = ["Ear", "Shard"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds between two connections

_logger = logging.getLogger("sse_relay")


class _Words(NamedTuple):
    """How a server is spoken to, and what it answers."""

    listen: bytes
    ignore: bytes
    heard: bytes
    listens: bytes
    ignores: bytes


_PLAIN = _Words(b"SUBSCRIBE", b"UNSUBSCRIBE", b"message", b"subscribe", b"unsubscribe")
_SHARDED = _Words(b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"smessage", b"ssubscribe", b"sunsubscribe")


class Shard(Protocol):
    """Whom an ear at a node of a Cluster tells that its channels may be heard elsewhere."""

    def lost(self) -> None:
        """The node does not answer."""
        ...

    def moved(self, error: MovedError) -> None:
        """The node says where a channel is."""
        ...


class Ear:
    """
    Hear of channels, from the first `listen` on.

    Args:
        connect: Makes a connection.
        heard: Called with a channel and what was said there; it must not raise.
        confirmed: Called with a channel when what is said there is heard from now on; it must not raise.
        probe: How long a silent connection is trusted, in seconds.
        shard: On a Cluster, whom to tell of changes.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        heard: Callable[[str, bytes], None],
        confirmed: Callable[[str], None],
        probe: float,
        shard: Shard | None = None,
    ) -> None:
        self._connect = connect
        self._heard = heard
        self._confirmed = confirmed
        self._probe = probe
        self._shard = shard
        self._words = _PLAIN
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._alive = True
        self._lost: Exception | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def listen(self, channel: str) -> None:
        """Hear of a channel."""
        self._wanted.add(channel)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.Task(self._run(), name="sse_relay redis ear", context=Context())  # nobody's request

    def ignore(self, channel: str) -> None:
        """Hear of a channel no more."""
        self._wanted.discard(channel)
        self._changed.set()

    async def aclose(self) -> None:
        """Hear of nothing, and let go of the connection."""
        self._closed = True
        self._changed.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed:
            self._asked = set()
            try:
                async with border():
                    connection = await self._connect()
                    pause = _FIRST_PAUSE
                    await self._use(connection)
            except ConnectionError as error:
                _logger.info("not hearing of runs for a moment: %s", error)
                if self._shard is not None:
                    self._shard.lost()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - only so that not all come at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _use(self, connection: Connection) -> None:
        try:
            if self._shard is not None:
                async with asyncio.timeout(self._probe):
                    self._words = _SHARDED if (await greet(connection)).version >= (7, 0) else _PLAIN
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._lost = None
        pipe = Pipe(connection, self._said, self._failed)
        try:
            await self._tend(pipe)
        finally:
            await pipe.aclose()

    async def _tend(self, pipe: Pipe) -> None:
        """Keep the subscriptions as they are wanted, and ask for signs of life, until nothing can be heard any more."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._probe / 2
        self._alive = True
        while not self._closed:
            if self._lost is not None:
                raise self._lost
            self._changed.clear()
            wanted, asked, self._asked = set(self._wanted), self._asked, set(self._wanted)
            self._say(pipe, self._words.listen, wanted - asked)
            self._say(pipe, self._words.ignore, asked - wanted)
            if loop.time() >= due:
                if not self._alive:
                    raise TimeoutError(f"nothing was heard for {self._probe:g} s")
                self._alive = False
                due = loop.time() + self._probe / 2
                pipe.send(pack(b"PING"))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._changed.wait()

    def _say(self, pipe: Pipe, command: bytes, channels: Iterable[str]) -> None:
        names = sorted(name.encode() for name in channels)
        if names and self._words is _SHARDED:  # channels of several slots cannot be in one command
            pipe.send(b"".join([pack(command, name) for name in names]))
        elif names:
            pipe.send(pack(command, *names))

    def _said(self, said: Any) -> None:  # noqa: ANN401 - whatever the server says
        words = self._words
        self._alive = True
        is_error = isinstance(said, Exception)
        if not is_error and said[0] == words.heard:
            self._heard(said[1].decode(), said[2])
        elif isinstance(said, MovedError) and self._shard is not None:
            self._shard.moved(said)
        elif is_error:
            self._failed(said)
        elif said[0] == words.listens:
            self._confirmed(said[1].decode())
        elif said[0] == words.ignores and (channel := said[1].decode()) in self._asked:
            self._asked.discard(channel)  # the server has sent us away: asking again it says where to
            self._changed.set()

    def _failed(self, error: Exception) -> None:
        self._lost = error
        self._changed.set()
