"""One connection that hears of channels."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.ear import Ear
from tests.stores.redis.proxy import Proxy, through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually


class Heard:
    """What an ear has heard."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.confirmed: list[str] = []

    def heard(self, channel: str, said: bytes) -> None:
        self.said.append((channel, said))

    def confirm(self, channel: str) -> None:
        self.confirmed.append(channel)

    async def hears(self, times: int) -> None:
        await eventually(lambda: len(self.said) >= times)

    async def confirms(self, channel: str, times: int) -> None:
        await eventually(lambda: self.confirmed.count(channel) >= times)


@asynccontextmanager
async def hearing(server: Server, probe: float = 5.0) -> AsyncGenerator[tuple[Ear, Heard, Proxy], None]:
    heard = Heard()
    async with through(server.socket) as proxy:
        connector = Connector(server.client(unix_socket_path=proxy.path), 0.5)
        ear = Ear(connector.connect, heard.heard, heard.confirm, probe)
        try:
            yield ear, heard, proxy
        finally:
            await ear.aclose()


def test_what_is_said_after_the_confirmation_is_heard(server: Server, prefix: str) -> None:
    """A channel is heard from its confirmation on, and only those that are listened to."""

    async def main() -> None:
        client = server.client()
        async with hearing(server) as (ear, heard, proxy):
            ear.listen(f"{prefix}:a")
            await heard.confirms(f"{prefix}:a", 1)
            ear.listen(f"{prefix}:b")
            await heard.confirms(f"{prefix}:b", 1)
            for name in ("c", "a", "b"):
                await client.publish(f"{prefix}:{name}", name)
            await heard.hears(2)
            assert heard.said == [(f"{prefix}:a", b"a"), (f"{prefix}:b", b"b")]
            assert heard.confirmed == [f"{prefix}:a", f"{prefix}:b"]
            assert proxy.accepted == 1
        await client.aclose()

    asyncio.run(main())


def test_who_is_ignored_is_not_subscribed(server: Server, prefix: str) -> None:
    """L6: the server keeps no subscription that nobody wants, and listening again is confirmed again."""

    async def main() -> None:
        client = server.client()

        async def nobody_listens() -> bool:
            return not await client.pubsub_channels(f"{prefix}:*")

        async with hearing(server) as (ear, heard, _):
            ear.listen(f"{prefix}:a")
            await heard.confirms(f"{prefix}:a", 1)
            ear.ignore(f"{prefix}:a")
            await eventually(nobody_listens)
            ear.listen(f"{prefix}:a")
            await heard.confirms(f"{prefix}:a", 2)
        await eventually(nobody_listens)  # the closed ear's connection is gone
        await client.aclose()

    asyncio.run(main())


def test_a_cut_connection_is_made_again(server: Server, prefix: str) -> None:
    """I1: after each cut everything is subscribed again and confirmed again, so that what was missed is looked for."""

    async def main() -> None:
        client = server.client()
        async with hearing(server) as (ear, heard, proxy):
            ear.listen(f"{prefix}:a")
            for times in range(1, 5):
                await heard.confirms(f"{prefix}:a", times)
                await client.publish(f"{prefix}:a", str(times))
                await heard.hears(times)
                proxy.cut()
        await client.aclose()

    asyncio.run(main())


def test_a_half_open_connection_is_found(server: Server, prefix: str) -> None:
    """A connection whose other end says nothing any more is given up after two probes, and made again."""

    async def main() -> None:
        async with hearing(server, probe=0.1) as (ear, heard, proxy):
            ear.listen(f"{prefix}:a")
            await heard.confirms(f"{prefix}:a", 1)
            proxy.hold()
            await eventually(lambda: proxy.accepted >= 2)
            proxy.release()
            await heard.confirms(f"{prefix}:a", 2)

    asyncio.run(main())


def test_a_silent_connection_that_lives_is_kept(server: Server, prefix: str) -> None:
    """Where nothing happens the probes are answered, and no connection is made anew."""

    async def main() -> None:
        client = server.client()

        async def pings() -> int:
            return int((await client.info("commandstats"))["cmdstat_ping"]["calls"])

        async with hearing(server, probe=0.1) as (ear, heard, proxy):
            ear.listen(f"{prefix}:a")
            await heard.confirms(f"{prefix}:a", 1)
            before = await pings()

            async def enough() -> bool:
                return await pings() >= before + 4

            await eventually(enough)
            assert (proxy.accepted, heard.confirmed) == (1, [f"{prefix}:a"])
        await client.aclose()

    asyncio.run(main())


def test_closing_leaves_nothing(server: Server, prefix: str) -> None:
    """L7: a closed ear has no task, whether it was connected, is connecting, or never listened."""

    async def main() -> None:
        for listens in (False, True):
            async with hearing(server) as (ear, heard, _):
                if listens:
                    ear.listen(f"{prefix}:a")
                    await asyncio.sleep(0)
                await ear.aclose()
                await ear.aclose()
                assert not [task for task in asyncio.all_tasks() if task.get_name() == "sse_relay redis ear"]
                assert heard.said == []

    asyncio.run(main())
