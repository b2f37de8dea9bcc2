"""One connection, on which all calls of a process are pipelined."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from sse_relay import StoreUnavailableError
from sse_relay.stores.redis.call import RefusedError
from sse_relay.stores.redis.connection import Connection, Connector
from sse_relay.stores.redis.ear import Ear
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.scripts import Script
from tests.stores.redis.proxy import Proxy, through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually

COUNT = Script("count", "redis.call('PEXPIRE', KEYS[1], 60000) return redis.call('INCR', KEYS[1])")
ECHO = Script("echo", "return ARGV[1]")
FAIL = Script("fail", "return redis.error_reply('WRONG it is')")


@asynccontextmanager
async def linked(server: Server, deadline: float = 5.0) -> AsyncGenerator[tuple[Link, Proxy], None]:
    async with through(server.socket) as proxy:
        link = Link(Connector(server.client(unix_socket_path=proxy.path), deadline).connect, deadline)
        try:
            yield link, proxy
        finally:
            await link.aclose()


def test_many_calls_share_a_connection(server: Server) -> None:
    """L6: what is asked at once is pipelined on one connection, and each call gets its own answer."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            answers = await asyncio.gather(*[link.call(ECHO, [], str(number).encode()) for number in range(2500)])
            assert answers == [str(number).encode() for number in range(2500)]
            assert proxy.accepted == 1

    asyncio.run(main())


def test_a_script_that_the_server_forgot_is_sent_again(server: Server, prefix: str) -> None:
    """SCRIPT FLUSH, as after a failover: nobody notices, also many at once, and each call is done once."""

    async def main() -> None:
        client = server.client()
        async with linked(server) as (link, _):
            for round_ in range(3):
                await client.script_flush()
                counts = await asyncio.gather(*[link.call(COUNT, [prefix]) for _ in range(20)])
                assert sorted(counts) == list(range(20 * round_ + 1, 20 * round_ + 21))
        await client.aclose()

    asyncio.run(main())


def test_nothing_is_sent_twice(server: Server, prefix: str) -> None:
    """I5: when answers are lost the calls fail, each was done once, and what is asked next gets through."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            assert len(await asyncio.gather(*[link.call(COUNT, [prefix]) for _ in range(5)])) == 5
            proxy.loses = 1
            lost = await asyncio.gather(*[link.call(COUNT, [prefix]) for _ in range(5)], return_exceptions=True)
            assert all(isinstance(error, StoreUnavailableError) for error in lost)
            assert await link.call(COUNT, [prefix]) == 11
            assert proxy.accepted == 2

    asyncio.run(main())


def test_a_connection_that_died_while_idle_costs_no_call(server: Server, prefix: str) -> None:
    """A server that hung up between two calls is noticed before anything is sent."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            for number in range(1, 4):
                assert await link.call(COUNT, [prefix]) == number
                proxy.cut()
                await eventually(lambda: link._pipe is None)
            assert proxy.accepted == 3

    asyncio.run(main())


def test_others_hear_before_whoever_asked(server: Server, prefix: str) -> None:
    """What a script tells others after a silence leaves the server before its answer; frequent calls ask no more."""
    tell = Script("append", "redis.call('PUBLISH', KEYS[1], ARGV[1]) return ARGV[1]")

    async def main() -> None:
        client = server.client()
        heard: list[tuple[str, bytes]] = []
        connector = Connector(server.client(), 5.0)
        ready = asyncio.Event()
        ear = Ear(connector.connect, lambda _, said: heard.append(("heard", said)), lambda _: ready.set(), 5.0)
        ear.listen(prefix)
        await ready.wait()
        link = Link(connector.connect, 5.0)
        await link.call(tell, [prefix], b"connected")
        heard.clear()

        async def ask(said: bytes) -> None:
            heard.append(("answered", await link.call(tell, [prefix], said)))

        before = await pings(client)
        for number in range(20):
            await asyncio.sleep(0.003)
            await ask(b"%d" % number)
        assert await pings(client) == before + 20
        for _ in range(1000):
            await ask(b"more")
        assert await pings(client) < before + 20 + 100
        assert heard[:40] == [(how, b"%d" % number) for number in range(20) for how in ("heard", "answered")]
        await link.aclose()
        await ear.aclose()
        await client.aclose()

    asyncio.run(main())


async def pings(client: Any) -> int:
    told = (await client.info("commandstats")).get("cmdstat_ping", {"calls": 0})
    calls: int = told["calls"]
    return calls


def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    """A half-open connection costs the deadline; after it a new one is tried."""

    async def main() -> None:
        async with linked(server, 0.2) as (link, proxy):
            assert await link.call(ECHO, [], b"a") == b"a"
            proxy.hold()
            begun = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailableError, match="TimeoutError"):
                await link.call(ECHO, [], b"b")
            assert asyncio.get_running_loop().time() - begun < 1.0
            proxy.release()
            assert await link.call(ECHO, [], b"c") == b"c"

    asyncio.run(main())


def test_an_error_of_a_script_hurts_its_call_only(server: Server) -> None:
    """What a script answers with an error is unavailable for whoever asked; its neighbours get their answers."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            calls = [link.call(ECHO, [], b"a"), link.call(FAIL, []), link.call(ECHO, [], b"b")]
            first, failed, last = await asyncio.gather(*calls, return_exceptions=True)
            assert (first, last, proxy.accepted) == (b"a", b"b", 1)
            assert isinstance(failed, StoreUnavailableError)
            assert "WRONG" in failed.detail

    asyncio.run(main())


@pytest.mark.parametrize("settles", [True, False])
def test_a_cancelled_call_leaves_the_connection_whole(settles: bool, server: Server) -> None:
    """I9: a call that is cancelled under way costs its neighbours nothing; one that settles waits until it is done."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            assert await link.call(ECHO, [], b"a") == b"a"
            proxy.hold()
            cancelled = asyncio.create_task(link.call(ECHO, [], b"b", settles=settles))
            neighbour = asyncio.create_task(link.call(ECHO, [], b"c"))
            await eventually(lambda: proxy.held == 1)
            cancelled.cancel()
            await asyncio.wait({cancelled}, timeout=0.02)
            assert cancelled.done() is not settles
            proxy.release()
            assert await neighbour == b"c"
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert await link.call(ECHO, [], b"d") == b"d"
            assert proxy.accepted == 1

    asyncio.run(main())


