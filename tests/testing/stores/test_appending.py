"""Laws of the log: a right store keeps them, and each is broken by a store with one defect."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sse_relay.outcome import Outcome
from sse_relay.stores.log import RunLog
from sse_relay.stores.protocol import Answer, Appended, Ended, Grant, Opening, Page, RunInfo, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.appending import (
    acknowledged_is_visible,
    content_stays,
    empty_batches_add_nothing,
    gaps_are_refused,
    laws,
    missing_runs_are_not_made,
    nothing_follows_the_seal,
    offsets_are_dense,
    retries_leave_one_copy,
    seal_and_state_are_one_step,
)
from sse_relay.testing.stores.under_test import opening
from sse_relay.wire.cursor import Cursor
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class LosesLongBatches(Open):
    """It keeps 100 records of a batch."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        return await super().append(grant, first_offset, frames[:100], seal)


class TurnsBatches(Open):
    """It stores the last record first."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        return await super().append(grant, first_offset, frames[::-1], seal)


class CountsFromZero(Open):
    """Defect 2: its offsets depend on where one reads."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, first=page.first - 1)


class WritesBehind(Open):
    """It answers OK first, and stores a moment later."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        later = super().append(grant, first_offset, frames, seal)
        asyncio.get_running_loop().call_later(0.01, asyncio.ensure_future, later)
        return Appended(Answer.OK, first_offset - 1 + len(frames) + (seal is not None))

    async def aclose(self) -> None:
        await asyncio.sleep(0.1)


class TellsOldState(Open):
    """Its info lags behind its log."""

    async def info(self, run_id: str) -> RunInfo:
        return replace(await super().info(run_id), last_offset=0)


class AppendsRetries(Open):
    """Defect 9: a batch that is asked again is there twice."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.DUPLICATE and frames and seal is None:
            return await super().append(grant, answered.last_offset + 1, frames)
        return answered


class TakesRetriesForGaps(Open):
    """It does not know its own batches again."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        return replace(answered, answer=Answer.GAP) if answered.answer is Answer.DUPLICATE else answered


class DoublesInSilence(Open):
    """It answers a retry as it should, and stores it again all the same."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.DUPLICATE and seal is not None:
            self.run(grant.run_id)._frames += frames
        return answered


class Overwrites(Open):
    """I4: a later batch replaces what is at its offsets."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.DUPLICATE:
            self.run(grant.run_id)._frames[first_offset - 1 : first_offset - 1 + len(frames)] = frames
        return answered


class ClosesGaps(Open):
    """It puts a batch after the last record, whatever its offset."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        return await super().append(grant, max(self.run(grant.run_id).last_offset + 1, first_offset - 1), frames, seal)


class TakesOverlaps(Open):
    """It takes the part of a batch that is new."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        there = max(0, self.run(grant.run_id).last_offset + 1 - first_offset)
        if there < len(frames):
            return await super().append(grant, first_offset + there, frames[there:], seal)
        return await super().append(grant, first_offset, frames, seal)


class TakesSealsForRecords(Open):
    """It calls a seal done whose offset a record has."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if seal is not None and first_offset + len(frames) <= run.last_offset:
            return Appended(Answer.DUPLICATE, run.last_offset)
        return await super().append(grant, first_offset, frames, seal)


class TakesRecordsForSeals(Open):
    """It calls a record done whose offset the seal has."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if frames and seal is None and first_offset - 1 + len(frames) <= run.last_offset:
            return Appended(Answer.DUPLICATE, run.last_offset)
        return await super().append(grant, first_offset, frames, seal)


class SealsDespiteGaps(Open):
    """It refuses the records and keeps the seal."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.GAP and seal is not None:
            self.run(grant.run_id).outcome = seal.outcome
        return answered


class StoresEmptyBatches(Open):
    """An empty batch is a record."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        return await super().append(grant, first_offset, frames if frames or seal else [b""], seal)


class Reopens(Open):
    """I2: a batch opens a closed log again."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if first_offset > run.last_offset:
            run.outcome = None
        return await super().append(grant, first_offset, frames, seal)


