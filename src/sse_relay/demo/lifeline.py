"""
A worker's line to the store, which can be cut.

What ``kill -9`` is to a process, a cut is to a worker that is none: whatever it asks never comes back, no wake-up comes
through, and nobody else is told. So the demo can lose its producer and keep its server.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import ParamSpec, TypeVar

from sse_relay.stores.paging import PAGE_BYTES
from sse_relay.stores.protocol import (
    Appended,
    Ended,
    Follower,
    Grant,
    Opened,
    Opening,
    Page,
    RunInfo,
    RunStatus,
    Seal,
    StreamStore,
    Wake,
)
from sse_relay.wire.cursor import Cursor

__all__ = ["Lifeline"]

P = ParamSpec("P")
T = TypeVar("T")


class Lifeline:
    """
    A store as one worker sees it: the store itself, until the line is cut.

    Args:
        store: The store.
    """

    def __init__(self, store: StreamStore) -> None:
        self._store = store
        self._is_cut = False

    def cut(self) -> None:
        """Let nothing through any more, in either direction; for good."""
        self._is_cut = True

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        return await self._ask(self._store.open, opening)

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records."""
        return await self._ask(self._store.append, grant, first_offset, frames, seal)

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew leases."""
        return await self._ask(self._store.renew, grants)

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        return await self._ask(self._store.cancel, run_id, reason)

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        return await self._ask(self._store.end, run_id, seal, lapsed_only=lapsed_only)

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read records."""
        return await self._ask(self._store.read, run_id, after, limit=limit, max_bytes=max_bytes)

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        return await self._ask(self._store.info, run_id)

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key."""
        return await self._ask(self._store.lookup, key)

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs."""
        await self._through()
        async for info in self._store.runs(status):
            await self._through()
            yield info

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        """Tell running runs whose lease has passed."""
        return await self._ask(self._store.lapsed, limit)

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs, for as long as the line is there."""

        def hear(wake: Wake) -> None:
            if not self._is_cut:
                on_wake(wake)

        return await self._ask(self._store.follow, hear)

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id, for which nobody is asked."""
        return self._store.new_run_id(key)

    async def aclose(self) -> None:
        """Nothing to let go of: the store is somebody else's."""

    async def _ask(self, operation: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        await self._through()
        answer = await operation(*args, **options)
        await self._through()  # cut meanwhile: it may be done, and nobody here will know
        return answer

    async def _through(self) -> None:
        if self._is_cut:
            await asyncio.get_running_loop().create_future()
