"""Laws of cancelled calls: a right store keeps them, and each is broken by a store with one defect."""

import asyncio
from collections.abc import Sequence

import pytest

from sse_relay.stores.protocol import Appended, Ended, Grant, Opened, Opening, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.interrupting import (
    cancelled_appends_are_whole,
    cancelled_ends_are_whole,
    cancelled_starts_are_whole,
    laws,
)
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class Slow(Open):
    """It is right, and waits before and after each step, as a server's client does."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        await asyncio.sleep(0)
        answered = await super().append(grant, first_offset, frames, seal)
        await asyncio.sleep(0)
        return answered

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        await asyncio.sleep(0)
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        await asyncio.sleep(0)
        return ended

    async def open(self, opening: Opening) -> Opened:
        await asyncio.sleep(0)
        opened = await super().open(opening)
        await asyncio.sleep(0)
        return opened


class OneByOne(Slow):
    """Each record of a batch is a step of its own."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if seal is None:
            return await super().append(grant, first_offset, frames)
        for offset, frame in enumerate(frames, first_offset):
            await super().append(grant, offset, [frame])
        return await super().append(grant, first_offset + len(frames), [], seal)


class SealsLater(Slow):
    """The state comes after the seal."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, [*frames, seal.frame] if seal else frames)
        if seal is not None:
            await asyncio.sleep(0)
            self.run(grant.run_id).outcome = seal.outcome
        return answered


class FencesFirst(Slow):
    """An end fences, and seals a moment later."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        self.run(run_id).fence += 1
        return await super().end(run_id, seal, lapsed_only=lapsed_only)


class EndsThenStarts(Slow):
    """A replacement is two steps."""

    async def open(self, opening: Opening) -> Opened:
        active = self._registry.latest(opening.key)
        if opening.on_conflict == "replace" and active is not None and active.opening.claim != opening.claim:
            await self.end(active.id, opening.replaced)
        return await super().open(opening)


class MovesTheKeyLater(Slow):
    """A new run has its key a moment after it was made."""

    async def open(self, opening: Opening) -> Opened:
        old = self._registry.latest(opening.key)
        opened = await super().open(opening)
        if opening.on_conflict == "replace" and old is not None:
            self._registry._latest[opening.key or ""] = old
            await asyncio.sleep(0)
            self._registry._latest[opening.key or ""] = self.run(opened.info.id)
        return opened


class UndoesWhatIsCancelled(Slow):
    """It takes back what it has told others already."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        try:
            return await super().append(grant, first_offset, frames, seal)
        except asyncio.CancelledError:
            self.run(grant.run_id).outcome = None
            raise


CASES: list[tuple[StoreLaw, type, str]] = [
    (cancelled_appends_are_whole, OneByOne, "a cancelled append left a half"),
    (cancelled_appends_are_whole, SealsLater, "a cancelled append left a half"),
    (cancelled_appends_are_whole, UndoesWhatIsCancelled, "a cancelled append left a half"),
    (cancelled_ends_are_whole, FencesFirst, "the producer's append after a cancelled end"),
    (cancelled_starts_are_whole, EndsThenStarts, "a cancelled start left a half"),
    (cancelled_starts_are_whole, MovesTheKeyLater, "a cancelled start left a half"),
]


@pytest.mark.parametrize("store", [Open, Slow])
@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw, store: type) -> None:
    """I9: the store in memory keeps the laws of cancelled calls, and so does one that waits around its steps."""
    keep(law, store)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
