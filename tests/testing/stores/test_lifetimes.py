"""Laws of how long a run is kept: a right store keeps them, and each is broken by a store with one defect."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from sse_relay.exceptions import RunExpiredError, RunNotFoundError
from sse_relay.stores.log import RunLog
from sse_relay.stores.protocol import Appended, Grant, Opened, Opening, RunInfo, RunStatus, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.lifetimes import (
    a_held_run_is_kept,
    expired_runs_leave_a_tombstone,
    laws,
    names_expire_with_their_run,
    runs_are_listed_newest_first,
    runs_expire_after_their_last_activity,
    times_are_the_stores,
)
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class ExpiresFromTheStart(Open):
    """Defect 19: retention counts from the start."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if (run := self._registry.find(grant.run_id)) is not None:
            run.updated_at = run.lease_until = run.created_at
        return answered


class RenewalsAreNoActivity(Open):
    """A silent run expires while its producer lives."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        answers: dict[str, Appended] = {}
        for grant in grants:
            run = self._registry.find(grant.run_id)
            before = run.updated_at if run else 0
            answers |= await super().renew([grant])
            if run is not None:
                run.updated_at = before
        return answers


class NeverExpires(Open):
    """L7: it keeps everything."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "retention": 1e9})  # type: ignore[arg-type]


class HasNoTombstones(Open):
    """What has expired was never there."""

    async def info(self, run_id: str) -> RunInfo:
        try:
            return await super().info(run_id)
        except RunExpiredError:
            raise RunNotFoundError(run_id) from None


class HasEternalTombstones(Open):
    """L7: it never forgets that a run was there."""

    async def info(self, run_id: str) -> RunInfo:
        try:
            return await super().info(run_id)
        except RunNotFoundError:
            raise RunExpiredError(run_id) from None


class RisesFromTheDead(Open):
    """An append after the expiry makes the run anew."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if self._registry.find(grant.run_id) is None:
            run = RunLog(grant.run_id, replace(self.opening, run_id=grant.run_id), self._bounds, self._clock())
            self._registry.add(run)
            run.add([b"again"] * (first_offset - 1), None)
        return await super().append(grant, first_offset, frames, seal)

    async def open(self, opening: Opening) -> Opened:
        self.opening = opening
        return await super().open(opening)


class GivesExpiredIdsAgain(Open):
    """A run is made anew under the id of one that has expired."""

    async def open(self, opening: Opening) -> Opened:
        self._registry._tombstones.discard(opening.run_id or "")
        return await super().open(opening)


class ListsTheExpired(Open):
    """Its list has what is past its retention."""

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        for run in [*self._registry._runs.values(), *self.gone]:
            if status is None or run.status == status:
                yield run.info()

    @property
    def gone(self) -> list[RunLog]:
        """Make up what is gone."""
        return [RunLog(run_id, self.opening, self._bounds, 0) for run_id in self._registry._tombstones]

    async def open(self, opening: Opening) -> Opened:
        self.opening = opening
        return await super().open(opening)


class LeaksStarts(Open):
    """An idempotency key outlives its run."""

    async def open(self, opening: Opening) -> Opened:
        self.starts = {**self._registry._starts, **getattr(self, "starts", {})}
        self._registry.find(None)
        self._registry._starts.update(self.starts)
        return await super().open(opening)


class LeaksKeys(Open):
    """A key leads to a run that has expired."""

    async def lookup(self, key: str) -> RunInfo | None:
        run = self._registry._latest.get(key)
        return None if run is None else run.info()


class ForgetsKeysAtOnce(Open):
    """A key is forgotten before its run."""

    async def lookup(self, key: str) -> RunInfo | None:
        run = self._registry.latest(key)
        return None if run is None or self._clock() > run.updated_at + 1 else run.info()


class ExpiresUnderItsProducer(Open):
    """A run whose producer is silent expires though its lease holds."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        self.run(grant.run_id).lease_until = 0
        return answered


class ListsOldestFirst(Open):
    """Its list begins with the oldest."""

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        for run in self._registry._runs.values():
            if status is None or run.status == status:
                yield run.info()


class ListsEverything(Open):
    """It ignores the state that was asked for."""

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        del status
        async for info in super().runs():
            yield info


class ForgetsWhenItBegan(Open):
    """A run was opened when it was last active."""

    async def info(self, run_id: str) -> RunInfo:
        info = await super().info(run_id)
        return replace(info, created_at=info.updated_at)


class RetriesAreActivity(Open):
    """The end of a run is later after each retry of its seal."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        self.run(grant.run_id).touch(self._clock())
        return answered


CASES: list[tuple[StoreLaw, type, str]] = [
    (runs_expire_after_their_last_activity, ExpiresFromTheStart, "the answer to records from 2: <Answer.MISSING"),
    (runs_expire_after_their_last_activity, RenewalsAreNoActivity, "the answer to records from 3: <Answer.MISSING"),
    (runs_expire_after_their_last_activity, NeverExpires, "info of a run that is gone was not refused"),
    (expired_runs_leave_a_tombstone, HasNoTombstones, "RunNotFoundError"),
    (expired_runs_leave_a_tombstone, HasEternalTombstones, "RunExpiredError"),
    (expired_runs_leave_a_tombstone, RisesFromTheDead, "an append: "),
    (expired_runs_leave_a_tombstone, GivesExpiredIdsAgain, "a start with an expired run's id was not refused"),
    (expired_runs_leave_a_tombstone, ListsTheExpired, "the list of runs once they have expired"),
    (names_expire_with_their_run, LeaksStarts, "IdempotencyConflictError"),
    (names_expire_with_their_run, LeaksKeys, "the run of a key once it has expired"),
    (names_expire_with_their_run, ForgetsKeysAtOnce, "the run of a key while it is kept"),
    (a_held_run_is_kept, ExpiresUnderItsProducer, "RunExpiredError"),
    (runs_are_listed_newest_first, ListsOldestFirst, "the list of runs"),
    (runs_are_listed_newest_first, ListsEverything, "the runs that are running"),
    (times_are_the_stores, ForgetsWhenItBegan, "when a run was opened"),
    (times_are_the_stores, RenewalsAreNoActivity, "the renewal of a run is not its last activity"),
    (times_are_the_stores, RetriesAreActivity, "the last activity of an ended run"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """L7, defects 7 and 19: the store in memory keeps the laws of how long a run is kept."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
