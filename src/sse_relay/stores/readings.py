"""What is read of a run, and heard of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.outcome import Outcome, Status
from sse_relay.wire.cursor import Cursor

__all__ = ["Page", "Record", "RunInfo", "RunStatus", "Wake"]

RunStatus = Literal["running"] | Status


class _InfoFields:
    """Assignable, as those of a `ServerSentEvent` are, and for the same reason."""

    __slots__ = (
        "created_at", "dialect", "epoch", "id", "joined", "key", "last_offset", "metadata", "outcome", "status",
        "trace", "updated_at",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunInfo(_InfoFields):
    """
    A snapshot of one run.

    Attributes:
        id: The run's id.
        key: The caller's name for what may have one active run.
        status: ``running``, or how it ended.
        epoch: The epoch of the current fence.
        last_offset: How many records were ever appended.
        outcome: How it ended; None while it runs.
        created_at: When it was opened, in seconds by the store's clock.
        updated_at: When it was last active; of a run that has ended, when that was.
        metadata: The caller's own, as JSON gives it back.
        dialect: What its source speaks.
        joined: Whether a start found the run rather than made it.
        trace: As its opening.
    """

    id: str
    key: str | None
    status: RunStatus
    epoch: str
    last_offset: int
    outcome: Outcome | None
    created_at: float
    updated_at: float
    metadata: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    dialect: str = "native"
    joined: bool = False
    trace: str = ""

    def moved(self, epoch: str, last_offset: int, outcome: Outcome | None, updated_at: float) -> "RunInfo":
        """Tell the run as it is after an append."""
        info: Any = _InfoFields()
        info.id = self.id
        info.key = self.key
        info.status = "running" if outcome is None else outcome.status
        info.epoch = epoch
        info.last_offset = last_offset
        info.outcome = outcome
        info.created_at = self.created_at
        info.updated_at = updated_at
        info.metadata = self.metadata
        info.dialect = self.dialect
        info.joined = False
        info.trace = self.trace
        info.__class__ = RunInfo
        moved: RunInfo = info
        return moved


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a log, with its place."""

    epoch: str
    offset: int
    frame: bytes

    @property
    def cursor(self) -> Cursor:
        """The place, as a reader remembers it."""
        return Cursor(self.epoch, self.offset)


class _PageFields:
    __slots__ = ("after", "epoch", "first", "frames", "info")


@dataclass(frozen=True, slots=True)
class Page(_PageFields):
    """
    Consecutive records of one epoch, and the run's state in the same instant.

    Attributes:
        info: The run.
        epoch: The epoch of all of them.
        first: The offset of the first one; of an empty page, the next one that there will be.
        frames: The records.
        after: What the reader had seen. ``first > after + 1``: the records between were trimmed.
    """

    info: RunInfo
    epoch: str
    first: int
    frames: Sequence[bytes]
    after: int

    @property
    def last(self) -> int:
        """The offset of the last one; of an empty page, where the reader stands."""
        return self.first + len(self.frames) - 1

    def records(self) -> list[Record]:
        """Tell the records apart."""
        return [Record(self.epoch, self.first + index, frame) for index, frame in enumerate(self.frames)]

    @staticmethod
    def appended(info: RunInfo, first: int, frames: Sequence[bytes]) -> "Page":
        """Tell what was just appended, to who has seen all before it."""
        page: Any = _PageFields()
        page.info = info
        page.epoch = info.epoch
        page.first = first
        page.frames = frames
        page.after = first - 1
        page.__class__ = Page
        appended: Page = page
        return appended


class _WakeFields:
    __slots__ = ("cancel", "page", "run_id", "taken")


@dataclass(frozen=True, slots=True)
class Wake(_WakeFields):
    """
    Word that something happened to a run. A hint: it may be lost, doubled or late, and reading again tells the truth.

    Attributes:
        run_id: The run.
        page: What was appended, if the store has it at hand.
        cancel: Why somebody asked the run to stop, if that is what happened.
        taken: The new epoch, if somebody took the run over, and the store tells no page of that.
    """

    run_id: str
    page: Page | None = None
    cancel: str | None = None
    taken: str | None = None

    @staticmethod
    def appended(run_id: str, page: Page) -> "Wake":
        """Tell what was appended."""
        wake: Any = _WakeFields()
        wake.run_id = run_id
        wake.page = page
        wake.cancel = wake.taken = None
        wake.__class__ = Wake
        appended: Wake = wake
        return appended