def test_a_server_that_hangs_holds_up_no_cancellation(server: Server) -> None:
    """I9, L8: a call that settles lets go within a moment when no answer comes, also if it is cancelled repeatedly."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            await link.call(ECHO, [], b"a")
            proxy.hold()
            cancelled = asyncio.create_task(link.call(ECHO, [], b"b", settles=True))
            await eventually(lambda: proxy.held == 1)
            begun = asyncio.get_running_loop().time()
            while not cancelled.done():
                cancelled.cancel()
                await asyncio.wait({cancelled}, timeout=0.02)
            assert cancelled.cancelled()
            assert asyncio.get_running_loop().time() - begun < 1.0
            proxy.release()
            assert await link.call(ECHO, [], b"c") == b"c"

    asyncio.run(main())


def test_what_was_not_sent_is_withdrawn(server: Server, prefix: str) -> None:
    """A call that is cancelled while it waits for its turn is not sent at all, and waits for nothing."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            await link.call(ECHO, [], b"a")
            proxy.hold()
            under_way = asyncio.create_task(link.call(ECHO, [], b"b"))
            await eventually(lambda: proxy.held == 1)
            waiting = asyncio.create_task(link.call(COUNT, [prefix], settles=True))
            await asyncio.sleep(0)
            begun = asyncio.get_running_loop().time()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert asyncio.get_running_loop().time() - begun < 0.1
            proxy.release()
            assert await under_way == b"b"
            assert await link.call(COUNT, [prefix]) == 1

    asyncio.run(main())


def test_a_server_that_became_a_replica_is_left(server: Server, prefix: str) -> None:
    """After a failover the old primary takes no writes: the call fails, and the next one connects anew."""

    async def main() -> None:
        client: Any = server.client()
        async with linked(server) as (link, proxy):
            await link.call(COUNT, [prefix])
            await client.execute_command("REPLICAOF", "127.0.0.1", "1")  # nobody listens there
            try:
                with pytest.raises(StoreUnavailableError, match="read only replica"):
                    await link.call(COUNT, [prefix])
            finally:
                await client.execute_command("REPLICAOF", "NO", "ONE")
            assert await link.call(COUNT, [prefix]) == 2
            assert proxy.accepted == 2
        await client.aclose()

    asyncio.run(main())


def test_what_waits_can_be_withdrawn(server: Server, prefix: str) -> None:
    """I5: what was not sent yet can be refused at once, to be asked elsewhere; what is under way is answered."""

    async def main() -> None:
        async with linked(server) as (link, proxy):
            await link.call(ECHO, [], b"a")
            proxy.hold()
            under_way = asyncio.create_task(link.call(ECHO, [], b"b"))
            await eventually(lambda: proxy.held == 1)
            waiting = [asyncio.create_task(link.call(COUNT, [prefix])) for _ in range(3)]
            await asyncio.sleep(0)
            link.withdraw()
            refused = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(told, RefusedError) for told in refused)
            proxy.release()
            assert await under_way == b"b"
            assert await link.call(COUNT, [prefix]) == 1

    asyncio.run(main())


def test_a_node_that_does_not_answer_is_told_of() -> None:
    """On a Cluster somebody is told each time that a node fails, whether or not the caller still waits."""

    async def main() -> None:
        lost = list[int]()

        async def connect() -> Connection:
            await asyncio.sleep(0)
            raise StoreUnavailableError("nobody is there")

        link = Link(connect, 5.0, lambda: lost.append(1))
        with pytest.raises(RefusedError, match="nobody is there"):
            await link.call(ECHO, [], b"a")
        left = asyncio.create_task(link.call(ECHO, [], b"b"))
        await asyncio.sleep(0)  # it is asked
        await asyncio.sleep(0)  # a connection is made
        left.cancel()
        await eventually(lambda: len(lost) == 2)
        await link.aclose()

    asyncio.run(main())


def test_the_connection_belongs_to_nobodys_request(server: Server) -> None:
    """What connects knows nothing of the context of whoever happened to ask first."""
    asks: ContextVar[str] = ContextVar("asks", default="nobody")

    async def main() -> None:
        found: list[str] = []
        connector = Connector(server.client(), 5.0)

        async def connect() -> Connection:
            found.append(asks.get())
            return await connector.connect()

        asks.set("a request")
        link = Link(connect, 5.0)
        await link.call(ECHO, [], b"a")
        await link.aclose()
        ear = Ear(connect, print, print, 5.0)
        ear.listen("a")
        await eventually(lambda: len(found) == 2)
        await ear.aclose()
        assert found == ["nobody", "nobody"]

    asyncio.run(main())


def test_a_closed_link_refuses(server: Server) -> None:
    """L7: once it is closed there is no connection and no task left, and a call is refused, however often."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            link = Link(Connector(server.client(unix_socket_path=proxy.path), 5.0).connect, 5.0)
            asked = asyncio.create_task(link.call(ECHO, [], b"a"))
            await asyncio.sleep(0)
            for _ in range(2):
                await link.aclose()
            assert await asked == b"a"
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="closed"):
                    await link.call(ECHO, [], b"a")
            assert proxy.accepted == 1

    asyncio.run(main())
