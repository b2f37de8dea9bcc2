"""The newest records of one run, shared by all who view it here."""

import asyncio
from typing import Any

import pytest

from sse_relay import Outcome
from sse_relay.runs.batch import Batch
from sse_relay.runs.seat import Seat
from sse_relay.runs.window import Window
from sse_relay.stores.protocol import Page, RunInfo
from sse_relay.testing import run_virtual


def info(last: int, outcome: Outcome | None = None, epoch: str = "an-epoch") -> RunInfo:
    return RunInfo("run", None, outcome.status if outcome else "running", epoch, last, outcome, 0.0, 0.0)


def page(first: int, last: int, *, epoch: str = "an-epoch", size: int = 10) -> Page:
    frames = [b"data: " + str(offset).encode().ljust(size, b".") + b"\n\n" for offset in range(first, last + 1)]
    return Page(info(last, epoch=epoch), epoch, first, frames, first - 1)


def kept(window: Window) -> list[Batch]:
    return [*window._older, *([] if window.newest is None else [window.newest])]


def test_a_viewer_gets_what_follows_its_place() -> None:
    """From any place in the window the rest of its batch follows; elsewhere, or in another epoch, nothing (I1)."""
    window = Window()
    window.viewers = 1  # who is behind
    window.add(page(1, 3))
    window.add(page(4, 4))
    for offset in range(4):
        batch = window.after("an-epoch", offset)
        assert batch is not None
        assert (batch.page.first, batch.page.after) == (offset + 1, offset)
        assert batch.events[0].id == f"an-epoch:{offset + 1}"
    assert window.after("an-epoch", 4) is None
    assert window.after("other-epoch", 2) is None
    assert window.is_ahead("an-epoch", 3)
    assert not window.is_ahead("an-epoch", 4)
    assert window.is_ahead("other-epoch", 4)


def test_wake_ups_may_be_doubled_and_late() -> None:
    """What is heard twice, or after what follows it, changes nothing that a viewer sees."""
    window = Window()
    window.viewers = 1  # who is behind
    for heard in (page(1, 2), page(1, 2), page(5, 6), page(3, 4), page(1, 6)):
        window.add(heard)
    assert [(batch.first, batch.last) for batch in kept(window)] == [(1, 2), (5, 6)]
    assert window.after("an-epoch", 2) is None  # the store has it
    assert window.info is not None
    assert window.info.last_offset == 6


def test_the_end_is_never_taken_back() -> None:
    """A late word of a run that runs does not hide that it has ended (I8)."""
    window = Window()
    ended = info(3, Outcome("completed"))
    for heard in (info(1), info(2), ended, info(1), info(9)):
        window.note(heard)
    assert window.info is ended


@pytest.mark.parametrize(("count", "size", "most"), [(1000, 10, 64), (40, 100_000, 2), (3, 1_000_000, 1)])
def test_a_window_is_bounded(count: int, size: int, most: int) -> None:
    """L6: a window keeps 64 batches, or a quarter of a megabyte; the newest batch always."""
    window = Window()
    window.viewers = 1  # who is behind
    for offset in range(1, count + 1):
        window.add(page(offset, offset, size=size))
    assert [batch.last for batch in kept(window)] == list(range(count - most + 1, count + 1))
    assert window._size == sum(len(frame) for batch in window._older for frame in batch.page.frames)


def test_what_everybody_has_seen_is_not_kept() -> None:
    """L6: where all viewers wait for more, older records are let go of; as soon as one is behind they are kept."""

    async def main() -> None:
        window = Window()
        waiting = [asyncio.create_task(window.wait()) for _ in range(2)]
        window.viewers = 2
        await asyncio.sleep(0)
        window.add(page(1, 3))
        await asyncio.wait(waiting)
        window.add(page(4, 4))
        window.add(page(5, 5))
        assert [batch.first for batch in kept(window)] == [1, 4, 5]
        waiting = [asyncio.create_task(window.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        window.add(page(6, 6))
        await asyncio.wait(waiting)
        assert [(batch.first, batch.number) for batch in kept(window)] == [(6, 3)]
        assert window._size == 0
        assert window.after("an-epoch", 4) is None
        batch = window.after("an-epoch", 5, 3)
        assert batch is not None
        assert batch.first == 6

    asyncio.run(main())


def test_the_last_to_take_a_batch_lets_go_of_it() -> None:
    """L6: once all have it, the newest batch goes, too; what was heard once is not heard again."""

    async def main() -> None:
        window, seats = Window(), [Seat(), Seat()]
        window.viewers = 2
        window.add(page(1, 3))
        window.join(seats[0])
        assert window.newest is not None
        window.join(seats[1])
        assert window.newest is None
        assert kept(window) == []
        assert window.after("an-epoch", 0) is None
        version = window.version
        window.waiting.clear()
        for late in (page(1, 3), page(2, 2)):
            window.add(late)
            assert window.newest is None
        window.add(page(4, 4))
        batch = window.after("an-epoch", 3, 1)
        assert batch is not None
        assert batch is window.newest
        assert (batch.number, window.is_whole, window.version) == (1, True, version + 3)
        window.add(page(2, 2, epoch="next-epoch"))
        assert window.newest.epoch == "next-epoch"

    asyncio.run(main())


def test_everybody_is_woken_and_nobody_leaks() -> None:
    """A notice wakes each waiter once; one that was cancelled is forgotten at once (L6)."""

    async def main() -> None:
        window = Window()
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(window.wait()) for _ in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait({waiting[0]})
        assert len(window.waiting) == 9
        for wake in (window.doubt, window.close):
            wake()
            await asyncio.wait(waiting)
            assert not window.waiting
        assert (window.doubts, window.is_closed, window.version) == (1, True, 2)

    run_virtual(main())
