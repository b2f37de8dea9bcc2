"""What is known of one run's log, from all that was asked of stores and answered; and what contradicts it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_relay.stores.protocol import Answer, Appended, Ended, Grant, Page, Record, RunInfo, Seal
from sse_relay.testing.findings import Findings, Floor
from sse_relay.wire.cursor import Cursor

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Ledger", "Wanted"]

_NOTHING: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a producer wants to append."""

    grant: Grant
    first: int
    frames: Sequence[bytes]
    seal: Seal | None

    @property
    def records(self) -> list[Record]:
        """The records, each at its place."""
        frames = [*self.frames, *([self.seal.frame] if self.seal else [])]
        return [Record(self.grant.epoch, offset, frame) for offset, frame in enumerate(frames, self.first)]

    @property
    def last(self) -> int:
        """The place of the last one."""
        return self.first - 1 + len(self.frames) + (self.seal is not None)


class Ledger:
    """
    One run, as it was told.

    An answer is held against what had been answered before the question was asked: of two that overlap, either may
    have come first.

    Attributes:
        outcome: How the run ended, if that was told.
        sealed_at: The offset of its seal.
        is_lossy: Whether records of it may be gone.
    """

    def __init__(self, run_id: str, findings: Findings) -> None:
        self.outcome: Outcome | None = None
        self.sealed_at: int = 0
        self.is_lossy: bool = False
        self._run_id = run_id
        self._findings = findings
        self._log: dict[int, Record] = {}
        self._asked: dict[tuple[str, int], set[bytes]] = {}  # what producers wanted at each place
        self._reach = 0  # the last place that a producer wanted
        self._acknowledged = Floor()
        self._told = Floor()
        self._kept_from = Floor()  # the first record after a gap
        self._ended_when = 0
        self._epochs: set[str] = set()
        self._epoch_when = 0  # when the newest of them was told
        self._ends: dict[str, int] = {}  # where each epoch but the last one ended
        self._ended_epochs: dict[str, int] = {}  # and when that was told
        self._fenced: dict[int, int] = {}  # when a fence was first refused

    @property
    def log(self) -> list[Record]:
        """What is known to be in the log."""
        return [self._log[offset] for offset in sorted(self._log)]

    def record(self, offset: int) -> Record | None:
        """Tell what is known to be there."""
        return self._log.get(offset)

    def is_trimmed(self, offset: int) -> bool:
        """Tell whether a reader was told that the record is gone."""
        return offset < self._kept_from.now

    def break_(self, invariant: str, how: str) -> None:
        """Note that an invariant is broken."""
        self._findings.broken.append(f"{invariant}: run {self._run_id}: {how}")

    def append_is_asked(self, wanted: Wanted) -> None:
        """Note what somebody wants to append, which may be done though it is never answered."""
        for record in wanted.records:
            self._asked.setdefault((record.epoch, record.offset), set()).add(record.frame)
        self._reach = max(self._reach, wanted.last)

    def append_is_answered(self, asked: int, wanted: Wanted, answered: Appended) -> None:
        """Take the answer to it."""
        self.grant_is_answered(asked, wanted.grant, answered)
        now = self._findings.tick()
        if answered.answer is Answer.DUPLICATE:
            self._acknowledged.rise(wanted.last, now)
        if answered.answer is not Answer.OK:
            return
        what = f"an append of {wanted.first} to {wanted.last} was answered OK"
        if 0 < self._ended_when < asked:
            self.break_("I2", f"{what}, after the log was sealed at {self.sealed_at}")
        elif answered.last_offset != wanted.last:
            self.break_("I5", f"{what}, and the log ends at {answered.last_offset}: it is not there once")
        elif wanted.records and self._acknowledged.before(asked) >= wanted.first:
            self.break_("I5", f"{what}, and {wanted.first} was acknowledged before: it was taken twice")
        self._acknowledged.rise(wanted.last, now)
        for record in wanted.records:
            self.store(record, what)
        if wanted.seal is not None:
            self._end(wanted.seal.outcome, wanted.last, now)

    def grant_is_answered(self, asked: int, grant: Grant, answered: Appended) -> None:
        """Take what is said of a right: who has lost it once has lost it."""
        if answered.answer is Answer.FENCED:
            self._fenced.setdefault(grant.fence, self._findings.tick())
        elif answered.answer in {Answer.OK, Answer.DUPLICATE}:
            if 0 < self._fenced.get(grant.fence, 0) < asked:
                self.break_("I6", f"fence {grant.fence} was FENCED, and later {answered.answer.value.upper()}")
            elif 0 < self._ended_epochs.get(grant.epoch, 0) < asked:
                said = answered.answer.value.upper()
                self.break_("I6", f"{said} for epoch {grant.epoch}, after a takeover ended it: an old producer commits")

    def is_told(self, asked: int, info: RunInfo) -> None:
        """Take a state."""
        now, last = self._findings.tick(), info.last_offset
        if (info.outcome is None) != (info.status == "running"):
            self.break_("I8", f"the status is {info.status}, and the outcome {info.outcome}")
        if last < self._told.before(asked):
            self.break_("I8", f"the state tells of {last} records, after it told of {self._told.before(asked)}")
        if last > self._reach + (info.outcome is not None):
            self.break_("I8", f"the state tells of record {last}, and nobody has asked for it: it is ahead of the log")
        if self.outcome is not None and info.outcome is None and self._ended_when < asked:
            self.break_("I8", f"the run is running again, after it was {self.outcome.status}")
        elif self._epochs and self._ended_epochs.get(info.epoch, asked) < asked:
            self.break_("I8", f"epoch {info.epoch} is told again, after a takeover ended it")
        self._told.rise(last, now)
        self._notice_epoch(asked, info, now)
        if info.outcome is not None:
            self._end(info.outcome, last, now)

    def end_is_answered(self, asked: int, seal: Seal, ended: Ended) -> None:
        """Take the answer to an end over the producer's head."""
        if ended.sealed and 0 < self._ended_when < asked:
            self.break_("I2", f"somebody sealed the run, after it had ended as {self.outcome}")
        elif ended.sealed and ended.info.outcome != seal.outcome:
            self.break_("I2", f"the run was sealed as {seal.outcome}, and ended as {ended.info.outcome}")
        self.is_told(asked, ended.info)
        if ended.sealed:
            self.store(Record(ended.info.epoch, ended.info.last_offset, seal.frame), "an end")

    def page_is_read(self, asked: int, after: Cursor | int | None, limit: int, page: Page) -> None:
        """Take a page."""
        place = after.offset if isinstance(after, Cursor) else after or 0
        what = f"a read after {after}"
        acknowledged = self._acknowledged.before(asked)
        if page.info.last_offset < acknowledged:
            self.break_("I5", f"{acknowledged} was acknowledged, and a later read tells of {page.info.last_offset}")
        self.is_told(asked, page.info)
        if page.after != place or page.first <= place or len(page.frames) > limit:
            got = f"{len(page.frames)} records from {page.first}, after {page.after}"
            self.break_("I3", f"{what}, at most {limit}, gave {got}")
        elif page.first > place + 1 and not (self._findings.trims or self.is_lossy):
            self.break_("I7", f"{what} begins at {page.first}, and nothing trims the log")
        elif page.first < self._kept_from.before(asked) and not self.is_lossy:
            self.break_("I7", f"{what} has record {page.first}, which another reader was told is gone")
        elif not page.frames and page.last < page.info.last_offset:
            self.break_("I3", f"{what} gave nothing, and the log goes on to {page.info.last_offset}")
        if page.first > place + 1:
            self._kept_from.rise(page.first, self._findings.tick())
        self.page_is_seen(page, what)
        if isinstance(after, Cursor) and after.epoch not in self._epochs:
            self.break_("I7", f"{what} was answered, and the log never had that epoch")
        elif isinstance(after, Cursor) and place > self._ends.get(after.epoch, place):
            self.break_("I7", f"{what} was answered, and that epoch ended at {self._ends[after.epoch]}: a splice")

    def place_is_refused(self, asked: int, after: Cursor | int | None) -> None:
        """Take the refusal of a cursor."""
        offset = after.offset if isinstance(after, Cursor) else after or 0
        known = self._log.get(offset)
        of_epoch = not isinstance(after, Cursor) or (
            after.epoch in self._epochs if offset == 0 else known is not None and known.epoch == after.epoch
        )
        if of_epoch and offset <= max(self._told.before(asked), self._acknowledged.before(asked)):
            self.break_("I3", f"the cursor {after} was refused, and the log has that place")

    def page_is_seen(self, page: Page, what: str) -> None:
        """Take the records of a page or a wake-up, whatever their order."""
        for record in page.records():
            self.store(record, what)
        sealed = [offset for offset, frame in enumerate(page.frames, page.first) if frame in self._findings.seals]
        ended, last = page.info.outcome, page.info.last_offset
        if ended is None and sealed:
            self.break_("I8", f"{what} has the seal, {sealed[0]}, and the state is running")
        elif ended is not None and page.frames and page.last == last and sealed != [last]:
            self.break_("I8", f"{what}: the state has ended at {last}, and that record is no seal")

    def store(self, record: Record, what: str) -> None:
        """Take a record that is in the log."""
        known, offset = self._log.setdefault(record.offset, record), record.offset
        self._epochs.add(record.epoch)
        wanted = self._asked.get((record.epoch, offset), _NOTHING)
        if offset > self._ends.get(record.epoch, offset):
            self.break_("I6", f"{what}: record {record.cursor}, and its epoch ended at {self._ends[record.epoch]}")
        elif known.epoch != record.epoch:
            self.break_("I3", f"{what}: record {offset} is of epoch {record.epoch}, and was of {known.epoch}")
        elif known.frame != record.frame:
            self.break_("I4", f"{what}: record {record.cursor} is {record.frame!r}, and was {known.frame!r}")
        elif self.sealed_at and offset > self.sealed_at:
            self.break_("I2", f"{what}: record {offset}, and the log was sealed at {self.sealed_at}")
        elif record.frame not in wanted and record.frame not in self._findings.seals:
            self.break_("I5", f"{what}: record {offset} is {record.frame!r}, and nobody wanted that there")

    def _notice_epoch(self, asked: int, info: RunInfo, now: int) -> None:
        others = self._epochs - {info.epoch}
        new = info.epoch not in self._epochs
        if others and (info.outcome is not None or (new and asked > self._epoch_when)):
            for epoch in others:
                self._ended_epochs.setdefault(epoch, now)
                if info.outcome is not None:
                    self._ends.setdefault(epoch, info.last_offset - 1)
        if new:
            self._epochs.add(info.epoch)
            self._epoch_when = now

    def _end(self, outcome: "Outcome", offset: int, now: int) -> None:
        if self.outcome is None:
            self.outcome, self.sealed_at, self._ended_when = outcome, offset, now
            if beyond := [known for known in self._log if known > offset]:
                self.break_("I2", f"the log was sealed at {offset}, and has a record {beyond[0]}")
        elif outcome != self.outcome:
            self.break_("I2", f"it ended as {self.outcome}, and as {outcome}")
        elif offset != self.sealed_at:
            self.break_("I2", f"its seal was at {self.sealed_at}, and is at {offset}")
