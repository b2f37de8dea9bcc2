"""Laws of the right to produce: a right store keeps them, and each is broken by a store with one defect."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from sse_relay.stores.protocol import Answer, Appended, Ended, Grant, Opened, Opening, RunInfo, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.ownership import (
    lapsed_is_bounded,
    laws,
    leases_lapse,
    one_reaper_seals,
    only_the_fence_decides,
    renewals_are_answered_each,
    requests_to_stop_are_heard,
    signs_of_life_keep_the_right,
    takeovers_fence,
    the_first_reason_stays,
)
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class ReapsTheLiving(Open):
    """It ends a run whose lease holds."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        del lapsed_only
        return await super().end(run_id, seal)


class NeverReaps(Open):
    """L2: a dead producer's run goes on for ever."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        if lapsed_only:
            return Ended(await self.info(run_id), sealed=False)
        return await super().end(run_id, seal)


class FindsNobodyLapsed(Open):
    """L2: its sweep finds nothing."""

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        del limit
        return []


class ListsTheLiving(Open):
    """Its sweep finds every run."""

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        return [run.id for run in self._registry.running()][:limit]


class SweepsAll(Open):
    """Its sweep takes no bound."""

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        del limit
        return await super().lapsed(100)


class IgnoresRenewals(Open):
    """Defect 17: a renewal renews nothing."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        return {grant.run_id: Appended(Answer.OK) for grant in grants}


class _LeaseIsNotTouched(Open):
    signs: Collection[Answer] = ()

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self._registry.find(grant.run_id)
        until = run.lease_until if run else 0
        answered = await super().append(grant, first_offset, frames, seal)
        if run is not None and answered.answer in self.signs:
            run.lease_until = until
        return answered


class IgnoresAppends(_LeaseIsNotTouched):
    """An append is no sign of life."""

    signs = (Answer.OK,)


class IgnoresRetries(_LeaseIsNotTouched):
    """A retry is no sign of life."""

    signs = (Answer.DUPLICATE,)


class ImmortalAppends(Open):
    """An append holds the right for ever."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        self.run(grant.run_id).opening = replace(self.run(grant.run_id).opening, lease=1e6)
        return await super().append(grant, first_offset, frames, seal)


class RefusesTheLate(Open):
    """A lapsed holder is refused, though nobody has taken the run over."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if self._is_lapsed(self.run(grant.run_id)):
            return Appended(Answer.FENCED)
        return await super().append(grant, first_offset, frames, seal)


class RenewsTheFirstOnly(Open):
    """It forgets all but one."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        return await super().renew(list(grants)[:1])


class RenewsAnything(Open):
    """I6: a renewal is fine, whoever holds the run."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        answers = await super().renew(grants)
        return {run_id: replace(answered, answer=Answer.OK) for run_id, answered in answers.items()}


class ForgetsTheFlagInRenewals(Open):
    """A silent producer never hears that it is to stop."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        answers = await super().renew(grants)
        return {run_id: replace(answered, cancel=None) for run_id, answered in answers.items()}


class HasNoFence(Open):
    """I6: the old producer goes on as if nothing had happened."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        current = replace(grant, fence=self.run(grant.run_id).fence)
        return await super().append(current, first_offset, frames, seal)


class ForgetsTheFence(Open):
    """I6: it answers FENCED once only."""

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        answers = await super().renew(grants)
        for grant in grants:
            self.run(grant.run_id).fence = grant.fence
        return answers


class AdmitsOldRetries(Open):
    """A fenced producer's retry is called done."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.FENCED and first_offset == 1:
            return replace(answered, answer=Answer.DUPLICATE)
        return answered


class _ReplacesWithoutFence(Open):
    policy = "replace"

    async def open(self, opening: Opening) -> Opened:
        old = self._registry.latest(opening.key)
        opened = await super().open(opening)
        if old is not None and opened.ended is not None and opening.on_conflict == self.policy:
            old.fence = 1
        return opened


class ReplacesWithoutFence(_ReplacesWithoutFence):
    """I6: the run that is replaced goes on."""


class ReapsWithoutFence(_ReplacesWithoutFence):
    """I6: the run that a start has found dead goes on."""

    policy = "reject"


class LetsAllSeal(Open):
    """I2: looking and sealing are two steps."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        run = self.run(run_id)
        if run.outcome is not None or (lapsed_only and not self._is_lapsed(run)):
            return Ended(run.info(), sealed=False)
        await asyncio.sleep(0)
        run.outcome = None
        return await super().end(run_id, seal)


