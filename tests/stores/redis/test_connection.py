"""Connections of our own, whatever client we were given."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, ResponseError

from sse_relay import StoreUnavailableError
from sse_relay.stores.redis.connection import Connector, Node, border, greet
from tests.naming import named
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import Server


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"protocol": 3},
        {"protocol": 2, "decode_responses": True, "encoding": "latin-1"},
        {"protocol": 3, "socket_timeout": 0.001, "health_check_interval": 1},
        {"retry": Retry(ConstantBackoff(9), 9), "retry_on_error": [RedisConnectionError]},
        {"client_name": "mine", "db": 3},
    ],
    ids=named,
)
def test_any_client_will_do(options: dict[str, Any], server: Server) -> None:
    """Whatever the client's protocol, decoding, time-outs and retries, ours has plain bytes; names and db are kept."""

    async def main() -> None:
        connection = await Connector(server.client(**options), 5.0).connect()
        for command, wanted in (
            (("ECHO", b"\xff"), b"\xff"),
            (("CLIENT", "GETNAME"), options["client_name"].encode() if "client_name" in options else None),
        ):
            await connection.send_packed_command(connection.pack_command(*command))
            assert await connection.read_response() == wanted
        await connection.send_packed_command(connection.pack_command("HGETALL", "nothing"))
        assert await connection.read_response() == []  # the shape of RESP2
        await connection.send_packed_command(connection.pack_command("CLIENT", "INFO"))
        assert f" db={options.get('db', 0)} ".encode() in await connection.read_response()
        await connection.disconnect()

    asyncio.run(main())


def test_a_clients_pool_is_left_alone(server: Server) -> None:
    """A pool with one connection, which is in use, is no hindrance."""

    async def main() -> None:
        pool: Any = BlockingConnectionPool.from_url(f"unix://{server.socket}", max_connections=1, timeout=0.01)
        client = Redis(connection_pool=pool)
        taken = await pool.get_connection()
        connection = await Connector(client, 5.0).connect()
        await connection.disconnect()
        await pool.release(taken)
        await client.aclose()
        await pool.disconnect()

    asyncio.run(main())


def test_a_client_of_a_cluster_will_do() -> None:
    """From a client of a Cluster we take where it begins, who we are, and where its nodes are reached from here."""
    nodes = [ClusterNode("127.0.0.1", port) for port in (1, 2)]
    cluster: Any = RedisCluster(
        startup_nodes=nodes, username="me", password="secret", ssl=True, address_remap=lambda at: (at[0], at[1] + 1)
    )
    connector = Connector(cluster, 1.0)
    assert connector.nodes == [Node("127.0.0.1", 1), Node("127.0.0.1", 2)]
    assert connector._make.__name__ == "SSLConnection"
    assert (connector._options["username"], connector._options["password"]) == ("me", "secret")
    by = Node("10.0.0.1", 5)
    assert connector.reached("10.0.0.2", 7, by) == ("10.0.0.2", 8)
    assert connector.reached("", 7, by) == connector.reached("?", 7, by) == ("10.0.0.1", 8)
    assert connector.redirected(MovedError("1 :7"), by) == ("10.0.0.1", 8)


def test_any_other_client_is_refused() -> None:
    """What is no client of redis.asyncio is refused at once, with a word on what is needed."""
    other: Any = object()
    with pytest.raises(TypeError, match=r"a Redis or a RedisCluster of redis.asyncio is needed, not a object"):
        Connector(other, 1.0)


def test_a_server_says_what_it_is(server: Server, cluster: Cluster) -> None:
    """A server tells its version, and whether it is one of a Cluster; each node is connected to by its name."""

    async def main() -> None:
        connector = Connector(cluster.client(), 5.0)
        alone = Connector(server.client(), 5.0)
        assert alone.nodes == []
        for connection, modern, many in (
            (await alone.connect(), server.modern, False),
            (await connector.connect(Node("127.0.0.1", cluster.primaries[1].port)), cluster.modern, True),
        ):
            told = await greet(connection)
            assert (told.version >= (7, 0), told.cluster) == (modern, many)
            await connection.send_packed_command(connection.pack_command("CLIENT", "INFO"))
            assert not many or f" laddr=127.0.0.1:{cluster.primaries[1].port} ".encode() in (
                await connection.read_response()
            )
            await connection.disconnect()

    asyncio.run(main())


def test_no_server_is_an_error_of_ours(tmp_path: Any) -> None:
    """Where nobody listens, the error is the store's, and says what happened."""

    async def main() -> None:
        with pytest.raises(StoreUnavailableError, match=r"ConnectionError|FileNotFoundError"):
            await Connector(Redis(unix_socket_path=str(tmp_path / "nobody")), 1.0).connect()

    asyncio.run(main())


def test_a_silent_server_is_given_up() -> None:
    """A server that takes the connection and says nothing costs the deadline, and no more."""

    async def main() -> None:
        held: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(StoreUnavailableError):
            await Connector(Redis(port=port, client_name="x"), 0.2).connect()
        assert loop.time() - begun < 2.0
        for writer in held:
            writer.close()
        silent.close()

    asyncio.run(main())


@pytest.mark.parametrize("error", [RedisConnectionError("x"), ResponseError("x"), OSError("x"), TimeoutError("x")])
def test_the_border_lets_no_foreign_error_through(error: Exception) -> None:
    """Every error of the connection becomes the store's own, whose cause is told; others stay as they are."""

    async def main() -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            async with border():
                raise error
        assert caught.value.__cause__ is error
        for ours in (KeyError(), StoreUnavailableError("x")):
            with pytest.raises(type(ours)) as kept:
                async with border():
                    raise ours
            assert kept.value is ours

    asyncio.run(main())
