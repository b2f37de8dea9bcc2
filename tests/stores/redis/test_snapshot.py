"""What a run's hash tells, and the pages of its log."""

import json

import pytest

from sse_relay import Cursor, CursorMismatchError, Outcome
from sse_relay.stores.redis.codec import outcome_text, pack
from sse_relay.stores.redis.snapshot import Snapshot, text

FIRST, SECOND = "first-epoch", "second-epoch"


def snapshot(last: int, epochs: str = FIRST, **fields: str) -> Snapshot:
    known = {"id": "r", "metadata": "", "dialect": "native", "created": "1000001", "updated": "2000002", **fields}
    flat = {"last": str(last), "epochs": epochs, **known}
    return Snapshot(json.dumps([part for pair in flat.items() for part in pair]).encode())


ALL = (9, 99)  # records, bytes
LOG = [b"a", b"b", b"c", b"d", b"e"]


def read(first: int, last: int = 5) -> tuple[int, int, list[bytes]]:
    """Tell records as they are read: where they begin, how many, and their batches."""
    frames = LOG[first - 1 : last]
    return first, len(frames), [pack([frame]) for frame in frames]


def test_the_state_is_told() -> None:
    """Every field of a run's state is told, in the units of the contract."""
    outcome = Outcome("failed", "error")
    info = snapshot(3, key="", metadata='{"a":[1]}', outcome=outcome_text(outcome)).info(joined=True)
    assert (info.id, info.key, info.status, info.outcome, info.last_offset) == ("r", "", "failed", outcome, 3)
    assert (info.created_at, info.updated_at, info.metadata, info.joined) == (1.000001, 2.000002, {"a": [1]}, True)
    info = snapshot(0).info()
    assert (info.key, info.status, info.metadata, info.epoch, info.joined) == (None, "running", {}, FIRST, False)


def test_a_page_is_cut_out_of_batches() -> None:
    """I3: from every place, on pages of every size, a page is what follows, however much before it was read, too."""
    for after in range(6):
        for begin in range(1, after + 2):
            for limit in range(1, 7):
                page = snapshot(5).page(after, (limit, 99), *read(begin))
                assert list(page.frames) == LOG[after : after + limit]
                assert (page.first, page.after, page.epoch) == (after + 1, after, FIRST)


def test_a_page_ends_with_its_epoch() -> None:
    """I4: records of two epochs are never on one page, and each page tells its own."""
    taken = snapshot(5, f"{FIRST}:4,{SECOND}")
    assert [(page.epoch, page.last) for page in (taken.page(0, ALL, *read(1)), taken.page(4, ALL, *read(5)))] == [
        (FIRST, 4),
        (SECOND, 5),
    ]


def test_what_vanished_is_not_spliced_over() -> None:
    """I7: a page begins after what is gone, ends where something is missing, and is empty if everything is gone."""
    gone = snapshot(5).page(0, ALL, *read(2))
    assert (gone.after, gone.first, len(gone.frames)) == (0, 2, 4)
    torn = snapshot(5).page(0, ALL, *read(1, 1))
    assert (torn.first, list(torn.frames)) == (1, [b"a"])
    nothing = snapshot(5).page(2, ALL)
    assert (nothing.after, nothing.first, list(nothing.frames)) == (2, 6, [])


def test_places_that_never_were_are_refused() -> None:
    """I11: a foreign epoch, and what is beyond the end of the log or of an epoch."""
    taken = snapshot(5, f"{FIRST}:4,{SECOND}")
    for place, kind in (
        (Cursor("other-epoch", 0), "foreign"),
        (Cursor(FIRST, 5), "rolled_back"),
        (Cursor(SECOND, 6), "rolled_back"),
        (6, "rolled_back"),
    ):
        with pytest.raises(CursorMismatchError) as caught:
            taken.page(place, ALL, *read(1))
        assert caught.value.kind == kind


def test_half_characters_are_text_too() -> None:
    """What a user sent broken comes back broken, and raises nothing."""
    assert text("\ud800é".encode("utf-8", "surrogatepass")) == "\ud800é"


def test_what_is_trimmed_is_not_shown() -> None:
    """I7: records that are dropped, though their entry is still there, are a gap like those whose entry has gone."""
    page = snapshot(5, trimmed="2").page(0, ALL, *read(1))
    assert (page.after, page.first, list(page.frames)) == (0, 3, [b"c", b"d", b"e"])
    assert snapshot(5, trimmed="2").page(3, ALL, *read(1)).first == 4
