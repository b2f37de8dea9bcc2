"""A history of what happened at stores and at viewers, and whether it keeps the invariants."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from sse_relay import Cursor, CursorMismatchError, MemoryStore, Outcome, Relay, ServerSentEvent
from sse_relay.stores.protocol import Answer, Appended, Ended, Grant, Page, RunInfo, Seal, StreamStore
from sse_relay.testing import FaultyStore, History, run_virtual
from sse_relay.testing.stores.under_test import frames, opening, sealed
from sse_relay.wire.encoder import frame
from tests.testing.stores.breaking import Open

Frames = Sequence[bytes]


async def live(store: StreamStore) -> None:
    """Ask a store for all that processes ask for: write, retry, read, end, take over, and read again."""
    for how in ("seal", "end", "replace"):
        opened = await store.open(opening(key="k", on_conflict="replace"))
        assert opened.grant is not None
        grant, run_id = opened.grant, opened.info.id
        (await store.follow(lambda _: None)).watch(run_id)
        for _ in range(2):
            await store.append(grant, 1, frames("a", "b", "c"))
        await look(store, grant)
        await store.append(grant, 4, frames("d"))
        await store.renew([grant])
        await store.cancel(run_id, "user")
        await look(store, grant)
        if how == "seal":
            for _ in range(2):
                await store.append(grant, 5, frames("e"), sealed())
        elif how == "end":
            await store.end(run_id, sealed("lost"))
        else:
            await store.open(opening(key="k", on_conflict="replace"))
        for _ in range(2):
            await store.renew([grant])
            await store.append(grant, 7 if how == "seal" else 5, frames("late"))
        await store.end(run_id, sealed("failed"))
        await look(store, grant)


async def look(store: StreamStore, grant: Grant) -> None:
    """Read the log from each place, as far as there are places, on pages of several sizes."""
    run_id = grant.run_id
    last = (await store.info(run_id)).last_offset
    epochs = {grant.epoch, (await store.info(run_id)).epoch, "never-of-this-log"}
    for after in range(last + 3):
        places: list[Cursor | int] = [after, *[Cursor(epoch, after) for epoch in epochs]]
        for place in places:
            for limit in (2, 500):
                with suppress(CursorMismatchError):
                    await store.read(run_id, place, limit=limit)
    await store.lookup("k")
    async for _ in store.runs():
        pass


class TwoSeals(Open):
    """It seals a run that has ended once more, and tells so."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        self.run(run_id).outcome = None
        return await super().end(run_id, seal, lapsed_only=lapsed_only)


class WritesOn(Open):
    """Whoever has sealed may go on."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if run.outcome is not None and run.fence == grant.fence and first_offset == run.last_offset + 1:
            run.add(frames, seal)
            return Appended(Answer.OK, run.last_offset)
        return await super().append(grant, first_offset, frames, seal)


class AnotherOutcome(Open):
    """It ends a run otherwise than it was asked to."""

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        return await super().end(run_id, replace(seal, outcome=Outcome("completed")), lapsed_only=lapsed_only)


class OverlongPages(Open):
    """A page has one record more than was asked for."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id, after, limit=limit + 1)


class FromTheCursorOn(Open):
    """A page begins with the record that was seen last."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        if not isinstance(after, int) or not 0 < after < page.last:
            return page
        before = await super().read(run_id, after - 1, limit=1, **more)
        return replace(page, first=after, frames=[*before.frames, *page.frames])


class EmptyPages(Open):
    """A page is empty at times, though there is more."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, frames=[]) if after == 2 else page


class RefusesCursors(Open):
    """It does not know its own cursors."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        if isinstance(after, Cursor) and after.offset == 2:
            raise CursorMismatchError(after, "rolled_back")
        return await super().read(run_id, after, limit=limit, **more)


class RefusesOffsets(Open):
    """It does not know its own offsets."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        if after == 1:
            raise CursorMismatchError(after, "rolled_back")
        return await super().read(run_id, after, limit=limit, **more)


