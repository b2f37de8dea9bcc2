"""What a store is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, get_args

from sse_relay.outcome import Outcome, Status
from sse_relay.wire.cursor import Cursor

__all__ = [
    "Answer",
    "Appended",
    "Ended",
    "Grant",
    "OnConflict",
    "Opened",
    "Opening",
    "Page",
    "Record",
    "RunInfo",
    "RunStatus",
    "Seal",
    "Wake",
]

RunStatus = Literal["running"] | Status
OnConflict = Literal["reject", "join", "replace"]

_ON_CONFLICT = frozenset(get_args(OnConflict))


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
class Seal:
    """The last record of a log: how the run ended, and the frame that says so."""

    outcome: Outcome
    frame: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """
    The right to produce one run, for `lease` seconds from the last append or renewal that was not refused.

    A holder whose lease has passed may go on for as long as nobody has taken the run over: only the fence decides.
    """

    run_id: str
    epoch: str
    fence: int
    lease: float


@dataclass(frozen=True, slots=True)
class Opening:
    """
    What a start asks for.

    Attributes:
        lease: How long the right to produce holds without a sign of life, in seconds.
        run_id: The caller's own id; None: the store makes one of 128 random bits.
        key: What may have one active run; None: nothing.
        on_conflict: What to do when the key has one: ``reject``, ``join`` it, or ``replace`` it.
        replaced: Seals a run that is replaced.
        lapsed: Seals a run whose producer is found dead.
        idempotency_key: Makes the same start, asked again, find the run of the first one.
        fingerprint: What must be equal for it to be the same start.
        metadata: Kept with the run; JSON values.
        dialect: What the source speaks.
        claim: A random token of this call. Asked again with the same `run_id` and claim, it gets the same grant again.
        trace: What an observer keeps with the run, for those of its viewers: ASCII, a W3C ``traceparent``.

    Raises:
        ValueError: The lease is not positive, or `on_conflict` is none of the three.
    """

    lease: float
    replaced: Seal
    lapsed: Seal
    run_id: str | None = None
    key: str | None = None
    on_conflict: OnConflict = "reject"
    idempotency_key: str | None = None
    fingerprint: str = ""
    metadata: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    dialect: str = "native"
    claim: str = ""
    trace: str = ""

    def __post_init__(self) -> None:
        if not self.lease > 0:
            raise ValueError(f"lease must be positive, not {self.lease}")
        if self.on_conflict not in _ON_CONFLICT:
            raise ValueError(f'on_conflict must be "reject", "join" or "replace", not {self.on_conflict!r}')


@dataclass(frozen=True, slots=True)
class Opened:
    """
    What a start got.

    Attributes:
        info: The new run; without a grant, the one that was there.
        grant: The right to produce it.
        ended: The run that this very call sealed, because it was replaced or its producer was dead.
    """

    info: RunInfo
    grant: Grant | None
    ended: RunInfo | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """
    What became of an `end`.

    Attributes:
        info: The run.
        sealed: Whether this very call sealed it: of all who try, one is told so.
    """

    info: RunInfo
    sealed: bool


class Answer(Enum):
    """What became of an append or a renewal."""

    OK = "ok"
    """Done, and visible to every reader from now on."""
    DUPLICATE = "duplicate"
    """Done already, by this fence: all of the batch is there, also its seal. What is there stays as it is."""
    FENCED = "fenced"
    """Refused: somebody took the run over. It stays so."""
    SEALED = "sealed"
    """Refused: the log is closed."""
    GAP = "gap"
    """Refused: it does not begin after the last record, which `Appended.last_offset` tells. Send what is missing."""
    FULL = "full"
    """Refused: the log is at its bound. A seal alone still fits."""
    MISSING = "missing"
    """Refused: there is no such run. It is never made anew."""


class _AppendedFields:
    """Assignable, as those of a `ServerSentEvent` are, and for the same reason."""

    __slots__ = ("answer", "cancel", "last_offset")


@dataclass(frozen=True, slots=True)
class Appended(_AppendedFields):
    """
    The answer to an append or a renewal.

    Attributes:
        answer: What became of it.
        last_offset: The last record of the log.
        cancel: Why somebody asked the run to stop; None: nobody did.
    """

    answer: Answer
    last_offset: int = 0
    cancel: str | None = None

    @staticmethod
    def told(answer: Answer, last_offset: int, cancel: str | None) -> "Appended":
        """Make one at a quarter of what the constructor costs: there is one an event."""
        appended: Any = _AppendedFields()
        appended.answer = answer
        appended.last_offset = last_offset
        appended.cancel = cancel
        appended.__class__ = Appended
        told: Appended = appended
        return told


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
