"""Where the primary is, as the sentinels say."""

import asyncio
from typing import Any

import pytest
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from sse_relay.stores.redis.sentinel import Sentinels
from tests.stores.redis.servers import PATIENCE

STATE = {
    "name": "mymaster", "ip": "127.0.0.1", "port": "7001", "flags": "master", "num-other-sentinels": "2",
    "quorum": "2", "num-slaves": "1",
}  # fmt: skip


class Fake:
    """A sentinel that knows the primary, or hears and says nothing."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.asked = 0
        self._deaf = deaf
        self._open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        while count := (await reader.readline())[1:]:
            words = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(int(count))]
            if self._deaf:
                continue
            if words[0].upper() != b"SENTINEL":
                writer.write(b"+OK\r\n")
                continue
            self.asked += 1
            told = [part for pair in STATE.items() for part in pair]
            fields = "".join([f"${len(part)}\r\n{part}\r\n" for part in told])
            writer.write(f"*1\r\n*{len(told)}\r\n{fields}".encode())
        writer.close()

    def close(self) -> None:
        for writer in self._open:
            writer.close()


async def served(fake: Fake) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def pool_of(*ports: int) -> Any:
    sentinel: Any = Sentinel([("127.0.0.1", port) for port in ports], sentinel_kwargs={"protocol": 2})  # type: ignore[no-untyped-call]
    return sentinel.master_for("mymaster").connection_pool


@pytest.mark.parametrize("how", ["dead", "deaf"])
def test_one_sentinel_is_not_needed(how: str) -> None:
    """L2: a sentinel that is down, or does not answer, costs a part of the deadline, and is asked last after it."""

    async def main() -> None:
        knows, down = Fake(), Fake(deaf=True)
        (one, port), (other, other_port) = await served(knows), await served(down)
        if how == "dead":
            other.close()
            await other.wait_closed()
        sentinels = Sentinels(pool_of(other_port, port), 1.5)
        async with asyncio.timeout(PATIENCE):
            assert await sentinels.get_master_address() == ("127.0.0.1", 7001)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await sentinels.get_master_address() == ("127.0.0.1", 7001)
        assert loop.time() - began < 0.4
        assert knows.asked == 2
        for fake, server in ((knows, one), (down, other)):
            fake.close()
            server.close()

    asyncio.run(main())


def test_no_sentinel_is_an_error() -> None:
    """Where nobody knows the primary, that is told within the deadline."""

    async def main() -> None:
        server, port = await served(Fake(deaf=True))
        server.close()
        await server.wait_closed()
        with pytest.raises(RedisError):
            await Sentinels(pool_of(port), 0.5).get_master_address()

    asyncio.run(main())