class TellsAllThatTheySealed(Open):
    """Every reaper is told that it has sealed."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        return replace(ended, sealed=ended.info.outcome is not None)


class ForgetsTheFlag(Open):
    """L3: a cancel is heard by nobody."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        return replace(await super().append(grant, first_offset, frames, seal), cancel=None)


class EndsWhatIsAskedToStop(Open):
    """It takes a request for the end."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        await super().cancel(run_id, reason)
        return replace(await self.info(run_id), status="cancelled")


class KeepsTheLastReason(Open):
    """Each cancel overrides the one before."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        self.run(run_id).cancel = None
        return await super().cancel(run_id, reason)


class FlagsWhatHasEnded(Open):
    """A run that has ended is asked to stop."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        info = await super().cancel(run_id, reason)
        self.run(run_id).cancel = self.run(run_id).cancel or reason
        return info


CASES: list[tuple[StoreLaw, type, str]] = [
    (leases_lapse, ReapsTheLiving, "a run was sealed while its lease held"),
    (leases_lapse, NeverReaps, "a lapsed run was not sealed"),
    (leases_lapse, FindsNobodyLapsed, "the lapsed runs after a lease has passed"),
    (leases_lapse, ListsTheLiving, "the lapsed runs while every lease holds"),
    (lapsed_is_bounded, SweepsAll, "5 lapsed runs of at most 2"),
    (lapsed_is_bounded, FindsNobodyLapsed, "the runs that were swept"),
    (signs_of_life_keep_the_right, IgnoresRenewals, "a run was sealed 0.6 s after a renewal"),
    (signs_of_life_keep_the_right, IgnoresAppends, "a run was sealed 0.6 s after a append"),
    (signs_of_life_keep_the_right, IgnoresRetries, "a run was sealed 0.6 s after a retry"),
    (signs_of_life_keep_the_right, ImmortalAppends, "a lapsed run was not sealed"),
    (only_the_fence_decides, RefusesTheLate, "the answer to records from 1"),
    (renewals_are_answered_each, RenewsTheFirstOnly, "the answers to renewals"),
    (renewals_are_answered_each, RenewsAnything, "the answers to renewals"),
    (renewals_are_answered_each, ForgetsTheFlagInRenewals, "the answers to renewals"),
    (takeovers_fence, HasNoFence, "an old producer's batch from 1 once ended"),
    (takeovers_fence, ForgetsTheFence, "an old producer's batch from 1 once ended"),
    (takeovers_fence, AdmitsOldRetries, "an old producer's batch from 1 once ended"),
    (takeovers_fence, RenewsAnything, "an old producer's renewal once ended"),
    (takeovers_fence, ReplacesWithoutFence, "an old producer's batch from 1 once replaced"),
    (takeovers_fence, ReapsWithoutFence, "an old producer's batch from 1 once lapsed"),
    (one_reaper_seals, LetsAllSeal, "how many were told that they had sealed: 6 instead of 1"),
    (one_reaper_seals, TellsAllThatTheySealed, "how many were told that they had sealed: 6 instead of 1"),
    (requests_to_stop_are_heard, ForgetsTheFlag, "the flag in"),
    (requests_to_stop_are_heard, ForgetsTheFlagInRenewals, "the flag in"),
    (requests_to_stop_are_heard, EndsWhatIsAskedToStop, "a run that was asked to stop"),
    (the_first_reason_stays, KeepsTheLastReason, "the reason"),
    (the_first_reason_stays, FlagsWhatHasEnded, "the retry of a seal, cancelled later"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """I2, I6, L2, L3: the store in memory keeps the laws of the right to produce."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
