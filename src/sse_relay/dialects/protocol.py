"""
What a wire dialect has to say, and to whom.

A dialect is stateless and shared; what one viewer's stream needs to remember lives in its renderer. Nothing here reads
a clock or draws a number: the same records render to the same bytes on any process (``RenderContext`` brings what
would differ).
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = [
    "Dialect",
    "Recogniser",
    "RenderContext",
    "Renderer",
    "TerminalPart",
    "failure_of",
    "interrupted",
    "render_end",
]


@dataclass(frozen=True, slots=True)
class RenderContext:
    """
    What a renderer may know of its run; but for the epoch, the same for every viewer.

    Attributes:
        run_id: The run's id.
        epoch: The log's epoch when the viewer came, another one after a takeover; empty where there is no log.
        created_at: When the run was started, in seconds since 1970.
        metadata: The caller's own.
    """

    run_id: str = ""
    epoch: str = ""
    created_at: float = 0.0
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


class Renderer(Protocol):
    """
    Turn one run's records into what one kind of client reads, in order, deterministically.

    A renderer writes no ids: whoever stores or sends the events knows the cursor, and puts it on the last event of a
    record only, so that a cut between two frames of one record neither loses nor doubles it.

    It may have four more members:

    - ``heartbeat() -> bytes``, which says where the client is.
    - ``around_text``, what is before and behind a text, as JSON, in the data of an event of nothing else: of the first
      choice, and in no log.
    - ``texts(texts, first) -> bytes``, which renders records that are nothing but a text of the first choice each, at
      the offsets from `first` on, and encodes what `event` would say of them. Of each it gets the JSON string without
      its quotes, in UTF-8, never empty. It is not called where the dialect has ids.
    - ``interrupted(error) -> events``, which closes one viewer's stream though the run may go on. Without it that is
      an `end` that failed: right where such an end is an error without a place in the log. A dialect whose ends have
      one must not give it to what is no record.
    """

    def preamble(self) -> Sequence[ServerSentEvent]:
        """Open the stream: what a client needs before the first record, also when it joins in the middle."""
        ...

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        """Render one record; offsets come in order, 0 where there is no log."""
        ...

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        """Close the stream: at least one event, so that no end looks like a cut."""
        ...


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


@runtime_checkable
class Dialect(Protocol):
    """
    What one kind of client, or of source, speaks.

    A dialect may also have three members that `Recogniser` uses: ``reason_of(event) -> str | None``, the stop reason
    that an event states ahead of the terminal (``[DONE]`` does not say why); ``reason_ends``, true if a source that has
    stated it may end without its terminal; and ``marks``, the set of the only event names that `outcome_of` and
    `reason_of` need to see.
    """

    @property
    def name(self) -> str:
        """How requests name it."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers that its clients look for."""
        ...

    @property
    def has_ids(self) -> bool:
        """Whether its clients bear an ``id:`` line."""
        ...

    @property
    def heartbeat(self) -> bytes:
        """The exact bytes that keep an idle connection open without any effect in its clients."""
        ...

    @property
    def resume(self) -> Literal["offset", "from_start"]:
        """Whether a client can go on at an offset, or wants the whole stream again."""
        ...

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """
        Recognise a terminal: how the stream ended, or None for every other event.

        Raises:
            InvalidEventError: The event uses a name that the dialect reserves, in a way it does not mean.
        """
        ...

    def renderer(self, context: RenderContext) -> Renderer:
        """Start rendering one run for one viewer."""
        ...


class Recogniser:
    """
    Find the terminal of one stream, with the reason that was stated ahead of it.

    Attributes:
        marks: The event names worth a look; any other event is no terminal unless it carries an outcome.
        reason: The stop reason that was stated so far.
    """

    __slots__ = ("_outcome_of", "_reason_ends", "_reason_of", "marks", "reason")

    def __init__(self, dialect: Dialect) -> None:
        self._outcome_of = dialect.outcome_of
        self._reason_of: Callable[[ServerSentEvent], str | None] | None = getattr(dialect, "reason_of", None)
        self._reason_ends: bool = getattr(dialect, "reason_ends", False)
        self.marks: Container[str | None] = _marks(dialect)
        self.reason: str | None = None

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """
        Recognise a terminal of the dialect, or one that another combinator recognised; None for other events.

        A `TerminalPart` is none: the last event of that terminal is still to come.
        """
        outcome = event.outcome
        if outcome is None and event.event in self.marks and not isinstance(event, TerminalPart):
            outcome = self._outcome_of(event)
            if outcome is None and self._reason_of is not None:
                self.reason = self._reason_of(event) or self.reason
        return outcome and outcome.because(self.reason)

    @property
    def may_end(self) -> bool:
        """Whether a source that speaks the dialect may end here, without its terminal."""
        return self._reason_ends and self.reason is not None

    def completed(self) -> Outcome:
        """Tell the outcome of a source that returned without a terminal, and may do so."""
        return Outcome("completed", self.reason)


def _marks(dialect: Dialect) -> Container[str | None]:
    """Take a dialect's marks, unless a subclass has another `outcome_of` or `reason_of` than they were written for."""
    for cls in type(dialect).__mro__:
        if "marks" in vars(cls):
            break
        if "outcome_of" in vars(cls) or "reason_of" in vars(cls):
            return _Everything()
    marks: Container[str | None] = getattr(dialect, "marks", _Everything())
    return marks


class TerminalPart(ServerSentEvent):
    """An event of a terminal that has several, ahead of the last one, which carries the outcome."""

    __slots__ = ()


def render_end(renderer: Renderer, outcome: Outcome) -> list[ServerSentEvent]:
    """Close a stream; the last event carries the outcome, those ahead of it are a `TerminalPart` each."""
    *ahead, last = renderer.end(outcome)
    parts = [make_event(part.data, part.event, part.id, part.retry, part.comment, cls=TerminalPart) for part in ahead]
    return [*parts, last.replace(outcome=outcome)]


def interrupted(renderer: Renderer, error: ErrorInfo) -> Sequence[ServerSentEvent]:
    """Close the stream of one viewer, whose run may go on, with an error."""
    close: Callable[[ErrorInfo], Sequence[ServerSentEvent]] | None = getattr(renderer, "interrupted", None)
    return renderer.end(Outcome("failed", "error", error)) if close is None else close(error)


_FAILURES = {
    "failed": ErrorInfo("internal_error", "An internal error occurred."),
    "cancelled": ErrorInfo("cancelled", "The stream was cancelled.", None, 499),
    "lost": ErrorInfo("producer_lost", "The producer of the stream has died."),
    "timed_out": ErrorInfo("timeout", "The stream took too long.", None, 504),
}


def failure_of(outcome: Outcome) -> ErrorInfo | None:
    """Tell what a client has to learn of an outcome that is no success; None for one that is."""
    return None if outcome.status == "completed" else outcome.error or _FAILURES[outcome.status]
