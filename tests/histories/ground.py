"""What the processes of a stage share: a store in memory, on the loop's clock."""

import asyncio
from collections.abc import Iterable

from sse_relay import MemoryStore
from sse_relay.stores.protocol import RunInfo, StreamStore
from tests.runs.faults import settle


class Ground:
    """
    What processes share.

    Args:
        bound: The most records of a log.
        trims: Whether a full log drops its oldest records, and does not end its run.

    Attributes:
        trims: Whether it does.
        store: What is stored, seen past all faults.
        slack: How much longer than its time something may take, in seconds.
    """

    slack = 1e-6

    def __init__(self, bound: int | None = None, *, trims: bool = False) -> None:
        self.trims = trims
        self.store: StreamStore = MemoryStore(
            clock=asyncio.get_running_loop().time, max_events=bound, on_full="trim" if trims else "fail"
        )

    def process(self, place: int) -> StreamStore:
        """Make what a process at one of the places has of it."""
        return self.store

    async def running(self, run_ids: Iterable[str]) -> list[RunInfo]:
        """Tell which runs are running."""
        return [info async for info in self.store.runs("running")]

    async def clear(self) -> None:
        """Look whether anything is left of processes that are gone."""
        await settle()
        assert isinstance(self.store, MemoryStore)
        assert not self.store._watchers, "L6: somebody is watched still"
