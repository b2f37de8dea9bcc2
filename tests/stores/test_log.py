"""One run in memory: bounds, pages and places; what the contract asks of it is in the laws."""

import gc
import sys
import tracemalloc
from itertools import pairwise

import pytest

from sse_relay import Cursor, CursorMismatchError, InvalidCursorError, Outcome
from sse_relay.exceptions import InvalidEventError
from sse_relay.stores.log import Bounds, RunLog
from sse_relay.stores.protocol import Answer, Opening, Page, Seal

SEAL = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")
LOST = Seal(Outcome("lost"), b"event: end\ndata: lost\n\n")
UNBOUNDED = Bounds(None, None, trims=False)


def log(bounds: Bounds = UNBOUNDED) -> RunLog:
    """Make a run."""
    return RunLog("run", Opening(10, LOST, LOST), bounds, 0.0)


def put(run: RunLog, *frames: bytes, seal: Seal | None = None) -> Answer:
    """Append after the last record, if it may be."""
    answer = run.judge(run.fence, run.last_offset + 1, frames, seal)
    if answer is Answer.OK:
        run.add(frames, seal)
    return answer


def kept(run: RunLog, after: Cursor | int | None = None) -> tuple[int, list[bytes]]:
    """Tell the first offset that there is after a place, and the records from there."""
    pages: list[Page] = [run.page(run.place(after), 1000)]
    while pages[-1].last < run.last_offset:
        pages.append(run.page(pages[-1].last, 1000))
    return pages[0].first, [frame for page in pages for frame in page.frames]


def test_a_full_log_refuses_records_by_number() -> None:
    """A batch that would pass the most records is refused whole; what fits is taken to the last one."""
    run = log(Bounds(3, None, trims=False))
    assert put(run, b"1", b"2") is Answer.OK
    assert put(run, b"3", b"4") is Answer.FULL
    assert run.last_offset == 2
    assert put(run, b"3") is Answer.OK
    assert put(run, b"4") is Answer.FULL
    assert kept(run) == (1, [b"1", b"2", b"3"])


def test_a_full_log_refuses_records_by_size() -> None:
    """A batch that would pass the most bytes is refused whole, and so is a record that never fits."""
    run = log(Bounds(None, 10, trims=False))
    assert put(run, b"12345678901") is Answer.FULL
    assert put(run, b"12345", b"6789") is Answer.OK
    assert put(run, b"01") is Answer.FULL
    assert put(run, b"0") is Answer.OK
    assert put(run, b"1") is Answer.FULL


def test_a_seal_always_fits() -> None:
    """A full log takes a seal alone, of its producer or over its head, however long, but no record with it."""
    for bounds in (Bounds(2, None, trims=False), Bounds(None, 2, trims=False)):
        run = log(bounds)
        put(run, b"1", b"2")
        assert put(run, b"3", seal=SEAL) is Answer.FULL
        assert run.outcome is None
        assert put(run, seal=SEAL) is Answer.OK
        assert kept(run) == (1, [b"1", b"2", SEAL.frame])
        run = log(bounds)
        put(run, b"1", b"2")
        run.take_over(LOST)
        assert kept(run) == (1, [b"1", b"2", LOST.frame])


def test_a_full_log_knows_its_own_batches() -> None:
    """I5: the retry of a batch that is there is a duplicate, full or not, and a gap is a gap."""
    run = log(Bounds(2, None, trims=False))
    put(run, b"1", b"2")
    assert run.judge(1, 1, [b"1", b"2"], None) is Answer.DUPLICATE
    assert run.judge(1, 4, [b"4"], None) is Answer.GAP
    assert run.judge(2, 3, [b"3"], None) is Answer.FENCED
    assert run.judge(1, 3, [], None) is Answer.DUPLICATE


def test_a_trimmed_log_drops_its_oldest_records() -> None:
    """Defect 15: a log that trims keeps the newest, at their offsets, and says to each reader what it has missed."""
    run = log(Bounds(3, None, trims=True))
    for number in range(1, 11):
        assert put(run, str(number).encode()) is Answer.OK
    assert run.last_offset == 10
    assert kept(run) == (8, [b"8", b"9", b"10"])
    for after in range(11):
        page = run.page(run.place(after), 1)
        assert page.after == after
        assert page.first == max(after + 1, 8)
        assert (page.first > page.after + 1) == (after < 7)
        assert list(page.frames) == [str(page.first).encode()][: 10 - after]
    with pytest.raises(CursorMismatchError):
        run.place(11)


