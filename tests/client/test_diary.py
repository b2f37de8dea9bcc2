"""The last events of a stream."""

import pytest

from sse_relay import ServerSentEvent
from sse_relay.client.diary import Diary, Entry


def test_the_last_hundred() -> None:
    """I8, L6: a hundred entries are kept, each with the beginning of its data."""
    diary = Diary()
    for number in range(250):
        diary.note(number / 10, ServerSentEvent("x" * 1000, id=str(number), event="text"))
    assert len(diary.entries) == 100
    assert diary.entries[0] == Entry(15.0, "150", "text", "x" * 200, 1000)
    diary.note(0, ServerSentEvent(None))
    assert diary.entries[-1] == Entry(0, None, None, "", 0)


def test_its_failure_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """I8: what writing an entry raises is logged, once; the entries are kept."""
    written: list[Entry] = []

    def write(entry: Entry) -> None:
        written.append(entry)
        raise OSError("disk full")

    diary = Diary(write)
    diary.note(0, ServerSentEvent("1"))
    diary.note(1, ServerSentEvent("2"))
    assert list(diary.entries) == written
    assert [record.levelname for record in caplog.records] == ["WARNING"]
