"""Laws of the key slot: a right store keeps them, and each is broken by a store with one defect."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sse_relay.stores.log import RunLog
from sse_relay.stores.protocol import Appended, Ended, Grant, Opened, Opening, RunInfo, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.keys import (
    a_dead_owner_does_not_block,
    a_key_has_one_active_run,
    a_live_owner_keeps_its_key,
    a_refused_start_seals_nothing,
    an_old_owner_frees_nothing,
    keys_are_discoverable,
    laws,
    one_of_many_starts_wins,
    starts_join,
    starts_replace,
    the_end_frees_the_key,
)
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class HasNoSlot(Open):
    """G1: any number of runs have one key."""

    async def open(self, opening: Opening) -> Opened:
        self._registry._latest.clear()
        return await super().open(opening)


class EndsTheActiveRun(Open):
    """A start that is refused has sealed the active run already."""

    async def open(self, opening: Opening) -> Opened:
        active = self._registry.latest(opening.key)
        if active is not None and opening.on_conflict == "reject":
            active.touch(self._clock() + 1)
        return await super().open(opening)


class OneKeyForAll(Open):
    """Every key is the same."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, key="k"))


class JoinsWithAGrant(Open):
    """I6: two producers have the right to produce."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        return opened if opened.grant else replace(opened, grant=self.run(opened.info.id).first_grant)


class JoinsInSilence(Open):
    """A start is not told that it joined."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        return replace(opened, info=replace(opened.info, joined=False))


class JoinsTheDead(Open):
    """A start joins the latest run, though it has ended."""

    async def open(self, opening: Opening) -> Opened:
        found = self._registry.latest(opening.key)
        if found is not None and opening.on_conflict == "join":
            return Opened(found.info(joined=True), None)
        return await super().open(opening)


class LeavesTheOldRun(Open):
    """A run that is replaced goes on."""

    async def open(self, opening: Opening) -> Opened:
        if opening.on_conflict == "replace":
            self._registry._latest.pop(opening.key or "", None)
        return await super().open(opening)


class SaysNothingOfTheOldRun(Open):
    """A start does not say which run it ended, so that nobody tells of its end."""

    async def open(self, opening: Opening) -> Opened:
        return replace(await super().open(opening), ended=None)


class SaysItOfTheWrongRun(Open):
    """A start says that it ended a run that it did not."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        return replace(opened, ended=opened.ended or opened.info)


class ReleasesByDelete(Open):
    """Defect 17: whoever seals frees the key, whoever has it."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if seal is not None:
            self._registry._latest.pop(self.run(grant.run_id).opening.key or "", None)
        return answered


class EndsByKey(Open):
    """An end, late as it is, frees the key."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        self._registry._latest.pop(self.run(run_id).opening.key or "", None)
        return await super().end(run_id, seal, lapsed_only=lapsed_only)


class CancelsByKey(Open):
    """A cancel of an old run reaches the new one."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        latest = self._registry.latest(self.run(run_id).opening.key)
        return await super().cancel(latest.id if latest else run_id, reason)


class NeverLapses(Open):
    """Defect 8: a dead producer has its key for ever."""

    def _is_lapsed(self, run: RunLog) -> bool:
        del run
        return False


class LocksForAWhile(Open):
    """Defect 17: the lock has a time to live of its own, and no renewal."""

    def _is_lapsed(self, run: RunLog) -> bool:
        return self._clock() >= run.created_at + run.opening.lease


class IsNotDiscoverable(Open):
    """G3: a key leads to a run once it has a record."""

    async def lookup(self, key: str) -> RunInfo | None:
        found = await super().lookup(key)
        return found if found is not None and found.last_offset else None


class ForgetsWhatHasEnded(Open):
    """G3: a key leads to a run for as long as it runs."""

    async def lookup(self, key: str) -> RunInfo | None:
        found = await super().lookup(key)
        return found if found is not None and found.outcome is None else None


class NeverFrees(Open):
    """B9: a key has one run, ever."""

    async def open(self, opening: Opening) -> Opened:
        latest = self._registry.latest(opening.key)
        if latest is not None and latest.outcome is not None and latest.fence > 1:
            latest.outcome = None
        return await super().open(opening)


class LooksThenClaims(Open):
    """Looking and claiming are two steps."""

    async def open(self, opening: Opening) -> Opened:
        before = self._registry.latest(opening.key)
        await asyncio.sleep(0)
        if before is None:
            self._registry._latest.pop(opening.key or "", None)
        return await super().open(opening)


class ReplacesBeforeItLooks(Open):
    """A start that is refused for its id has replaced the active run already."""

    async def open(self, opening: Opening) -> Opened:
        active = self._registry.latest(opening.key)
        if active is not None and active.outcome is None and opening.on_conflict == "replace":
            self._end(active, opening.replaced)
        return await super().open(opening)


class GivesIdsTwice(Open):
    """A run is made anew under an id that is taken."""

    async def open(self, opening: Opening) -> Opened:
        self._registry._runs.pop(opening.run_id or "", None)
        return await super().open(replace(opening, claim=""))


CASES: list[tuple[StoreLaw, type, str]] = [
    (a_key_has_one_active_run, HasNoSlot, "a second start of a key was not refused"),
    (a_key_has_one_active_run, EndsTheActiveRun, "the active run after a refused start"),
    (starts_join, JoinsWithAGrant, "what a join gets"),
    (starts_join, JoinsInSilence, "a start that joined is not told so"),
    (starts_join, JoinsTheDead, "a start found the run"),
    (starts_replace, LeavesTheOldRun, "the outcome of the run that was replaced"),
    (starts_replace, SaysNothingOfTheOldRun, "the run that the start says it ended"),
    (starts_replace, SaysItOfTheWrongRun, "the run that a start of a free key says it ended"),
    (an_old_owner_frees_nothing, ReleasesByDelete, "the active run after a late seal, once replaced"),
    (an_old_owner_frees_nothing, EndsByKey, "the active run after a late seal, once replaced"),
    (an_old_owner_frees_nothing, CancelsByKey, "the new run's flag"),
    (a_key_has_one_active_run, OneKeyForAll, "the store refused what it has to do: RunConflictError"),
    (the_end_frees_the_key, NeverFrees, "the store refused what it has to do: RunConflictError"),
    (a_dead_owner_does_not_block, NeverLapses, "the store refused what it has to do: RunConflictError"),
    (a_dead_owner_does_not_block, JoinsTheDead, "kept the key from a start that would join"),
    (a_dead_owner_does_not_block, LeavesTheOldRun, "the outcome of the dead producer's run"),
    (a_dead_owner_does_not_block, SaysNothingOfTheOldRun, "the run that the start says it ended"),
    (a_live_owner_keeps_its_key, LocksForAWhile, "a start of a key whose owner lives was not refused"),
    (keys_are_discoverable, IsNotDiscoverable, "a key whose run is running leads nowhere"),
    (keys_are_discoverable, ForgetsWhatHasEnded, "a key whose run is completed leads nowhere"),
    (one_of_many_starts_wins, LooksThenClaims, "how many of 8 starts that reject failed"),
    (one_of_many_starts_wins, JoinsWithAGrant, "the grants that 8 starts that join got: 8 instead of 1"),
    (a_refused_start_seals_nothing, ReplacesBeforeItLooks, "the active run after a refused start"),
    (a_refused_start_seals_nothing, GivesIdsTwice, "was not refused"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """G1, G3, B9, defects 8 and 17: the store in memory keeps the laws of the key slot."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
