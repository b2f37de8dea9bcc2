"""What the processes of a stage share: a real server, which may lose what it has, and a wire to it for each process."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from sse_relay import RunExpiredError, RunNotFoundError
from sse_relay.stores.protocol import RunInfo, StreamStore
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.keys import Keys
from tests.histories.ground import Ground
from tests.redis_histories.clock import ServerClockLoop
from tests.runs.faults import settle
from tests.stores.redis.proxy import Proxy, through
from tests.stores.redis.servers import Server

RETENTION = 3600.0
_PREFIX = "history"
_LOOKS = 100
_KEYS = Keys(_PREFIX)


class RedisGround(Ground):
    """
    A database of a server.

    Attributes:
        proxies: The wires of those processes that are alive.
    """

    slack = 1.0  # the clock goes on while a busy machine works

    def __init__(self, server: Server, database: int) -> None:
        self.trims = False
        self.proxies: dict[int, Proxy] = {}
        self._server = server
        self._database = database
        self._client = Redis(unix_socket_path=server.socket, db=database)
        self._store = self._connected(server.socket)
        self.store: StreamStore = self._store
        self._stores: list[RedisStore] = []
        self._wires = AsyncExitStack()

    async def open(self, places: int) -> None:
        """Begin with nothing stored, and a wire to each place."""
        await self._client.flushdb()
        for place in range(places):
            self.proxies[place] = await self._wires.enter_async_context(through(self._server.socket))

    def process(self, place: int) -> StreamStore:
        """Make a store of its own."""
        self._stores.append(store := self._connected(self.proxies[place].path))
        return store

    async def running(self, run_ids: Iterable[str]) -> list[RunInfo]:
        """Tell which runs are running."""
        told = await asyncio.gather(*map(self._store.info, run_ids), return_exceptions=True)
        for answer in told:
            if isinstance(answer, BaseException) and not isinstance(answer, (RunNotFoundError, RunExpiredError)):
                raise answer
        return [info for info in told if isinstance(info, RunInfo) and info.outcome is None]

    async def forget_scripts(self) -> None:
        """Let the server forget every script."""
        await self._client.script_flush()

    async def take(self, run_id: str, what: str) -> None:
        """Delete what is stored of a run: all, its state, its whole log, or a piece of that."""
        names = [name.decode() for name in await self._client.keys(f"*:{run_id}") if isinstance(name, bytes)]
        state = _KEYS.run(run_id)
        taken = {"all": names, "state": [state], "whole log": [name for name in names if name != state]}
        await self._client.delete("", *taken.get(what, [name for name in names if f":{what}:" in name]))

    async def expire(self, run_id: str) -> None:
        """Let a run have been silent for the whole retention."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ServerClockLoop)
        loop.clock.age(int(RETENTION * 1000), _KEYS.run(run_id))

    async def clear(self) -> None:
        """Look whether anything is left of processes that are gone, or is there for ever; let go of the server."""
        for store in self._stores:
            await store.aclose()
        await self._wires.aclose()
        looks, heard = 0, await self._client.pubsub_channels(f"{_PREFIX}:*")
        while heard and (looks := looks + 1) < _LOOKS:  # the server notices a closed connection when it comes to it
            heard = await self._client.pubsub_channels(f"{_PREFIX}:*")
        assert not heard, f"L6: somebody still hears of {heard}"
        names = await self._client.keys()
        left = [await self._client.pttl(name) for name in names]
        assert all(time > 0 for time in left), f"L7: {names} have {left} ms to live"
        await settle()

    async def close(self) -> None:
        """Let go of the server."""
        await self._store.aclose()
        await self._client.aclose()

    def _connected(self, path: str) -> RedisStore:
        return RedisStore.from_url(f"unix://{path}?db={self._database}", prefix=_PREFIX, retention=RETENTION)
