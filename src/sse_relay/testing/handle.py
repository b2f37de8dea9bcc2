"""A store in front of another one, which passes on whatever is asked."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

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

__all__ = ["StoreHandle", "listed"]

T = TypeVar("T")


class StoreHandle:
    """
    A store in front of another one.

    Args:
        store: The other one.

    Attributes:
        store: The other one.
        calls: How often each operation was asked for.
    """

    def __init__(self, store: StreamStore) -> None:
        self.store: StreamStore = store
        self.calls: Counter[str] = Counter()

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        return await self._ask("open", partial(self.store.open, opening))

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records, and with a seal close the log."""
        return await self._ask("append", partial(self.store.append, grant, first_offset, list(frames), seal))

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew many leases."""
        return await self._ask("renew", partial(self.store.renew, list(grants)))

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        return await self._ask("cancel", partial(self.store.cancel, run_id, reason))

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        return await self._ask("end", partial(self.store.end, run_id, seal, lapsed_only=lapsed_only))

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read the records after a place."""
        return await self._ask("read", partial(self.store.read, run_id, after, limit=limit, max_bytes=max_bytes))

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        return await self._ask("info", partial(self.store.info, run_id))

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key."""
        return await self._ask("lookup", partial(self.store.lookup, key))

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs."""
        for info in await self._ask("runs", partial(listed, self.store, status)):
            yield info

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        """Tell running runs whose lease has passed."""
        return await self._ask("lapsed", partial(self.store.lapsed, limit))

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs."""
        return await self._ask("follow", partial(self.store.follow, on_wake))

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id."""
        return self.store.new_run_id(key)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self.store.aclose()

    async def _ask(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        self.calls[operation] += 1
        return await ask()


async def listed(store: StreamStore, status: RunStatus | None = None) -> list[RunInfo]:
    """List the runs of a store."""
    return [info async for info in store.runs(status)]
