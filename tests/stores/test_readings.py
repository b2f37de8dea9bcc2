"""What is read of a run, and heard of it."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from sse_relay import Cursor, Outcome
from sse_relay.stores.readings import Page, Record, RunInfo, Wake

INFO = RunInfo("run", None, "running", "epoch-12", 5, None, 1.0, 2.0)


def test_a_page_tells_its_records_apart() -> None:
    """Each record of a page has the page's epoch, the next offset, and the cursor of whoever has seen it."""
    page = Page(INFO, "epoch-12", 4, [b"a", b"b"], 3)
    assert page.records() == [Record("epoch-12", 4, b"a"), Record("epoch-12", 5, b"b")]
    assert page.last == 5
    assert page.records()[-1].cursor == Cursor("epoch-12", 5)


def test_an_empty_page_stands_where_its_reader_stands() -> None:
    """The last offset of an empty page is the one to read on from."""
    page = Page(INFO, "epoch-12", 6, [], 5)
    assert page.last == 5
    assert page.records() == []


def test_what_is_made_field_by_field_is_no_other() -> None:
    """A snapshot, page or wake of a live append equals the one that its constructor makes, and is as frozen."""
    known = replace(INFO, key="k", metadata={"a": 1}, dialect="letta", joined=True, trace="00-1")
    ended = Outcome("failed", "x")
    info = known.moved("epoch-13", 9, ended, 3.0)
    assert info == replace(
        known, epoch="epoch-13", last_offset=9, outcome=ended, status="failed", updated_at=3.0, joined=False
    )
    page = Page.appended(info, 8, [b"a", b"b"])
    assert page == Page(info, "epoch-13", 8, [b"a", b"b"], 7)
    wake = Wake.appended("run", page)
    assert wake == Wake("run", page)
    for made in (info, page, wake):
        assert not hasattr(made, "__dict__")
        with pytest.raises(FrozenInstanceError):
            setattr(made, fields(made)[0].name, None)
    assert known.moved("epoch-12", 6, None, 3.0).status == "running"


def test_snapshots_do_not_change() -> None:
    """What a store tells is a snapshot, which nobody can change by accident, nor its default metadata."""
    with pytest.raises(FrozenInstanceError):
        INFO.status = "lost"  # type: ignore[misc]
    with pytest.raises(TypeError):
        INFO.metadata["a"] = 1  # type: ignore[index]