def test_a_log_is_trimmed_by_size() -> None:
    """The most bytes hold whatever the records' sizes, but the newest record is kept in any case."""
    run = log(Bounds(None, 10, trims=True))
    put(run, b"1234", b"5678")
    assert kept(run) == (1, [b"1234", b"5678"])
    put(run, b"901")
    assert kept(run) == (2, [b"5678", b"901"])
    put(run, b"x" * 50)
    assert kept(run) == (4, [b"x" * 50])
    put(run, b"y")
    assert kept(run) == (5, [b"y"])


def test_one_batch_may_be_trimmed_in_part() -> None:
    """A batch longer than the log leaves its newest records, and the seal is one of them."""
    run = log(Bounds(2, None, trims=True))
    put(run, b"1", b"2", b"3", b"4", seal=SEAL)
    assert kept(run) == (4, [b"4", SEAL.frame])
    assert run.last_offset == 5


def test_a_trimmed_log_keeps_its_epochs() -> None:
    """I7: after a takeover and a trim a cursor of the old epoch holds up to where that ended, and not beyond."""
    run = log(Bounds(2, None, trims=True))
    put(run, b"1", b"2", b"3", b"4")
    old = run.info().epoch
    run.take_over(LOST)
    assert kept(run, Cursor(old, 4)) == (5, [LOST.frame])
    assert kept(run, Cursor(old, 1)) == (4, [b"4", LOST.frame])
    assert run.page(0, 10).epoch == old
    assert run.page(4, 10).epoch == run.info().epoch != old
    with pytest.raises(CursorMismatchError):
        run.place(Cursor(old, 5))


def test_a_trimmed_log_knows_its_retries() -> None:
    """I5: the retry of a batch is a duplicate, though its records are gone."""
    run = log(Bounds(1, None, trims=True))
    put(run, b"1", b"2", b"3")
    assert run.judge(1, 1, [b"1", b"2", b"3"], None) is Answer.DUPLICATE
    assert run.judge(1, 1, [b"1"], None) is Answer.DUPLICATE


@pytest.mark.parametrize("place", [-1, 10**18, 1.0, "1", True])
def test_what_is_no_offset_is_refused(place: object) -> None:
    """I11: an offset that no log can have is an invalid cursor, told as it was given."""
    with pytest.raises(InvalidCursorError) as caught:
        log().place(place)  # type: ignore[arg-type]
    assert caught.value.text is place


def test_metadata_are_json() -> None:
    """Metadata are kept as any store would give them back, read-only, and what is not JSON is refused."""
    run = RunLog("run", Opening(10, LOST, LOST, metadata={"a": (1, 2)}), UNBOUNDED, 0.0)
    assert dict(run.info().metadata) == {"a": [1, 2]}
    with pytest.raises(TypeError):
        run.info().metadata["a"] = 1  # type: ignore[index]
    with pytest.raises(InvalidEventError):
        RunLog("run", Opening(10, LOST, LOST, metadata={"a": object()}), UNBOUNDED, 0.0)


def test_epochs_are_random() -> None:
    """No two logs, and no two fences of one, have the same epoch, and each is fit for a cursor."""
    epochs: set[str] = set()
    for _ in range(1000):
        run = log()
        epochs.add(run.info().epoch)
        run.take_over(LOST)
        epochs.add(run.info().epoch)
    assert len(epochs) == 2000
    assert all(Cursor(epoch, 0) for epoch in epochs)


def test_an_event_costs_its_bytes() -> None:
    """L6: a stored event takes its payload and 100 bytes at most, in however many batches it came."""
    gc.collect()
    tracemalloc.start()
    try:
        run = log()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            put(run, b"data: %195d\n\n" % number)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    payload = len(b"data: %195d\n\n" % 0)
    assert taken / 10_000 <= payload + 100
    assert sys.getsizeof(run) < 300


def test_a_trimmed_log_stays_small() -> None:
    """L6: however many records were appended, a log that trims holds its bound and no more."""
    run = log(Bounds(100, None, trims=True))
    for number in range(10_000):
        put(run, b"%d" % number)
    assert len(run._frames) == 100
    assert run._size == sum(map(len, run._frames)) == 400
    assert run.last_offset == 10_000
    assert all(after[0] == before[0] for before, after in pairwise([kept(run)] * 2))
