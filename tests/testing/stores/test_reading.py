"""Laws of reading: a right store keeps them, and each is broken by a store with one defect."""

from dataclasses import replace

import pytest

from sse_relay.exceptions import CursorMismatchError
from sse_relay.stores.protocol import Ended, Opened, Opening, Page, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.reading import (
    a_page_is_of_bounded_size,
    an_empty_log_has_a_place,
    each_run_has_its_own_epoch,
    laws,
    pages_end_with_their_epoch,
    reads_from_every_place,
    the_end_is_at_the_seal,
    wrong_places_are_refused,
)
from sse_relay.wire.cursor import Cursor
from tests.testing.stores.breaking import Open, breaks, keep, names


class Inclusive(Open):
    """It begins with the record that the reader has seen."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        if page.after and not isinstance(after, Cursor):
            return replace(page, frames=[b"again", *page.frames][:limit])
        return page


class IgnoresTheLimit(Open):
    """Its pages are as long as it likes."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id, after, limit=max(limit, 2), **more)


class HangsAtOne(Open):
    """Defect 15: a page of one record has none."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, frames=[]) if limit == 1 else page


class ForgetsOldEpochs(Open):
    """A takeover makes every cursor foreign."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        self.run(run_id)._epochs[0] = "forgotten"
        return ended


class KeepsTheEpoch(Open):
    """A takeover starts no epoch."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        ended = await super().end(run_id, seal, lapsed_only=lapsed_only)
        run = self.run(run_id)
        run._epochs, run._ends = run._epochs[:1], []
        return replace(ended, info=run.info())


class MixesEpochs(Open):
    """Its pages run over the border of an epoch."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        rest = self.run(run_id)._frames[page.last :]
        return replace(page, frames=[*page.frames, *rest][:limit])


class OneEpochForAll(Open):
    """Every run has the same epoch."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        assert opened.grant is not None
        self.run(opened.info.id)._epochs[0] = "the-epoch"
        return replace(opened, grant=replace(opened.grant, epoch="the-epoch"))


class TrustsOffsets(Open):
    """It looks at a cursor's offset only."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id, after.offset if isinstance(after, Cursor) else after, limit=limit, **more)


class ForgetsWhereEpochsEnded(Open):
    """I7: it splices a reader of the old epoch onto the new one."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        if isinstance(after, Cursor) and after.epoch in self.run(run_id)._epochs:
            after = after.offset
        return await super().read(run_id, after, limit=limit, **more)


class WaitsBeyondTheEnd(Open):
    """Defect 1: a reader beyond the last record gets an empty page, for ever."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        try:
            return await super().read(run_id, after, limit=limit, **more)
        except CursorMismatchError as error:
            if error.kind == "foreign":
                raise
            return await super().read(run_id, self.run(run_id).last_offset, limit=limit, **more)


class TakesAnyLimit(Open):
    """Defect 15: a page of no records is fine, and its reader spins."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id, after, limit=max(limit, 1), **more)


class TakesNegativeOffsets(Open):
    """An offset below the first is the beginning."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id, max(after, 0) if isinstance(after, int) else after, limit=limit, **more)


class TakesAnySize(Open):
    """A page of no bytes is fine."""

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = 1 << 20
    ) -> Page:
        return await super().read(run_id, after, limit=limit, max_bytes=max(max_bytes, 1))


class IgnoresTheSize(Open):
    """Its pages have as many bytes as there are."""

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = 1 << 20
    ) -> Page:
        return await super().read(run_id, after, limit=limit, max_bytes=max(max_bytes, 1 << 20))


class SkipsWhatIsLarge(Open):
    """A record that is larger than the page is left out."""

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = 1 << 20
    ) -> Page:
        page = await super().read(run_id, after, limit=limit, max_bytes=max_bytes)
        return replace(page, frames=[frame for frame in page.frames if len(frame) <= max_bytes])


class SilentAtTheSeal(Open):
    """Defect 1: whoever resumes at the seal does not learn that it was the end."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        if page.frames:
            return page
        return replace(page, info=replace(page.info, outcome=None, status="running"))


class RepeatsTheSeal(Open):
    """Defect 1: whoever resumes at the seal gets it again."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        if page.info.outcome is None or page.frames:
            return page
        return await super().read(run_id, page.last - 1, limit=limit, **more)


class StartsAtOne(Open):
    """An empty log has no place before its first record."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        if isinstance(after, Cursor) and after.offset == 0:
            raise CursorMismatchError(after, "rolled_back")
        try:
            return await super().read(run_id, after, limit=limit, **more)
        except CursorMismatchError:
            return await super().read(run_id, None, limit=limit, **more)


class HasAPlaceBeforeItsTime(Open):
    """Offset 1 of an empty log is fine."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(
            run_id, 0 if after == 1 and not self.run(run_id).last_offset else after, limit=limit, **more
        )


CASES: list[tuple[StoreLaw, type, str]] = [
    (reads_from_every_place, Inclusive, "a live log after 1, 1 a page"),
    (reads_from_every_place, IgnoresTheLimit, "2 records on a page of at most 1"),
    (reads_from_every_place, HangsAtOne, "an empty page after 0, though the log goes on"),
    (reads_from_every_place, ForgetsOldEpochs, "the epoch of a taken over log's first records"),
    (pages_end_with_their_epoch, ForgetsOldEpochs, "the page after 0, taken over at 2"),
    (pages_end_with_their_epoch, KeepsTheEpoch, "a takeover kept the epoch"),
    (pages_end_with_their_epoch, MixesEpochs, "the page after 0, taken over at 2"),
    (each_run_has_its_own_epoch, OneEpochForAll, "another run's cursor was not refused"),
    (each_run_has_its_own_epoch, TrustsOffsets, "another run's cursor was not refused"),
    (wrong_places_are_refused, TrustsOffsets, "never-of-this-log:0 on a live log was not refused"),
    (wrong_places_are_refused, ForgetsWhereEpochsEnded, "on a taken over log was not refused"),
    (wrong_places_are_refused, WaitsBeyondTheEnd, "6 on a live log was not refused"),
    (wrong_places_are_refused, TakesAnyLimit, "a page of 0 records was not refused"),
    (wrong_places_are_refused, TakesAnySize, "a page of 0 bytes was not refused"),
    (a_page_is_of_bounded_size, IgnoresTheSize, "bytes on a page of at most 1"),
    (a_page_is_of_bounded_size, SkipsWhatIsLarge, "an empty page of at most 1 bytes after 0"),
    (wrong_places_are_refused, TakesNegativeOffsets, "the offset -1 was not refused"),
    (the_end_is_at_the_seal, SilentAtTheSeal, "the page after the seal has no outcome"),
    (the_end_is_at_the_seal, RepeatsTheSeal, "the page after the seal"),
    (an_empty_log_has_a_place, StartsAtOne, "the store refused what it has to do: CursorMismatchError"),
    (an_empty_log_has_a_place, HasAPlaceBeforeItsTime, "offset 1 of an empty log was not refused"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """I3, I7, I11, defect 1: the store in memory keeps the laws of reading."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)
