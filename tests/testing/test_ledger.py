"""What is known of one run's log, and what contradicts it."""

from dataclasses import replace

from sse_relay import Cursor, Outcome
from sse_relay.stores.protocol import Answer, Appended, Ended, Grant, Page, Record, RunInfo, Seal
from sse_relay.testing.findings import Findings
from sse_relay.testing.ledger import Ledger, Wanted

OLD, NEW = "the-old-epoch", "the-new-epoch"
GRANT = Grant("run", OLD, 1, 10.0)
SEAL = Seal(Outcome("lost"), b"event: end\ndata: {}\n\n")
A, B = b"data: a\n\n", b"data: b\n\n"


def opened() -> tuple[Findings, Ledger]:
    """A ledger of a run that two records were appended to."""
    findings = Findings(trims=False)
    ledger = Ledger("run", findings)
    ledger.is_told(findings.tick(), info(0))
    append(findings, ledger, 1, A, B)
    findings.seals.add(SEAL.frame)
    return findings, ledger


def info(last: int, epoch: str = OLD, outcome: Outcome | None = None) -> RunInfo:
    return RunInfo("run", None, outcome.status if outcome else "running", epoch, last, outcome, 0.0, 0.0)


def append(findings: Findings, ledger: Ledger, first: int, *frames: bytes, answer: Answer = Answer.OK) -> None:
    wanted = Wanted(GRANT, first, frames, None)
    ledger.append_is_asked(wanted)
    ledger.append_is_answered(findings.tick(), wanted, Appended(answer, wanted.last))


def read(asked: int, ledger: Ledger, after: Cursor | int, page: Page) -> None:
    ledger.page_is_read(asked, after, 500, page)


def test_the_log_is_what_was_acknowledged_or_read() -> None:
    """What was asked for and never answered is in the log once somebody reads it."""
    findings, ledger = opened()
    ledger.append_is_asked(Wanted(GRANT, 3, [A], None))
    assert [record.frame for record in ledger.log] == [A, B]
    assert ledger.record(3) is None
    read(findings.tick(), ledger, 2, Page(info(3), OLD, 3, [A], 2))
    assert [record.frame for record in ledger.log] == [A, B, A]
    assert not findings.broken


def test_a_question_that_overlaps_an_answer_may_have_come_first() -> None:
    """I5, I6, I8: only what had been answered before the question was asked binds its answer."""
    findings, ledger = opened()
    early = findings.tick()
    append(findings, ledger, 3, A)
    ledger.is_told(findings.tick(), info(3))
    ledger.end_is_answered(findings.tick(), SEAL, Ended(info(4, NEW, SEAL.outcome), sealed=True))
    ledger.grant_is_answered(findings.tick(), GRANT, Appended(Answer.FENCED))
    read(early, ledger, 0, Page(info(2), OLD, 1, [A, B], 0))
    ledger.is_told(early, info(2))
    ledger.grant_is_answered(early, GRANT, Appended(Answer.OK, 3))
    assert not findings.broken
    late = findings.tick()
    read(late, ledger, 0, Page(info(2), OLD, 1, [A, B], 0))
    ledger.grant_is_answered(late, GRANT, Appended(Answer.OK, 3))
    assert [broken[:2] for broken in findings.broken] == ["I5", "I8", "I8", "I6"]


def test_a_takeover_ends_an_epoch_where_its_records_end() -> None:
    """I6, I3: the old epoch's cursors are good up to there, and none of its records may come behind."""
    findings, ledger = opened()
    ledger.end_is_answered(findings.tick(), SEAL, Ended(info(3, NEW, SEAL.outcome), sealed=True))
    assert (ledger.outcome, ledger.sealed_at) == (SEAL.outcome, 3)
    ended = info(3, NEW, SEAL.outcome)
    for cursor in (Cursor(OLD, 2), Cursor(NEW, 2), 2):
        read(findings.tick(), ledger, cursor, Page(ended, NEW, 3, [SEAL.frame], 2))
    ledger.place_is_refused(findings.tick(), Cursor(OLD, 3))
    ledger.place_is_refused(findings.tick(), Cursor("of-another-log", 1))
    ledger.place_is_refused(findings.tick(), 4)
    assert not findings.broken
    ledger.append_is_asked(Wanted(GRANT, 3, [A], None))
    read(findings.tick(), ledger, 2, Page(ended, OLD, 3, [A], 2))
    assert "I6: run run: a read after 2: record the-old-epoch:3, and its epoch ended at 2" in findings.broken


