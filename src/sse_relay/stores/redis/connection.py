"""
Connections of our own, whatever client we were given.

A client's pool retries what may have been done, waits for its own time-outs, and is shared with whoever else uses the
client. From it we take where the server is and who we are, and nothing else: no retries, no time-out of a read (each
exchange has a deadline of its own), the older protocol, which every server speaks and whose replies have one shape.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from redis.exceptions import RedisError

from sse_relay.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Connection", "Connector", "border"]

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


class Connector:
    """
    Make connections to where a client is connected.

    Args:
        client: The client.
        deadline: How long connecting may take, in seconds.

    Raises:
        TypeError: The client is not one of one node.
    """

    def __init__(self, client: "Redis", deadline: float) -> None:
        pool: Any = getattr(client, "connection_pool", None)
        if pool is None:
            raise TypeError(f"a client of one node is needed, with a pool; not a {type(client).__qualname__}")
        self._client = client  # a Sentinel's connections ask its pool where the primary is
        given: dict[str, Any] = pool.connection_kwargs
        self._make: Any = pool.connection_class
        self._options: dict[str, Any] = {
            name: value
            for name, value in given.items()
            if name not in _NOT_OURS and not name.startswith(_NOT_OURS_EITHER)
        } | {"protocol": 2, "decode_responses": False, "socket_timeout": None, "socket_connect_timeout": deadline}
        self._deadline = deadline

    async def connect(self) -> Connection:
        """
        Make one.

        Raises:
            StoreUnavailableError: There is none to be had.
        """
        connection = cast("Connection", self._make(**self._options))
        async with border():
            try:
                async with asyncio.timeout(self._deadline):
                    await connection.connect()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection


@asynccontextmanager
async def border() -> AsyncGenerator[None, None]:
    """Turn whatever a connection raises into our own error."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error
