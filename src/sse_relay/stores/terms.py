"""What a store is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, get_args

from sse_relay.outcome import Outcome
from sse_relay.stores.readings import RunInfo

__all__ = [
    "Answer",
    "Appended",
    "Ended",
    "Grant",
    "OnConflict",
    "Opened",
    "Opening",
    "Seal",
]

OnConflict = Literal["reject", "join", "replace"]

_ON_CONFLICT = frozenset(get_args(OnConflict))


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
