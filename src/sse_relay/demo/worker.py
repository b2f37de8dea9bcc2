"""What produces: elsewhere processes of their own, here relays of their own, so that a crash can be watched."""

import asyncio
from collections.abc import AsyncIterable, Mapping

from sse_relay import DrainingError, ErrorCatalog, Relay
from sse_relay.demo.lifeline import Lifeline
from sse_relay.stores.protocol import RunInfo, StreamStore

__all__ = ["Worker", "Workers"]


class Worker:
    """
    One producer of runs.

    Args:
        store: Where the runs are kept, for whoever views them.
        lease: After how many seconds without a sign of life this worker is taken for dead.
        errors: What clients learn of exceptions.
    """

    def __init__(self, store: StreamStore, *, lease: float, errors: ErrorCatalog) -> None:
        self._line = Lifeline(store)
        self._relay = Relay(self._line, lease=lease, errors=errors)

    async def open(self) -> None:
        """Be ready to produce."""
        await self._relay.__aenter__()

    async def start(
        self, source: AsyncIterable[object], *, metadata: Mapping[str, object], idle_timeout: float
    ) -> RunInfo:
        """
        Start a run; the source is the worker's from now on.

        Raises:
            DrainingError: The worker leaves, or is dead.
        """
        return await self._relay.start(source, metadata=metadata, idle_timeout=idle_timeout)

    async def drain(self, grace: float) -> None:
        """Let the live runs end within the grace, seal the rest, and leave; idempotent."""
        await self._relay.drain(grace)

    def crash(self) -> None:
        """Die as by ``kill -9``: no run is sealed, no lease is given up, nobody is told."""
        self._line.cut()

    async def clear_away(self) -> None:
        """After a crash, close the sources: as a system closes what a dead process had open."""
        await self._relay.drain(0)


class Workers:
    """
    One worker at a time; a new one takes the place of a dead one.

    Args:
        store: As for a `Worker`.
        lease: As for a `Worker`.
        errors: As for a `Worker`.
    """

    def __init__(self, store: StreamStore, *, lease: float, errors: ErrorCatalog) -> None:
        self._store = store
        self._lease = lease
        self._errors = errors
        self._worker = self._new_worker()
        self._leaving = False
        self._clearing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Be ready to produce."""
        await self._worker.open()

    async def start(
        self, source: AsyncIterable[object], *, metadata: Mapping[str, object], idle_timeout: float
    ) -> RunInfo:
        """
        Start a run; the source is the worker's from now on.

        Raises:
            DrainingError: The workers leave, or this one crashed in this instant: then the next one takes runs.
        """
        return await self._worker.start(source, metadata=metadata, idle_timeout=idle_timeout)

    async def crash(self) -> None:
        """
        Let the worker die; returns when the next one is ready.

        Raises:
            DrainingError: The workers leave.
        """
        fresh = self._new_worker()
        await fresh.open()
        if self._leaving:
            await fresh.drain(0)
            raise DrainingError
        dead, self._worker = self._worker, fresh
        dead.crash()
        clearing = asyncio.ensure_future(dead.clear_away())
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    async def drain(self, grace: float) -> None:
        """Take no more runs, let the live ones end within the grace, seal the rest, and leave; idempotent."""
        self._leaving = True
        await self._worker.drain(grace)
        if self._clearing:
            await asyncio.wait(self._clearing)

    def _new_worker(self) -> Worker:
        return Worker(self._store, lease=self._lease, errors=self._errors)