class OneEpoch(Open):
    """After a takeover all records are said to be of the new epoch."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, epoch=page.info.epoch)


class ChangesContent(Open):
    """A record is another one when it is read again."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, frames=[b"data: x\n\n", *page.frames[1:]]) if after == 3 and page.frames else page


class Forgets(Open):
    """It acknowledges records that nobody can read."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        if page.info.outcome is not None or page.last < page.info.last_offset or not page.frames:
            return page
        info = replace(page.info, last_offset=page.info.last_offset - 1)
        return replace(page, frames=page.frames[:-1], info=info)


class Doubles(Open):
    """It takes a batch that is sent again for another one."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if run.fence == grant.fence and run.outcome is None:
            first_offset = run.last_offset + 1
        return await super().append(grant, first_offset, frames, seal)


class DoublesQuietly(Open):
    """It stores a batch twice, and does not say so."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.OK and first_offset == 1:
            self.run(grant.run_id).add(frames, None)
        return answered


class Recounts(Open):
    """It acknowledges a batch anew that was there."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        return replace(answered, answer=Answer.OK) if answered.answer is Answer.DUPLICATE else answered


class ForgetsFences(Open):
    """A fence is refused once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.refused: set[str] = set()

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if grant.run_id in self.refused:
            return Appended(Answer.OK, first_offset)
        answered = await super().append(grant, first_offset, frames, seal)
        if answered.answer is Answer.FENCED:
            self.refused.add(grant.run_id)
        return answered


class LetsTheDeadRenew(Open):
    """Whoever was taken over may renew."""

    async def renew(self, grants: Any) -> dict[str, Appended]:
        return {grant.run_id: Appended(Answer.OK, self.run(grant.run_id).last_offset) for grant in grants}


class LetsTheDeadWrite(Open):
    """An old fence is as good as a new one, and the answer does not say so."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        run = self.run(grant.run_id)
        if run.fence != grant.fence and first_offset == run.last_offset:
            run._frames.insert(first_offset - 1, *frames)
            run._ends[-1] += 1
        return await super().append(grant, first_offset, frames, seal)


class TrimsInSilence(Open):
    """It has lost the first two records."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        missing = 3 - page.first
        return replace(page, first=3, frames=page.frames[missing:]) if 0 < missing <= len(page.frames) else page


class TakesAnyCursor(Open):
    """It looks at the offset of a cursor only."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        place = after.offset if isinstance(after, Cursor) else after
        return await super().read(run_id, place, limit=limit, **more)


class TakesLongCursors(Open):
    """It does not remember where an epoch ended."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        place = after.offset if isinstance(after, Cursor) and after.epoch in self.run(run_id)._epochs else after
        return await super().read(run_id, place, limit=limit, **more)


class GoesBack(Open):
    """A run that has ended is running when it is listed."""

    async def lookup(self, key: str) -> RunInfo | None:
        info = await super().lookup(key)
        return info and replace(info, status="running", outcome=None)


class SaysBoth(Open):
    """A run has ended and is running."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        return replace(await super().cancel(run_id, reason), status="cancelled")


class CountsDown(Open):
    """A state tells of fewer records than an earlier one."""

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        info = await super().cancel(run_id, reason)
        return replace(info, last_offset=info.last_offset - 3)


class CountsAhead(Open):
    """A state tells of records that are not there yet."""

    async def info(self, run_id: str) -> RunInfo:
        info = await super().info(run_id)
        return replace(info, last_offset=info.last_offset + 1) if info.outcome is None else info


class SealsFirst(Open):
    """The seal is in the log before the run has ended."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, info=replace(page.info, status="running", outcome=None))


class EndsFirst(Open):
    """The run has ended before the seal is in the log."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames)
        if seal is not None:
            self.run(grant.run_id).outcome = seal.outcome
        return answered


class OldEpochs(Open):
    """After a takeover a state tells the old epoch."""

    async def lookup(self, key: str) -> RunInfo | None:
        info = await super().lookup(key)
        return info and replace(info, epoch=self.run(info.id)._epochs[0])