def test_the_same_asked_again_is_there_once() -> None:
    """I5: DUPLICATE says that what is there stays; another batch at that place is not what is there."""
    findings, ledger = opened()
    append(findings, ledger, 1, A, B, answer=Answer.DUPLICATE)
    append(findings, ledger, 1, B, A, answer=Answer.DUPLICATE)
    assert [record.frame for record in ledger.log] == [A, B]
    assert not findings.broken
    append(findings, ledger, 2, B)
    assert [broken[:2] for broken in findings.broken] == ["I5"]


def test_what_nobody_can_know_is_no_finding() -> None:
    """A refusal of what is not known to be in the log, and a wake-up that comes late, break nothing."""
    findings, ledger = opened()
    early = Page(info(2), OLD, 1, [A, B], 0)
    ledger.place_is_refused(findings.tick(), 3)
    ledger.place_is_refused(findings.tick(), Cursor(OLD, 3))
    append(findings, ledger, 3, A)
    ledger.end_is_answered(findings.tick(), SEAL, Ended(info(4, NEW, SEAL.outcome), sealed=True))
    ledger.is_told(0, early.info)
    ledger.page_is_seen(early, "a wake-up")
    assert not findings.broken


def test_a_gap_is_believed_where_logs_are_trimmed() -> None:
    """I7: a reader may be told that records are gone; then they stay gone, and nobody else may see them."""
    for trims in (False, True):
        findings, ledger = opened()
        findings.trims = trims
        cut = Page(info(2), OLD, 2, [B], 0)
        assert not ledger.is_trimmed(1)
        read(findings.tick(), ledger, 0, cut)
        assert ledger.is_trimmed(1)
        assert not ledger.is_trimmed(2)
        assert len(findings.broken) == (not trims)
        read(findings.tick(), ledger, 0, replace(cut, first=1, frames=[A, B]))
        assert "which another reader was told is gone" in findings.broken[-1]


def test_holes_are_believed_where_records_are_lost() -> None:
    """I7: of a run that has lost records any may be missing, in any read; what another reader has is no finding."""
    findings, ledger = opened()
    ledger.is_lossy = True
    page = Page(info(2), OLD, 2, [B], 0)
    read(findings.tick(), ledger, 0, page)
    read(findings.tick(), ledger, 0, replace(page, first=1, frames=[A]))
    assert not findings.broken
    assert ledger.is_trimmed(1)
    read(findings.tick(), ledger, 0, replace(page, first=1, frames=[B, B]))
    assert "I4" in findings.broken[-1]


def test_a_run_ends_once_and_there() -> None:
    """I2: one outcome, one place for it, and no record behind, in whatever order it is told."""
    end = info(3, NEW, SEAL.outcome)
    told = {
        "two outcomes": (end, info(3, NEW, Outcome("failed"))),
        "two places": (end, info(4, NEW, SEAL.outcome)),
        "too early": (info(1, OLD, SEAL.outcome),),
    }
    for how, infos in told.items():
        findings, ledger = opened()
        ledger.append_is_asked(Wanted(GRANT, 3, [A, A], None))
        for each in infos:
            ledger.is_told(0, each)
        assert [broken[:2] for broken in findings.broken] == ["I2"], how
    findings, ledger = opened()
    ledger.is_told(findings.tick(), info(2, OLD, SEAL.outcome))
    ledger.append_is_asked(Wanted(GRANT, 3, [A], None))
    ledger.store(Record(OLD, 3, A), "a read")
    assert findings.broken == ["I2: run run: a read: record 3, and the log was sealed at 2"]


def test_an_epoch_that_follows_another_ends_it() -> None:
    """I6: a new epoch is a takeover, though the run goes on; told in an overlapping answer, it may be the older one."""
    for overlaps in (False, True):
        findings, ledger = opened()
        asked = 0 if overlaps else findings.tick()
        ledger.is_told(asked, info(2, NEW))
        ledger.grant_is_answered(findings.tick(), GRANT, Appended(Answer.OK, 2))
        assert len(findings.broken) == (not overlaps)


def test_the_beginning_is_a_place_of_every_epoch() -> None:
    """I3: the cursor before the first record is valid for every epoch that the log had, and of no other."""
    findings, ledger = opened()
    ledger.place_is_refused(findings.tick(), Cursor("of-another-log", 0))
    assert not findings.broken
    ledger.place_is_refused(findings.tick(), Cursor(OLD, 0))
    assert len(findings.broken) == 1
