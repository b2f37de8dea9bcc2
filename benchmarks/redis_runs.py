"""Runs that are written without a relay, and a store that tells how long it took."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

from sse_relay.outcome import Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Appended, Grant, Opening, Seal
from sse_relay.stores.redis import RedisStore

__all__ = ["SEAL", "Acknowledging", "claimed", "written"]

SEAL = seal_of(Outcome("completed"))
_LEASE = 60.0  # seconds: none passes while we measure


async def claimed(store: RedisStore, runs: int) -> list[Grant]:
    """Claim runs."""

    async def claim() -> Grant:
        grant = (await store.open(Opening(_LEASE, SEAL, SEAL, store.new_run_id()))).grant
        if grant is None:
            raise AssertionError("a new run is nobody else's")
        return grant

    return await asyncio.gather(*[claim() for _ in range(runs)])


async def written(
    store: RedisStore, grants: Sequence[Grant], frame: bytes, count: int, batch: int, *, seal: Seal | None = None
) -> None:
    """Append so many events to each run, a batch at a time, all runs at once; with a seal, end them."""

    async def write(grant: Grant) -> None:
        for first in range(1, count + 1, batch):
            frames = [frame] * min(batch, count + 1 - first)
            await store.append(grant, first, frames, seal if first + batch > count else None)

    await asyncio.gather(*[write(grant) for grant in grants])


class Acknowledging(RedisStore):
    """
    Notes when each event is acknowledged that a source has noted when it yielded it.

    Attributes:
        yielded: By run: when each event was yielded.
        seconds: How long each took, from there until the store had answered.
        missing: How many have not been acknowledged yet.
        done: Nothing is missing.
    """

    yielded: dict[str, list[float]]
    seconds: list[float]
    missing: int
    done: asyncio.Event

    def expect(self, count: int) -> None:
        """Wait for so many events from now on."""
        self.yielded, self.seconds, self.missing, self.done = {}, [], count, asyncio.Event()

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records."""
        appended = await super().append(grant, first_offset, frames, seal)
        now, begun = perf_counter(), self.yielded.get(grant.run_id)
        if begun is not None:
            self.seconds += [now - at for at in begun[first_offset - 1 : first_offset - 1 + len(frames)]]
        self.missing -= len(frames)
        if not self.missing:
            self.done.set()
        return appended