CASES: list[tuple[type[Open], str]] = [
    (TwoSeals, r"I2: run \w+: somebody sealed the run, after it had ended"),
    (WritesOn, r"I2: run \w+: an append of 7 to 7 was answered OK, after the log was sealed at 6"),
    (AnotherOutcome, "I2: run .* was sealed as .*lost.*, and ended as .*completed"),
    (OverlongPages, "I3: run .* a read after 0, at most 2, gave 3 records from 1"),
    (FromTheCursorOn, "I3: run .* a read after 1, at most 2, gave 3 records from 1"),
    (EmptyPages, "I3: run .* a read after 2 gave nothing, and the log goes on to 3"),
    (RefusesCursors, r"I3: run .* the cursor \w+:2 was refused, and the log has that place"),
    (RefusesOffsets, "I3: run .* the cursor 1 was refused"),
    (OneEpoch, r"I3: run .* record 1 is of epoch (\w+), and was of (?!\1)"),
    (ChangesContent, r"I4: run .* record \w+:4 is b'data: x\\n\\n', and was b'data: d"),
    (Forgets, "I5: run .* 3 was acknowledged, and a later read tells of 2"),
    (Doubles, "I5: run .* an append of 1 to 3 was answered OK, and the log ends at 6: it is not there once"),
    (DoublesQuietly, r"I5: run .* record 4 is b'data: a\\n\\n', and nobody wanted that there"),
    (Recounts, "I5: run .* an append of 1 to 3 was answered OK, and 1 was acknowledged before: it was taken twice"),
    (ForgetsFences, "I6: run .* fence 1 was FENCED, and later OK"),
    (LetsTheDeadRenew, "I6: run .* OK for epoch .*, after a takeover ended it: an old producer commits"),
    (LetsTheDeadWrite, "I6: run .* record .*:5, and its epoch ended at 4"),
    (TrimsInSilence, "I7: run .* a read after 0 begins at 3, and nothing trims the log"),
    (TakesAnyCursor, "I7: run .* a read after never-of-this-log:0 was answered, and the log never had that epoch"),
    (TakesLongCursors, r"I7: run .* a read after \w+:5 was answered, and that epoch ended at 4: a splice"),
    (GoesBack, "I8: run .* the run is running again, after it was completed"),
    (SaysBoth, "I8: run .* the status is cancelled, and the outcome None"),
    (CountsDown, "I8: run .* the state tells of 1 records, after it told of 4"),
    (CountsAhead, "I8: run .* the state tells of record 4, and nobody has asked for it: it is ahead of the log"),
    (SealsFirst, "I8: run .* has the seal, 6, and the state is running"),
    (EndsFirst, "I8: run .* the state has ended at 5, and that record is no seal"),
    (OldEpochs, "I8: run .* epoch .* is told again, after a takeover ended it"),
]


def test_a_loss_is_expected_of_one_run() -> None:
    """I7: a gap is a finding, but for the run of which it is said that records of it are lost."""

    async def main() -> None:
        history = History()
        store = history.recorded(MemoryStore(max_events=1, on_full="trim"))
        for run_id in ("lossy", "whole"):
            if run_id == "lossy":
                history.expect_loss(run_id)
            grant = (await store.open(opening(run_id=run_id))).grant
            assert grant is not None
            for offset in (1, 2):
                await store.append(grant, offset, frames("a"))
            await store.read(run_id)
            if run_id == "lossy":
                history.check()
        with pytest.raises(AssertionError, match=r"\AI7: run whole: .* nothing trims the log\Z"):
            history.check()

    run_virtual(main())


@pytest.mark.parametrize("trims", [False, True])
def test_a_right_store_breaks_nothing(trims: bool) -> None:
    """A store that is right is found to be so, whatever is asked of it, also one that trims."""

    async def main() -> None:
        history = History(trims=trims)
        store = MemoryStore(max_events=3 if trims else None, on_full="trim" if trims else "fail")
        await live(history.recorded(store))
        history.check()
        assert len(history.run_ids) == 4
        for run_id in history.run_ids[:3]:
            page = await store.read(run_id)
            assert history.log(run_id)[page.first - 1 :][: len(page.frames)] == page.records()

    run_virtual(main())


