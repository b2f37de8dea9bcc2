"""A store that writes down what was asked of another one, and what it answered."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from sse_relay.exceptions import CursorMismatchError
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
from sse_relay.testing.findings import Findings
from sse_relay.testing.handle import StoreHandle
from sse_relay.testing.ledger import Ledger, Wanted
from sse_relay.wire.cursor import Cursor

__all__ = ["RecordingStore"]


class RecordingStore(StoreHandle):
    """
    Write down what a store is asked, and what it answers.

    Args:
        store: The store.
        findings: The order of things.
        ledger: Finds a run's ledger by its id.
    """

    def __init__(self, store: StreamStore, findings: Findings, ledger: Callable[[str], Ledger]) -> None:
        super().__init__(store)
        self._findings = findings
        self._ledger = ledger

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        self._findings.seals |= {opening.replaced.frame, opening.lapsed.frame}
        asked = self._findings.tick()
        opened = await super().open(opening)
        self._told(asked, opened.info)
        if opened.ended is not None:
            self._told(asked, opened.ended)
        return opened

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records, and with a seal close the log."""
        if seal is not None:
            self._findings.seals.add(seal.frame)
        ledger, asked = self._ledger(grant.run_id), self._findings.tick()
        wanted = Wanted(grant, first_offset, list(frames), seal)
        ledger.append_is_asked(wanted)
        answered = await super().append(grant, first_offset, frames, seal)
        ledger.append_is_answered(asked, wanted, answered)
        return answered

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew many leases."""
        asked, held = self._findings.tick(), list(grants)
        answers = await super().renew(held)
        for grant in held:
            if grant.run_id in answers:
                self._ledger(grant.run_id).grant_is_answered(asked, grant, answers[grant.run_id])
        return answers

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        asked = self._findings.tick()
        return self._told(asked, await super().cancel(run_id, reason))

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        self._findings.seals.add(seal.frame)
        asked = self._findings.tick()
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        self._ledger(run_id).end_is_answered(asked, seal, ended)
        return ended

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read the records after a place."""
        ledger, asked = self._ledger(run_id), self._findings.tick()
        try:
            page = await super().read(run_id, after, limit=limit, max_bytes=max_bytes)
        except CursorMismatchError:
            ledger.place_is_refused(asked, after)
            raise
        ledger.page_is_read(asked, after, limit, page)
        return page

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        asked = self._findings.tick()
        return self._told(asked, await super().info(run_id))

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key."""
        asked = self._findings.tick()
        info = await super().lookup(key)
        return None if info is None else self._told(asked, info)

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs."""
        asked = self._findings.tick()
        async for info in super().runs(status):
            yield self._told(asked, info)

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs."""

        def hear(wake: Wake) -> None:
            if wake.page is not None:
                ledger = self._ledger(wake.run_id)
                ledger.is_told(0, wake.page.info)
                ledger.page_is_seen(wake.page, "a wake-up")
            on_wake(wake)

        return await super().follow(hear)

    def _told(self, asked: int, info: RunInfo) -> RunInfo:
        self._ledger(info.id).is_told(asked, info)
        return info
