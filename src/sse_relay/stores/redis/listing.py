"""The runs of all partitions, newest first."""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from sse_relay.stores.readings import RunInfo
from sse_relay.stores.redis.keys import PARTITIONS
from sse_relay.stores.redis.snapshot import Snapshot

__all__ = ["newest_first"]

Fetch = Callable[[int, bytes], Awaitable[list[Any]]]


class _Partition:
    """What was fetched of one partition and not told yet, oldest first."""

    __slots__ = ("_before", "_fetch", "_number", "ready")

    def __init__(self, fetch: Fetch, number: int) -> None:
        self._fetch = fetch
        self._number = number
        self._before = b"+inf"
        self.ready: list[RunInfo] = []

    async def fill(self) -> None:
        while self._before and not self.ready:
            self._before, *found = await self._fetch(self._number, self._before)
            self.ready = [Snapshot(flat).info() for flat in reversed(found)]


async def newest_first(fetch: Fetch) -> AsyncGenerator[RunInfo, None]:
    """
    Merge the partitions.

    Args:
        fetch: Lists some runs of a partition, from a place on: first the next place, or nothing, then the runs.
    """
    partitions = [_Partition(fetch, number) for number in range(PARTITIONS)]
    await asyncio.gather(*[partition.fill() for partition in partitions])
    queue = [(-part.ready[-1].created_at, number) for number, part in enumerate(partitions) if part.ready]
    heapq.heapify(queue)
    while queue:
        number = queue[0][1]
        part = partitions[number]
        yield part.ready.pop()
        await part.fill()
        if part.ready:
            heapq.heapreplace(queue, (-part.ready[-1].created_at, number))
        else:
            heapq.heappop(queue)