@pytest.mark.parametrize(("store", "finding"), CASES, ids=[store.__name__ for store, _ in CASES])
def test_a_broken_store_is_found(store: type[Open], finding: str) -> None:
    """I2-I8: each defect of a store is found, with the invariant that it breaks, and how."""

    async def main() -> None:
        history = History()
        await live(history.recorded(store()))
        with pytest.raises(AssertionError, match=finding):
            history.check()

    run_virtual(main())


def test_each_invariant_is_proved() -> None:
    """No invariant of stores is without a store that breaks it; I1 is the viewers'."""
    assert {finding[:2] for _, finding in CASES} == {f"I{number}" for number in range(2, 9)}


async def logged(history: History, store: StreamStore) -> tuple[str, list[ServerSentEvent]]:
    """Make a log of three records and a seal, and tell how a viewer sees it."""
    grant = (await history.recorded(store).open(opening())).grant
    assert grant is not None
    outcome = sealed("completed", "stop").outcome
    end = ServerSentEvent.json({"status": "completed"}, event="end").replace(outcome=outcome)
    await history.recorded(store).append(grant, 1, frames("a", "b", "c"), Seal(outcome, frame(end)))
    events = [ServerSentEvent(name) for name in "abc"] + [end]
    return grant.run_id, [event.replace(id=f"{grant.epoch}:{at}") for at, event in enumerate(events, 1)]


def gap(after: int, next_: int, event_id: str) -> ServerSentEvent:
    return ServerSentEvent.json({"after": after, "next": next_, "reason": "trimmed"}, event="gap", id=event_id)


VIEWERS: dict[str, tuple[Any, str]] = {
    "one again": (lambda e: [e[0], e[1], e[1]], "I1: run .* stood at 2 saw record 2 again"),
    "backwards": (lambda e: [e[0], e[1], e[0]], "I1: run .* stood at 2 saw record 1 again"),
    "another": (
        lambda e: [e[0], ServerSentEvent("x", id=e[1].id)],
        r"I1: .* saw \w+:2 b'data: x.*the log has .*b'data: b",
    ),
    "another epoch": (lambda e: [e[0].replace(id="another-one:1")], "I1: .* saw another-one:1 .*, and the log has"),
    "more than there is": (lambda e: [*e[:3], ServerSentEvent("d", id=e[3].id)], "I1: run .* stood at 3 saw"),
    "no cursor": (lambda e: [e[0].replace(id=None)], "I1: .* whose id is no cursor: None"),
    "a gap for nothing": (lambda e: [gap(0, 3, e[1].id)], "I1: .* records up to 2 are gone, and nothing has trimmed"),
    "a gap from elsewhere": (lambda e: [e[0], gap(0, 3, e[1].id)], "I1: .* stood at 1 was told of a gap from 0 to 3"),
    "a gap to elsewhere": (lambda e: [gap(0, 2, e[1].id)], "I1: .* was told of a gap from 0 to 2"),
    "a gap to where it is": (lambda e: [e[0], gap(1, 2, e[0].id)], "I1: .* was told of a gap from 1 to 2"),
    "after the end": (lambda e: [*e, e[0]], "I2: run .* stood at 4 saw 'a' after the end"),
    "an end too early": (lambda e: [e[0].replace(outcome=e[3].outcome)], "I2: .* an end at 1, and the log's is at 4"),
    "another end": (
        lambda e: [*e[:3], e[3].replace(outcome=Outcome("lost"))],
        "I2: .* ended as .*lost.*, and it ended",
    ),
    "a hole": (lambda e: [e[0], e[2]], "I7: run .* stood at 1 saw record 3 next, and no gap"),
    "nothing of the first": (lambda e: [e[1]], "I7: run .* stood at 0 saw record 2 next"),
}


@pytest.mark.parametrize("how", VIEWERS)
def test_a_broken_viewer_is_found(how: str) -> None:
    """I1, I2, I7: a viewer that sees anything but what follows its cursor is found, and with the invariant."""
    seen, finding = VIEWERS[how]

    async def main() -> None:
        history = History()
        run_id, events = await logged(history, MemoryStore())
        viewer = history.viewer(run_id)
        for event in seen(events):
            viewer.saw(event)
        with pytest.raises(AssertionError, match=finding):
            history.check()

    run_virtual(main())


