"""
Where the primary is, as the sentinels say, each of them asked once and briefly.

A Sentinel's own clients ask one that is down again and again, for a minute, before they ask the next one. A store has
seconds, and a sentinel is at times down together with the primary.
"""

import asyncio
from copy import copy
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ["Sentinels"]


class Sentinels:
    """
    Answer what the connections of a Sentinel's pool ask it.

    Args:
        pool: The pool; it knows the sentinels, and the primary's name.
        deadline: How long all of it may take, in seconds.

    Attributes:
        is_master: The primary is wanted, and no replica.
        check_connection: A new connection says nothing of its own.
    """

    is_master: bool = True
    check_connection: bool = False

    def __init__(self, pool: Any, deadline: float) -> None:  # noqa: ANN401 - redis-py has no types for it
        self._manager = copy(pool.sentinel_manager)
        patience = deadline / (len(self._manager.sentinels) + 1)
        self._manager.sentinels = [_brief(client.connection_pool, patience) for client in self._manager.sentinels]
        self._name: str = pool.service_name
        self._one_at_a_time = asyncio.Lock()

    async def get_master_address(self) -> tuple[str, int]:
        """Ask one after the other; who knew is asked first the next time."""
        async with self._one_at_a_time:
            try:
                address: tuple[str, int] = await self._manager.discover_master(self._name)
                return address
            finally:
                for client in self._manager.sentinels:
                    await client.aclose()


def _brief(pool: Any, patience: float) -> Redis:  # noqa: ANN401 - as above
    once: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
    }
    options: dict[str, Any] = {**pool.connection_kwargs, **once}
    return Redis.from_pool(ConnectionPool(connection_class=pool.connection_class, **options))