class EndsTwice(Open):
    """G2: a later end overrides the first."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        self.run(run_id).outcome = None
        return await super().end(run_id, seal, lapsed_only=lapsed_only)


class CancelsWhatHasEnded(Open):
    """G2: a late cancel overrides the outcome."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        self.run(run_id).outcome = Outcome("cancelled", reason)
        return await super().cancel(run_id, reason)


class RenewsWhatHasEnded(Open):
    """A renewal is fine for ever."""

    async def renew(self, grants: Any) -> dict[str, Appended]:
        return {grant.run_id: Appended(Answer.OK) for grant in grants}


class StateFirst(Open):
    """I8: the state is ahead of the log for a moment."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if seal is not None:
            self.run(grant.run_id).outcome = seal.outcome
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.run(grant.run_id).outcome = None
        return await super().append(grant, first_offset, frames, seal)


class RecordsFirst(Open):
    """I8: a batch and its seal are two steps."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if seal is not None and frames:
            await super().append(grant, first_offset, frames)
            await asyncio.sleep(0)
            return await super().append(grant, first_offset + len(frames), [], seal)
        return await super().append(grant, first_offset, frames, seal)


class SealFirst(Open):
    """I8: an end writes the seal, and the state a moment later."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        self.run(run_id).outcome = None
        await asyncio.sleep(0)
        self.run(run_id).outcome = seal.outcome
        return ended


class MakesRuns(Open):
    """An append to no run makes one."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if self._registry.find(grant.run_id) is None:
            made: Opening = opening(run_id=grant.run_id)
            self._registry.add(RunLog(grant.run_id, made, self._bounds, self._clock()))
        return await super().append(grant, first_offset, frames, seal)


CASES: list[tuple[StoreLaw, type, str]] = [
    (offsets_are_dense, LosesLongBatches, "the last offset after an append: 100 instead of 300"),
    (offsets_are_dense, TurnsBatches, "a log: "),
    (offsets_are_dense, CountsFromZero, "the first record after None: 0 instead of 1"),
    (acknowledged_is_visible, WritesBehind, "info's last offset: 0 instead of 1"),
    (acknowledged_is_visible, TellsOldState, "info's last offset: 0 instead of 1"),
    (retries_leave_one_copy, AppendsRetries, "the answer to a retry of the batch at 1"),
    (retries_leave_one_copy, TakesRetriesForGaps, "the answer to a retry of the batch at 1"),
    (retries_leave_one_copy, DoublesInSilence, "a log after retries|last_offset"),
    (content_stays, Overwrites, "the records under old offsets"),
    (gaps_are_refused, ClosesGaps, "the answer to 1 records from 4, after 2"),
    (gaps_are_refused, TakesOverlaps, "the answer to 2 records from 2, after 2"),
    (gaps_are_refused, TakesSealsForRecords, "the answer to 1 records and a seal from 1, after 2"),
    (gaps_are_refused, SealsDespiteGaps, "the answer to|the state after refused batches"),
    (empty_batches_add_nothing, StoresEmptyBatches, "an empty batch"),
    (nothing_follows_the_seal, TakesRecordsForSeals, "the answer to a batch from 2 on a log sealed at 2"),
    (nothing_follows_the_seal, Reopens, "the answer to a batch from 3 on a log sealed at 2"),
    (nothing_follows_the_seal, EndsTwice, "a second seal was taken"),
    (nothing_follows_the_seal, CancelsWhatHasEnded, "a run that had ended"),
    (nothing_follows_the_seal, RenewsWhatHasEnded, "a renewal after the end"),
    (seal_and_state_are_one_step, StateFirst, "a reader saw a run on its way to the end"),
    (seal_and_state_are_one_step, RecordsFirst, "a reader saw a run on its way to the end"),
    (seal_and_state_are_one_step, SealFirst, "a reader saw a run on its way to the end"),
    (missing_runs_are_not_made, MakesRuns, "an append to no run"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """I2, I4, I5, I8, defects 2 and 9: the store in memory keeps the laws of the log."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
