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
from typing import Any

from redis.exceptions import RedisError

from sse_relay.stores.redis.connection import Connection, border

__all__ = ["Ear"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds between two connections

_logger = logging.getLogger("sse_relay")


class Ear:
    """
    Hear of channels, from the first `listen` on.

    Args:
        connect: Makes a connection.
        heard: Called with a channel and what was said there; it must not raise.
        confirmed: Called with a channel when what is said there is heard from now on; it must not raise.
        probe: How long a silent connection is trusted, in seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        heard: Callable[[str, bytes], None],
        confirmed: Callable[[str], None],
        probe: float,
    ) -> None:
        self._connect = connect
        self._heard = heard
        self._confirmed = confirmed
        self._probe = probe
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._alive = True
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
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - only so that not all come at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _use(self, connection: Connection) -> None:
        reading = asyncio.create_task(self._read(connection))
        try:
            await self._tend(connection, reading)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            with suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)
        await reading

    async def _tend(self, connection: Connection, reading: asyncio.Task[None]) -> None:
        """Keep the subscriptions as they are wanted, and ask for signs of life, until nothing can be read any more."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._probe
        self._alive = True
        while not (reading.done() or self._closed):
            self._changed.clear()
            wanted, asked = set(self._wanted), self._asked
            await self._say(connection, "SUBSCRIBE", wanted - asked)
            await self._say(connection, "UNSUBSCRIBE", asked - wanted)
            self._asked = wanted
            if loop.time() >= due:
                if not self._alive:
                    raise TimeoutError(f"nothing was heard for {self._probe:g} s")
                self._alive = False
                due = loop.time() + self._probe
                await self._send(connection, "PING")
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({changed, reading}, timeout=due - loop.time(), return_when="FIRST_COMPLETED")
            finally:
                changed.cancel()

    async def _say(self, connection: Connection, command: str, channels: Iterable[str]) -> None:
        if names := sorted(channels):
            await self._send(connection, command, *names)

    async def _send(self, connection: Connection, *command: str) -> None:
        async with asyncio.timeout(self._probe):
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)

    async def _read(self, connection: Connection) -> None:
        while not self._closed:
            said: Any = await connection.read_response()
            self._alive = True
            if said[0] == b"message":
                self._heard(said[1].decode(), said[2])
            elif said[0] == b"subscribe":
                self._confirmed(said[1].decode())
