"""
The reference store: one process's memory. Read this first.

Every method does its work without an await in between, so that each is one atomic step of the event loop. Two relays
on one `MemoryStore` see what two processes on one server would.
"""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Literal

from sse_relay.exceptions import RunConflictError
from sse_relay.stores.log import Bounds, RunLog
from sse_relay.stores.paging import PAGE_BYTES, require_page
from sse_relay.stores.protocol import (
    Answer,
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
    Wake,
)
from sse_relay.stores.registry import Registry
from sse_relay.wire.cursor import Cursor

__all__ = ["MemoryStore"]

OnWake = Callable[[Wake], None]

_logger = logging.getLogger("sse_relay")
_BOOT = time.time() - time.monotonic()


def _steady_clock() -> float:
    """Tell the time of day; a clock that is set back or forth must not end every lease."""
    return _BOOT + time.monotonic()


class MemoryStore:
    """
    Keep runs in this process's memory: they end with it.

    **Bounds** are per run. A log that is full refuses more (``fail``: its producer ends the run with a code), or drops
    its oldest records (``trim``: a reader who needed them is told of a gap; the newest record is always kept). A seal
    always fits.

    Args:
        retention: How long a run is kept after its last activity, in seconds; its tombstone as long again.
        max_events: The most records of a run; None: no bound.
        max_bytes: The most bytes of a run's frames; None: no bound.
        on_full: ``fail`` or ``trim``.
        clock: The store's clock, in seconds; it never goes back.

    Raises:
        ValueError: A bound is not positive, or `on_full` is neither.
    """

    def __init__(
        self,
        *,
        retention: float = 10_800,
        max_events: int | None = None,
        max_bytes: int | None = None,
        on_full: Literal["fail", "trim"] = "fail",
        clock: Callable[[], float] = _steady_clock,
    ) -> None:
        for name, value in (("retention", retention), ("max_events", max_events), ("max_bytes", max_bytes)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if on_full not in {"fail", "trim"}:
            raise ValueError(f'on_full must be "fail" or "trim", not {on_full!r}')
        self._bounds = Bounds(max_events, max_bytes, trims=on_full == "trim")
        self._clock = clock
        self._registry = Registry(retention, clock)
        self._watchers: dict[str, dict[Follower, OnWake]] = {}

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        if (known := self._known(opening)) is not None:
            return known
        active, ended = self._active(opening)
        if active is not None and opening.on_conflict == "join":
            return Opened(active.info(joined=True), None)
        if active is not None and opening.on_conflict == "reject":
            raise RunConflictError(opening.key or "", active.id)
        run_id = self.new_run_id(opening.key) if opening.run_id is None else opening.run_id
        if self._registry.is_taken(run_id):
            raise RunConflictError("", run_id)
        run = RunLog(run_id, opening, self._bounds, self._clock())
        if active is not None:
            ended = self._end(active, opening.replaced)
        self._registry.add(run)
        return Opened(run.info(), run.first_grant, ended)

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records, and with a seal close the log and free its key."""
        if (run := self._registry.find(grant.run_id)) is None:
            return Appended(Answer.MISSING)
        answer = run.judge(grant.fence, first_offset, frames, seal)
        if answer is Answer.OK:
            run.touch(self._clock())
            self._add(run, frames, seal)
        elif answer is Answer.DUPLICATE and run.outcome is None:
            run.touch(self._clock())
        return Appended(answer, run.last_offset, run.cancel)

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew many leases."""
        now = self._clock()
        return {grant.run_id: self._renew(grant, now) for grant in grants}

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        run = self._registry.get(run_id)
        if run.outcome is None and run.cancel is None:
            run.cancel = reason
            self._wake(Wake(run_id, cancel=reason))
        return run.info()

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        run = self._registry.get(run_id)
        if run.outcome is not None or (lapsed_only and not self._is_lapsed(run)):
            return Ended(run.info(), sealed=False)
        return Ended(self._end(run, seal), sealed=True)

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read the records after a place, and the run's state."""
        require_page(limit, max_bytes)
        run = self._registry.get(run_id)
        return run.page(run.place(after), limit, max_bytes)

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        return self._registry.get(run_id).info()

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key."""
        run = self._registry.latest(key)
        return None if run is None else run.info()

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs, newest first."""
        for run in self._registry.newest_first():
            if status is None or run.status == status:
                yield run.info()

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        """Tell running runs whose lease has passed."""
        now = self._clock()
        lapsed = (run.id for run in self._registry.running() if now >= run.lease_until)
        return list(islice(lapsed, limit))

    async def follow(self, on_wake: OnWake) -> Follower:
        """Hear of runs."""
        return _Follower(self._watchers, on_wake)

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id of 128 random bits."""
        del key  # every id is in one place here
        return secrets.token_hex(16)

    async def aclose(self) -> None:
        """Nothing to let go of: what is stored stays."""

    def _known(self, opening: Opening) -> Opened | None:
        """Find the run of the same claim, or of the same idempotency key."""
        run = self._registry.find(opening.run_id)
        if run is not None and opening.claim and run.opening.claim == opening.claim:
            return Opened(run.info(), run.first_grant)
        run = self._registry.started(opening)
        return None if run is None else Opened(run.info(joined=True), None)

    def _active(self, opening: Opening) -> tuple[RunLog | None, RunInfo | None]:
        """Find the key's active run; one that is lapsed is sealed, and then no longer active."""
        run = self._registry.latest(opening.key)
        if run is None or run.outcome is not None:
            return None, None
        return (None, self._end(run, opening.lapsed)) if self._is_lapsed(run) else (run, None)

    def _is_lapsed(self, run: RunLog) -> bool:
        return self._clock() >= run.lease_until

    def _add(self, run: RunLog, frames: Sequence[bytes], seal: Seal | None) -> None:
        before = run.last_offset
        run.add(frames, seal)
        self._added(run, before)

    def _end(self, run: RunLog, seal: Seal) -> RunInfo:
        before = run.last_offset
        run.touch(self._clock())
        run.take_over(seal)
        self._added(run, before)
        return run.info()

    def _added(self, run: RunLog, before: int) -> None:
        if run.outcome is not None:
            self._registry.ended(run)
        if run.id in self._watchers:
            self._wake(Wake(run.id, run.page(before, run.last_offset - before)))

    def _renew(self, grant: Grant, now: float) -> Appended:
        if (run := self._registry.find(grant.run_id)) is None:
            return Appended(Answer.MISSING)
        answer = Answer.FENCED if run.fence != grant.fence else Answer.OK if run.outcome is None else Answer.SEALED
        if answer is Answer.OK:
            run.touch(now)
        return Appended(answer, run.last_offset, run.cancel)

    def _wake(self, wake: Wake) -> None:
        for on_wake in list(self._watchers.get(wake.run_id, {}).values()):
            try:
                on_wake(wake)
            except Exception:
                _logger.exception("a follower of run %s failed", wake.run_id, extra={"run_id": wake.run_id})


class _Follower:
    __slots__ = ("_on_wake", "_watchers")

    def __init__(self, watchers: dict[str, dict[Follower, OnWake]], on_wake: OnWake) -> None:
        self._watchers = watchers
        self._on_wake = on_wake

    def watch(self, run_id: str, *, appends: bool = True) -> None:  # noqa: ARG002 - to tell costs no more than to ask
        self._watchers.setdefault(run_id, {})[self] = self._on_wake

    def unwatch(self, run_id: str) -> None:
        watchers = self._watchers.get(run_id, {})
        if watchers.pop(self, None) is not None and not watchers:
            del self._watchers[run_id]

    async def aclose(self) -> None:
        for run_id in list(self._watchers):
            self.unwatch(run_id)
