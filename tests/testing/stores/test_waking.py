"""Laws of wake-ups: a right store keeps them, and each is broken by a store with one defect."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sse_relay.stores.log import RunLog
from sse_relay.stores.protocol import Follower, Opened, Opening, Wake
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.waking import (
    a_failing_ear_hurts_nobody,
    laws,
    nobody_else_hears,
    producers_hear_of_others,
    replacing_wakes,
    wakes_tell_the_truth,
    whoever_watches_hears,
)
from tests.testing.stores.breaking import Open, breaks, keep, names

OnWake = Callable[[Wake], None]


class Silent(Open):
    """It wakes nobody."""

    async def follow(self, on_wake: OnWake) -> Follower:
        del on_wake
        return await super().follow(lambda _: None)


class _Filtered(Open):
    """It wakes for some of what happens."""

    def passes(self, wake: Wake) -> bool:
        raise NotImplementedError

    async def follow(self, on_wake: OnWake) -> Follower:
        return await super().follow(lambda wake: on_wake(wake) if self.passes(wake) else None)


class NoCancels(_Filtered):
    """A cancel wakes nobody."""

    def passes(self, wake: Wake) -> bool:
        return wake.cancel is None


class NoEnds(_Filtered):
    """A seal wakes nobody."""

    def passes(self, wake: Wake) -> bool:
        return wake.page is None or wake.page.info.outcome is None


class NoTakeovers(_Filtered):
    """An end over the producer's head wakes nobody."""

    def passes(self, wake: Wake) -> bool:
        return self.run(wake.run_id).fence == 1


class NoReplacements(Open):
    """A replacement wakes nobody."""

    async def open(self, opening: Opening) -> Opened:
        watchers = dict(self._watchers)
        self._watchers.clear()
        opened = await super().open(opening)
        self._watchers.update(watchers)
        return opened


class WakesForACancelWithoutItsReason(Open):
    """A cancel is told without why."""

    async def follow(self, on_wake: OnWake) -> Follower:
        return await super().follow(lambda wake: on_wake(replace(wake, cancel=wake.cancel and "somebody")))


class _Ears:
    """A follower over another one."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower

    def watch(self, run_id: str, *, appends: bool = True) -> None:
        self.follower.watch(run_id, appends=appends)

    def unwatch(self, run_id: str) -> None:
        self.follower.unwatch(run_id)

    async def aclose(self) -> None:
        await self.follower.aclose()


class DeafWithoutAppends(Open):
    """L3: whoever does not want the appends hears of nothing."""

    async def follow(self, on_wake: OnWake) -> Follower:
        class Ears(_Ears):
            def watch(self, run_id: str, *, appends: bool = True) -> None:
                if appends:
                    self.follower.watch(run_id, appends=appends)

        return Ears(await super().follow(on_wake))


class NeverUnwatches(Open):
    """Whoever has left hears on."""

    async def follow(self, on_wake: OnWake) -> Follower:
        class Ears(_Ears):
            def unwatch(self, run_id: str) -> None:
                """Do nothing."""

        return Ears(await super().follow(on_wake))


class NeverCloses(Open):
    """A closed follower hears on."""

    async def follow(self, on_wake: OnWake) -> Follower:
        class Ears(_Ears):
            async def aclose(self) -> None:
                """Do nothing."""

        return Ears(await super().follow(on_wake))


class UnwatchesForAll(Open):
    """L5: one follower that leaves makes all of them deaf."""

    async def follow(self, on_wake: OnWake) -> Follower:
        watchers = self._watchers

        class Ears(_Ears):
            def unwatch(self, run_id: str) -> None:
                watchers.pop(run_id, None)

        return Ears(await super().follow(on_wake))


class TellsEverybodyOfEverything(Open):
    """Whoever watches one run hears of all."""

    def _wake(self, wake: Wake) -> None:
        for watching in list(self._watchers.values()):
            for on_wake in list(watching.values()):
                on_wake(wake)

    def _added(self, run: RunLog, before: int) -> None:
        super()._added(run, before)
        self._wake(Wake(run.id))


class TellsTheDeaf(Open):
    """Whoever watches nothing hears of all."""

    async def follow(self, on_wake: OnWake) -> Follower:
        self.everybody = [*getattr(self, "everybody", []), on_wake]
        return await super().follow(on_wake)

    def _added(self, run: RunLog, before: int) -> None:
        del before
        for on_wake in getattr(self, "everybody", []):
            on_wake(Wake(run.id))


class ShiftsPages(Open):
    """I1: the records of a wake-up are one offset too far."""

    async def follow(self, on_wake: OnWake) -> Follower:
        return await super().follow(
            lambda wake: on_wake(replace(wake, page=wake.page and replace(wake.page, first=wake.page.first + 1)))
        )


class GarblesPages(Open):
    """I1: the records of a wake-up are not those of the log."""

    async def follow(self, on_wake: OnWake) -> Follower:
        return await super().follow(
            lambda wake: on_wake(replace(wake, page=wake.page and replace(wake.page, frames=wake.page.frames[::-1])))
        )


class LetsEarsFail(Open):
    """What a follower raises comes out of the append."""

    def _wake(self, wake: Wake) -> None:
        for on_wake in list(self._watchers.get(wake.run_id, {}).values()):
            on_wake(wake)


class StopsAtTheFirstFailure(Open):
    """What a follower raises is swallowed, and with it the others' wake-up."""

    def _wake(self, wake: Wake) -> None:
        try:
            for on_wake in list(self._watchers.get(wake.run_id, {}).values()):
                on_wake(wake)
        except ValueError:
            pass


CASES: list[tuple[StoreLaw, type, str]] = [
    (whoever_watches_hears, Silent, "no append was heard of by a follower that watches"),
    (whoever_watches_hears, NoCancels, "a cancel was not heard of"),
    (whoever_watches_hears, NoEnds, "what happened was not heard of"),
    (whoever_watches_hears, NoTakeovers, "what happened was not heard of"),
    (producers_hear_of_others, DeafWithoutAppends, "no cancel was heard of"),
    (producers_hear_of_others, NoEnds, "what happened was not heard of"),
    (whoever_watches_hears, WakesForACancelWithoutItsReason, "the reason that a wake-up tells"),
    (replacing_wakes, NoReplacements, "what happened was not heard of"),
    (nobody_else_hears, NeverUnwatches, "those who do not watch heard"),
    (nobody_else_hears, NeverCloses, "those who do not watch heard"),
    (nobody_else_hears, UnwatchesForAll, "what happened was not heard of"),
    (
        nobody_else_hears,
        TellsEverybodyOfEverything,
        "those who do not watch heard|a run that is not watched was heard of",
    ),
    (nobody_else_hears, TellsTheDeaf, "those who do not watch heard"),
    (wakes_tell_the_truth, ShiftsPages, "a wake-up came with more than there was"),
    (wakes_tell_the_truth, GarblesPages, "the records that came with a wake-up"),
    (a_failing_ear_hurts_nobody, StopsAtTheFirstFailure, "no append was heard of by a follower that watches"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """I1, L2: the store in memory keeps the laws of wake-ups."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)


def test_what_an_ear_raises_is_found() -> None:
    """A store that lets a follower's error into an append breaks a law with that error."""
    with pytest.raises(ValueError, match=r"^[0-9a-f]{32}$"):
        keep(a_failing_ear_hurts_nobody, LetsEarsFail)
