"""Every run in memory, by id, by key and by idempotency key, for as long as it is kept."""

import heapq
from collections.abc import Callable, Iterable

from sse_relay.exceptions import IdempotencyConflictError, RunExpiredError, RunNotFoundError
from sse_relay.stores.log import RunLog
from sse_relay.stores.terms import Opening

__all__ = ["Registry"]


class Registry:
    """
    Find runs, and forget those past their retention.

    Each run or tombstone is looked at when it may be due and not before, so that an append pays nothing for it.
    """

    def __init__(self, retention: float, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._clock = clock
        self._runs: dict[str, RunLog] = {}  # oldest first
        self._running: dict[str, RunLog] = {}
        self._tombstones: set[str] = set()
        self._latest: dict[str, RunLog] = {}  # by key
        self._starts: dict[tuple[str | None, str], RunLog] = {}  # by key and idempotency key
        self._due: list[tuple[float, str]] = []  # one entry for each run or tombstone

    def add(self, run: RunLog) -> None:
        """Keep a new run: its key's latest from now on."""
        opening = run.opening
        self._runs[run.id] = self._running[run.id] = run
        heapq.heappush(self._due, (run.updated_at + self._retention, run.id))
        if opening.key is not None:
            self._latest[opening.key] = run
        if opening.idempotency_key is not None:
            self._starts[opening.key, opening.idempotency_key] = run

    def find(self, run_id: str | None) -> RunLog | None:
        """Find a run by its id."""
        self._expire()
        return None if run_id is None else self._runs.get(run_id)

    def get(self, run_id: str) -> RunLog:
        """Find a run by its id, or raise why there is none."""
        if (run := self.find(run_id)) is None:
            raise RunExpiredError(run_id) if run_id in self._tombstones else RunNotFoundError(run_id)
        return run

    def is_taken(self, run_id: str) -> bool:
        """Tell whether there is a run of that id, or was."""
        return self.find(run_id) is not None or run_id in self._tombstones

    def latest(self, key: str | None) -> RunLog | None:
        """Find the latest run of a key."""
        self._expire()
        return None if key is None else self._latest.get(key)

    def started(self, opening: Opening) -> RunLog | None:
        """Find the run of the same idempotency key."""
        self._expire()
        key = opening.idempotency_key
        if key is None or (run := self._starts.get((opening.key, key))) is None:
            return None
        if run.opening.fingerprint != opening.fingerprint:
            raise IdempotencyConflictError(key, run.id)
        return run

    def running(self) -> Iterable[RunLog]:
        """List the runs that have not ended."""
        self._expire()
        return self._running.values()

    def ended(self, run: RunLog) -> None:
        """Note that a run has ended."""
        self._running.pop(run.id, None)

    def newest_first(self) -> list[RunLog]:
        """List every run."""
        self._expire()
        return list(reversed(self._runs.values()))

    def _expire(self) -> None:
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            _, run_id = heapq.heappop(self._due)
            if (run := self._runs.get(run_id)) is None:
                self._tombstones.discard(run_id)
                continue
            due = run.updated_at + self._retention
            if run.outcome is None:
                due = max(due, run.lease_until)
            if due <= now:
                self._forget(run)
                due += self._retention
            heapq.heappush(self._due, (due, run_id))

    def _forget(self, run: RunLog) -> None:
        opening = run.opening
        del self._runs[run.id]
        self._running.pop(run.id, None)
        self._tombstones.add(run.id)
        if opening.key is not None and self._latest.get(opening.key) is run:
            del self._latest[opening.key]
        if opening.idempotency_key is not None:
            del self._starts[opening.key, opening.idempotency_key]
