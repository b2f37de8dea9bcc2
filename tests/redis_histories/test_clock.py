"""The clock of a loop and its server: what it skips is past for both, and it skips nothing that somebody is busy in."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from sse_relay import RunExpiredError, RunNotFoundError
from sse_relay.stores.redis import RedisStore
from sse_relay.testing.stores.under_test import frames, start, wrote
from tests.redis_histories.clock import ServerClockLoop
from tests.stores.redis.servers import Server

DATABASE = 12
BUSY = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local until_ = now() + 200000
while now() < until_ do end
"""


def run(server: Server, test: Callable[[RedisStore, Redis], Awaitable[None]]) -> None:
    """Run a test on the clock of a server."""

    async def main() -> None:
        client = server.client(db=DATABASE)
        store = RedisStore.from_url(f"unix://{server.socket}?db={DATABASE}", prefix="clock", retention=600)
        try:
            await client.flushdb()
            await test(store, client)
        finally:
            await store.aclose()
            await client.aclose()

    with asyncio.Runner(loop_factory=lambda: ServerClockLoop(server.socket, DATABASE)) as runner:
        runner.run(main())


def test_what_is_skipped_is_past_for_the_server(server: Server) -> None:
    """L7: leases lapse, runs expire, tombstones go, and so does every key, within seconds of real time."""

    async def test(store: RedisStore, client: Redis) -> None:
        began = time.monotonic()
        grant = await start(store, lease=30.0, key="k", run_id="r")
        await wrote(store, grant, 1, frames("1"))
        created = (await store.info("r")).created_at
        await asyncio.sleep(29)
        assert not await store.lapsed()
        await asyncio.sleep(2)
        assert await store.lapsed() == ["r"]
        assert created - (await store.info("r")).created_at == pytest.approx(31, abs=1)
        await asyncio.sleep(600)
        with pytest.raises(RunExpiredError):
            await store.info("r")
        await asyncio.sleep(600)
        with pytest.raises(RunNotFoundError):
            await store.info("r")
        await asyncio.sleep(1200)
        assert not await client.keys()
        assert time.monotonic() < began + 10

    run(server, test)


def test_nothing_is_skipped_while_the_server_is_busy(server: Server) -> None:
    """L1: a deadline does not pass because the server takes a while, however much it was sent."""

    async def test(store: RedisStore, client: Redis) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ServerClockLoop)
        grant = await start(store, lease=600.0)
        skipped = loop.clock.skipped
        large = frames("x" * 4_000_000)  # read in many turns of the server's loop, before anything is answered
        await asyncio.gather(client.eval(BUSY, 0), store.append(grant, 1, large), store.info(grant.run_id))
        assert loop.clock.skipped == skipped

    run(server, test)


def test_who_waits_for_nothing_is_told(server: Server) -> None:
    """L7: a loop in which nothing can happen any more raises, and does not hang."""

    async def test(store: RedisStore, client: Redis) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(server, test)
