"""What one viewer has seen, held against the log."""

import pytest

from sse_relay import Cursor, InvalidCursorError, Outcome, ServerSentEvent
from sse_relay.stores.protocol import Record, Seal
from sse_relay.testing.findings import Findings
from sse_relay.testing.ledger import Wanted
from sse_relay.testing.viewer import Viewer
from sse_relay.wire.encoder import frame
from tests.testing.test_ledger import GRANT, opened


def saw(viewer: Viewer, *events: ServerSentEvent) -> list[str]:
    for event in events:
        viewer.saw(event)
    return [broken.partition(": run run: ")[2] for broken in viewer._ledger._findings.broken]


def at(offset: int, data: str, name: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(data, event=name, id=f"{GRANT.epoch}:{offset}")


def test_a_viewer_begins_behind_its_cursor() -> None:
    """Nothing, an offset, a cursor and its text: each says which record was seen last."""
    _, ledger = opened()
    for after, place in ((None, 0), (0, 0), (1, 1), (Cursor(GRANT.epoch, 1), 1), (f"{GRANT.epoch}:1", 1)):
        viewer = Viewer(ledger, after)
        assert viewer.place == place
        assert not saw(viewer, *[at(1, "a"), at(2, "b")][place:])
        assert viewer.place == 2
    with pytest.raises(InvalidCursorError):
        Viewer(ledger, "1")


def test_a_viewer_is_held_against_the_log_at_each_instant() -> None:
    """I1: an event is a finding unless the log has that very record by then; afterwards the viewer goes on from it."""
    findings, ledger = opened()
    viewer = Viewer(ledger, 2)
    assert saw(viewer, at(3, "c")) == [
        f"a viewer that stood at 2 saw {GRANT.epoch}:3 b'data: c\\n\\n', and the log has None"
    ]
    ledger.append_is_asked(Wanted(GRANT, 4, frames := [b"event: note\ndata: d\n\n"], None))
    ledger.store(Record(GRANT.epoch, 4, frames[0]), "a test")
    assert len(saw(viewer, at(4, "d", "note"))) == 1
    assert viewer.place == 4
    assert len(findings.broken) == 1


def test_the_end_is_where_the_log_is_sealed() -> None:
    """I2: an end carries the outcome of the run, and is its seal."""

    def ends() -> tuple[Findings, Viewer]:
        findings, ledger = opened()
        outcome = Outcome("completed")
        wanted = Wanted(GRANT, 3, [], Seal(outcome, frame(end)))
        ledger.append_is_asked(wanted)
        findings.seals.add(frame(end))
        ledger.store(wanted.records[0], "a test")
        ledger._end(outcome, 3, findings.tick())
        return findings, Viewer(ledger, 2)

    end = at(3, "{}", "end")
    findings, viewer = ends()
    assert not saw(viewer, end.replace(outcome=Outcome("completed")))
    viewer.ended(Outcome("completed"))
    assert not findings.broken
    _, viewer = ends()
    assert "was told that it ended as" in saw(viewer, end.replace(outcome=Outcome("failed")))[0]
    _, viewer = ends()
    assert not saw(viewer, end)


def test_one_mistake_is_one_finding() -> None:
    """I1: a record that is seen again is a finding, and the viewer is where it was."""
    _, ledger = opened()
    viewer = Viewer(ledger)
    assert len(saw(viewer, at(1, "a"), at(1, "a"), at(2, "b"))) == 1
    assert viewer.place == 2
    viewer = Viewer(ledger)
    assert len(saw(viewer, at(1, "a"), at(2, "b"), at(1, "a"))) == 2
    assert viewer.place == 2