def test_a_viewer_that_is_told_of_an_end_has_seen_all() -> None:
    """I7, I2: an end that comes before the seal was seen is a loss, and another outcome is another end."""

    async def main() -> None:
        for place, outcome, finding in (
            (4, Outcome("completed", "stop"), None),
            (2, None, None),
            (2, Outcome("completed", "stop"), "I7: run .* stood at 2 was told of the end, and the log goes on to 4"),
            (4, Outcome("completed"), "I2: run .* was told that it ended as"),
        ):
            history = History()
            run_id, _ = await logged(history, MemoryStore())
            history.viewer(run_id, place).ended(outcome)
            if finding is None:
                history.check()
            else:
                with pytest.raises(AssertionError, match=finding):
                    history.check()

    run_virtual(main())


def test_a_right_viewer_breaks_nothing() -> None:
    """I1: from whatever cursor, what follows it is right; a gap is, where a reader was told of it."""

    async def main() -> None:
        history = History(trims=True)
        store = MemoryStore(max_events=2, on_full="trim")
        run_id, events = await logged(history, store)
        for after in (None, 0, 1, events[0].id, Cursor.parse(events[0].id or "")):
            viewer = history.viewer(run_id, after)
            for event in events[viewer.place :]:
                viewer.saw(event)
            viewer.ended(events[3].outcome)
        history.check()
        await history.recorded(store).read(run_id)
        viewer = history.viewer(run_id)
        for event in (gap(0, 3, events[1].id or ""), *events[2:]):
            viewer.saw(event)
        assert viewer.place == 4
        history.check()

    run_virtual(main())


def test_subscriptions_are_watched() -> None:
    """A watched subscription gives what the other would, on any relay, and is held against the log."""

    async def main() -> None:
        history = History()
        store = history.recorded(MemoryStore())
        async with Relay(store) as here, Relay(FaultyStore(store)) as there:
            run = await here.start(numbers())
            for relay in (here, there):
                async with history.subscribe(relay, run.id) as events:
                    assert events.info.id == run.id
                    seen = [event async for event in events]
                    assert events.outcome == Outcome("completed")
                assert [event.data for event in seen[:3]] == ["0", "1", "2"]
                async with history.subscribe(relay, run.id, seen[1].id) as events:
                    assert [event async for event in events] == seen[2:]
                async with history.subscribe(relay, run.id, 1) as events:
                    assert (batch := await events.read()) is not None
                    assert (batch.first, batch.last) == (2, 4)
                    assert await events.read() is None
                    assert events.viewer.place == 4
            history.check()
            left = history.subscribe(here, run.id)
            async with left as events:
                await anext(events)
                await events.aclose()
            assert left.viewer.place == 1
            history.check()
            broken = history.subscribe(here, run.id, 1)
            broken.viewer.place = 0
            async with broken as events:
                await anext(events)
            with pytest.raises(AssertionError, match="I7"):
                history.check()
            broken = history.subscribe(there, run.id, 2)
            broken.viewer.place = 3
            async with broken as events:
                await events.read()
            with pytest.raises(AssertionError, match=r"I1: .* saw record 3 again"):
                history.check()

    async def numbers() -> Any:
        for number in range(3):
            await asyncio.sleep(0.01)
            yield str(number)

    run_virtual(main())


def test_what_is_broken_is_told_once() -> None:
    """A finding is told once, however often it was made; of many the first, which are the cause, and how many more."""

    async def main() -> None:
        history = History()
        run_id, events = await logged(history, MemoryStore())
        for _ in range(3):
            history.viewer(run_id).saw(events[1])
        with pytest.raises(AssertionError, match=r"\AI7: [^\n]*\Z"):
            history.check()
        for number in range(30):
            history.viewer(run_id, number).saw(events[0].replace(id=None))
        with pytest.raises(AssertionError, match="… and 11 more"):
            history.check()

    run_virtual(main())
