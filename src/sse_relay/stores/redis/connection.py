"""
Connections of our own, whatever client we were given.

A client's pool retries what may have been done, waits for its own time-outs, and is shared with whoever else uses the
client. From it we take where the servers are and who we are, and nothing else: no retries, no time-out of a read (each
exchange has a deadline of its own), the older protocol, which every server speaks and whose replies have one shape.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from redis.exceptions import AskError, RedisError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.sentinel import Sentinels

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["Connection", "Connector", "Node", "Server", "border", "greet"]

_OLDEST = (6, 2)
_NOT_OURS = (
    "retry", "retry_on_timeout", "retry_on_error", "health_check_interval", "legacy_responses", "event_dispatcher",
    "himport_registry", "parser_class", "encoding", "encoding_errors", "encoder_class",
)  # fmt: skip
_NOT_OURS_EITHER = ("maint", "orig_", "oss_cluster_maint")


class Connection(Protocol):
    """What we use of a connection of redis-py."""

    async def connect(self) -> None:
        """Connect, and say who we are."""
        ...

    def pack_command(self, *args: bytes | str | int) -> list[bytes]:
        """Write a command."""
        ...

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """Send what was packed."""
        ...

    async def read_response(self) -> Any:  # noqa: ANN401 - whatever the server says
        """Read the next reply, or raise it."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002
        """Close it."""
        ...


class Node(NamedTuple):
    """Where a server of a Cluster listens."""

    host: str
    port: int


class Server(NamedTuple):
    """What a server is: its version, as Redis counts, and whether it is one of a Cluster."""

    version: tuple[int, int]
    cluster: bool


class Connector:
    """
    Make connections to where a client is connected.

    Args:
        client: The client.
        deadline: How long connecting may take, in seconds.

    Attributes:
        nodes: The nodes of a Cluster that the client begins with; none of one node.

    Raises:
        TypeError: The client is neither one of one node nor of a Cluster.
    """

    def __init__(self, client: "Redis | RedisCluster", deadline: float) -> None:
        self._client = client  # a Sentinel's connections ask its pool where the primary is
        source: Any = getattr(client, "connection_pool", None)
        manager: Any = getattr(client, "nodes_manager", None)
        begins: list[Any] = [] if manager is None else list(manager.startup_nodes.values())
        source = begins[0] if begins else source
        if source is None:
            raise TypeError(f"a Redis or a RedisCluster of redis.asyncio is needed, not a {type(client).__qualname__}")
        given: dict[str, Any] = source.connection_kwargs
        self._make: Any = source.connection_class
        self._options: dict[str, Any] = {
            name: value
            for name, value in given.items()
            if name not in _NOT_OURS and not name.startswith(_NOT_OURS_EITHER)
        } | {"protocol": 2, "decode_responses": False, "socket_timeout": None, "socket_connect_timeout": deadline}
        if getattr(source, "sentinel_manager", None) is not None and source.is_master:
            self._options["connection_pool"] = Sentinels(source, deadline)
        self._remap: Callable[[tuple[str, int]], tuple[str, int]] | None = getattr(manager, "address_remap", None)
        self._deadline = deadline
        self.nodes: list[Node] = [Node(node.host, int(node.port)) for node in begins]

    def reached(self, host: str, port: int, by: Node) -> Node:
        """Tell where a node is reached that is there as another one says; a host that it does not tell is its own."""
        named = by.host if host in {"", "?"} else host
        return Node(named, port) if self._remap is None else Node(*self._remap((named, port)))

    def redirected(self, error: AskError, by: Node) -> Node:
        """Tell to which node another one sends us; a `MovedError` is an `AskError`."""
        host, port = cast("tuple[str, int]", error.node_addr)  # pyright: ignore[reportUnknownMemberType]
        return self.reached(host, port, by)

    async def connect(self, node: Node | None = None) -> Connection:
        """
        Make one, of a Cluster to that node.

        Raises:
            StoreUnavailableError: There is none to be had.
        """
        connection = cast("Connection", self._make(**self._options | ({} if node is None else node._asdict())))
        async with border():
            try:
                async with asyncio.timeout(self._deadline):
                    await connection.connect()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection


async def greet(connection: Connection) -> Server:
    """
    Ask a server what it is; one that is still loading its data is not there yet.

    Raises:
        StoreUnavailableError: It is too old.
    """
    packed = [part for command in ("PING", "HELLO") for part in connection.pack_command(command)]
    await connection.send_packed_command(packed, check_health=False)
    await connection.read_response()
    try:
        flat: list[Any] = await connection.read_response()
    except ResponseError:
        flat = [b"version", b"5.0"]  # HELLO came with 6.0
    said: dict[bytes, Any] = dict(zip(flat[::2], flat[1::2], strict=True))
    version: str = said[b"version"].decode()
    major, minor, *_ = [int(part) for part in version.split(".")]
    if (major, minor) < _OLDEST:
        raise StoreUnavailableError(f"the server is Redis {version}, which is too old; use 6.2 or later, or Valkey")
    return Server((major, minor), said.get(b"mode") == b"cluster")


@asynccontextmanager
async def border() -> AsyncGenerator[None, None]:
    """Turn whatever a connection raises into our own error."""
    try:
        yield
    except StoreUnavailableError:
        raise  # it is ours, and an OSError
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error
