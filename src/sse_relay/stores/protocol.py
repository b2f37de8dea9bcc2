"""
The contract of a store: what keeps a run's log and state.

A **run** is one producer's work and its log. The **log** is a dense sequence of records, numbered from 1 by the store;
the last one is the **seal**, which carries the outcome and closes it. The log is the truth, and the state never runs
ahead of it: what changes both is one atomic step.

The right to produce is a **lease**, on one clock, the store's, and a **fence**, a number that grows at each takeover.
What a producer sends bears its fence: nothing of a producer that lost its right is kept.

Each fence has an **epoch**, a random token; a cursor names an epoch and an offset. Why the offset alone will not do::

    the producer appends 1 2 3 4 to the primary          a viewer reads up to 4
    the primary dies; its replica has 1 2 only           a takeover: a new fence, and the log goes on with 3' 4' 5'
    the viewer comes back after 4                        by offset it would get 5', spliced onto 3 4

By the epoch the store knows that the old history ended at 2, and refuses the cursor.

**Time.** A running run whose lease has passed is *lapsed*: its producer is taken for dead, and anyone may `end` it.
Retention counts from the last activity, and is never over while a lease holds; then a tombstone stays for as long
again, so that a late reader learns that the run expired.

**Errors.** Every operation may raise `StoreUnavailableError`; what was asked may then have been done or not, and asking
again is safe. A store knows nothing of payloads: a record is an encoded frame without its ``id:`` line, and only a
`Seal` says what it means.

`sse_relay.testing.store_contract` holds any store to all of this.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol

from sse_relay.stores.paging import PAGE_BYTES
from sse_relay.stores.readings import Page, Record, RunInfo, RunStatus, Wake
from sse_relay.stores.terms import Answer, Appended, Ended, Grant, OnConflict, Opened, Opening, Seal
from sse_relay.wire.cursor import Cursor

__all__ = [
    "Answer",
    "Appended",
    "Ended",
    "Follower",
    "Grant",
    "OnConflict",
    "Opened",
    "Opening",
    "Page",
    "Record",
    "RunInfo",
    "RunStatus",
    "Seal",
    "StreamStore",
    "Wake",
]


class Follower(Protocol):
    """One process's ear for wake-ups: any number of runs, one connection."""

    def watch(self, run_id: str, *, appends: bool = True) -> None:
        """
        Hear of a run from now on; the last call counts.

        Without `appends` what its producer appends need not be told, but only what others do to it: cancel it, end it.
        """
        ...

    def unwatch(self, run_id: str) -> None:
        """Hear no more of a run, from this call on; idempotent."""
        ...

    async def aclose(self) -> None:
        """Hear no more of anything; idempotent."""
        ...


class StreamStore(Protocol):
    """
    Keep runs. Every method is one atomic step, and safe to ask again when its answer was lost.

    A cancelled call may have been carried out or not; it never leaves a step half done.
    """

    async def open(self, opening: Opening) -> Opened:
        """
        Claim a run.

        In one step: give the same answer to the same claim; else find the run of the idempotency key; else look at the
        key's active run, which is sealed first if it is lapsed; else reject, join or replace it (fence it, seal it,
        move the key); then make the new run, whose lease starts now. A refused call changes nothing but to seal a
        lapsed run. An idempotency key is scoped by the key where there is one; whoever calls scopes the others.

        To be safe to ask again, an opening needs a `run_id` (`new_run_id` makes one) and a `claim`.

        Raises:
            RunConflictError: The key has an active run, and `on_conflict` is ``reject``; or the run id is taken, or was
                by a run that has expired.
            IdempotencyConflictError: The idempotency key was used with another fingerprint.
            InvalidEventError: The metadata is not JSON.
        """
        ...

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """
        Add records, and with a seal close the log and free its key: all or nothing.

        Idempotent: a batch of unknown fate is asked again unchanged, and is there once. An append renews the lease.

        The first that holds is the answer: no such run, ``MISSING``; another fence, ``FENCED``; all of it is there,
        ``DUPLICATE`` (so is an empty batch in its place); a closed log, ``SEALED``; not the next offset, ``GAP``;
        no room, ``FULL``; else ``OK``.

        Args:
            grant: The right to do so.
            first_offset: The offset that the first frame, or else the seal, is to have.
            frames: The records.
            seal: How the run ends.
        """
        ...

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew the leases of many runs in one round trip; the answers are by run id."""
        ...

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """
        Ask a run to stop; the first reason stays, and a run that has ended stays as it is.

        Raises:
            RunNotFoundError: There is no such run.
            RunExpiredError: There was one.
        """
        ...

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """
        Seal a run over its producer's head: raise the fence, start a new epoch, close the log, free the key.

        Args:
            run_id: The run; one that has ended stays as it is.
            seal: How it ends.
            lapsed_only: Only if its lease has passed; else nothing is done.

        Raises:
            RunNotFoundError: There is no such run.
            RunExpiredError: There was one.
        """
        ...

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """
        Read the records after a place, and the run's state, in one snapshot.

        A page ends where an epoch does, or where its bytes would be too many. Reading on means
        ``read(run_id, page.last)``, or by cursor.

        Args:
            run_id: The run.
            after: A cursor, or an offset in the log as it is now; None: the beginning.
            limit: The most records to return, 1 or more.
            max_bytes: The most bytes of their frames together; a single frame may be larger.

        Raises:
            RunNotFoundError: There is no such run.
            RunExpiredError: There was one.
            CursorMismatchError: The log never had the cursor's epoch (``foreign``), or the place is beyond where that
                epoch, or the log, ended (``rolled_back``).
            InvalidCursorError: `after` is an offset that no log can have.
            ValueError: A bound is below 1.
        """
        ...

    async def info(self, run_id: str) -> RunInfo:
        """
        Tell a run's state.

        Raises:
            RunNotFoundError: There is no such run.
            RunExpiredError: There was one.
        """
        ...

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key, which is its active one while it runs; None: there is none any more."""
        ...

    def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs, newest first; a run that changes meanwhile may be listed as it was."""
        ...

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        """Tell the ids of running runs whose lease has passed."""
        ...

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs: `on_wake` is called in the running loop, and must not block; what it raises is logged."""
        ...

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id that `open` takes together with that key."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; what is stored stays."""
        ...
