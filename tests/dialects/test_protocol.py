"""A dialect is what the contract says and no more: a second one, written here from the contract alone, works."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from sse_relay import ErrorInfo, Outcome, ServerSentEvent
from sse_relay.dialects import Dialect, Finish, Native, RenderContext, Renderer, TextDelta, delta_of, event_of
from sse_relay.dialects.protocol import Recogniser, TerminalPart, interrupted, render_end
from sse_relay.exceptions import InvalidEventError
from tests.wire.chunkings import bytewise, decode, in_two


class Telegram:
    """Words that end in STOP, and a telegram that ends in END OF MESSAGE; has only what the contract asks for."""

    name = "telegram"
    headers: Mapping[str, str] = {"x-telegram": "1"}
    has_ids = False
    heartbeat = b": still here\n\n"
    resume: Literal["offset", "from_start"] = "from_start"

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise the two ends."""
        match event.event, event.data:
            case "reserved", _:
                raise InvalidEventError("event", "reserved", "is reserved; choose another name")
            case None, "END OF MESSAGE":
                return Outcome("completed")
            case None, "LINE CUT":
                return Outcome("failed", "error", ErrorInfo("line_cut", "The line was cut."))
            case _:
                return None

    def renderer(self, context: RenderContext) -> Renderer:
        """Start a telegram."""
        return _Telegrapher(context)


class _Telegrapher:
    def __init__(self, context: RenderContext) -> None:
        self._context = context
        self._count = 0

    def preamble(self) -> Sequence[ServerSentEvent]:
        return [ServerSentEvent(f"TELEGRAM {self._context.run_id}")]

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        delta = delta_of(event)
        if not isinstance(delta, TextDelta):
            return ()
        self._count += 1
        return [ServerSentEvent(delta.text.upper()), ServerSentEvent(f"STOP {offset}")]

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        last = "END OF MESSAGE" if outcome.status == "completed" else "LINE CUT"
        return (
            ServerSentEvent(f"{self._count} WORDS"),
            ServerSentEvent("REGARDS", event="closing"),
            ServerSentEvent(last),
        )


CONTEXT = RenderContext("r1", "abcdefgh", 1_700_000_000.0, {"user": "u1"})
RECORDS = [event_of(TextDelta("hello")), event_of(Finish("stop")), ServerSentEvent("own"), event_of(TextDelta("you"))]


def render(dialect: Dialect, outcome: Outcome) -> list[ServerSentEvent]:
    """Render a whole run for one viewer."""
    renderer = dialect.renderer(CONTEXT)
    events = list(renderer.preamble())
    for offset, record in enumerate(RECORDS, 1):
        events += renderer.event(offset, record)
    return events + render_end(renderer, outcome)


def test_the_members_of_the_contract_are_enough() -> None:
    """What has the members of the contract is a dialect; what lacks one of them is not."""
    telegram: Dialect = Telegram()
    assert isinstance(telegram, Dialect)
    assert isinstance(Native(), Dialect)
    assert not hasattr(telegram, "marks")
    assert not hasattr(telegram, "reason_of")
    members = ("name", "headers", "has_ids", "heartbeat", "resume", "outcome_of", "renderer")
    for missing in members:
        lacking = type("Lacking", (), {name: getattr(Telegram, name) for name in members if name != missing})
        assert not isinstance(lacking(), Dialect)


def test_a_run_in_another_dialect() -> None:
    """A run is rendered, sent, read back in any two chunks, and its one outcome is found on its last event."""
    telegram = Telegram()
    for outcome in (Outcome("completed"), Outcome("failed", "error", ErrorInfo("line_cut", "The line was cut."))):
        events = render(telegram, outcome)
        last = "END OF MESSAGE" if outcome.status == "completed" else "LINE CUT"
        words = ["TELEGRAM r1", "HELLO", "STOP 1", "YOU", "STOP 4", "2 WORDS", "REGARDS", last]
        assert [event.data for event in events] == words
        stream = telegram.heartbeat.join([event.encode() for event in events])
        for chunks in (bytewise(stream), *in_two(stream)):
            recogniser = Recogniser(telegram)
            found = [recogniser.outcome_of(event) for event in decode(chunks)]
            assert found == [None] * 7 + [outcome]


def test_rendering_is_deterministic() -> None:
    """The same records give the same bytes to every viewer, on any process: renderers share nothing."""
    for dialect in (Telegram(), Native()):
        assert render(dialect, Outcome("completed")) == render(dialect, Outcome("completed"))


def test_an_interruption_is_a_failed_end_unless_the_dialect_has_a_word_for_it() -> None:
    """I2: a viewer whose stream is closed before its run has ended gets an error in any dialect."""
    error = ErrorInfo("line_cut", "The line was cut.")
    renderer = Telegram().renderer(RenderContext())
    assert interrupted(renderer, error) == renderer.end(Outcome("failed", "error", error))

    class Polite(_Telegrapher):
        def interrupted(self, error: ErrorInfo) -> Sequence[ServerSentEvent]:
            return (ServerSentEvent(f"PLEASE HOLD {error.code}"),)

    assert [event.data for event in interrupted(Polite(RenderContext()), error)] == ["PLEASE HOLD line_cut"]


def test_render_end_marks_the_parts() -> None:
    """I2: of a terminal of several events the last one carries the outcome, and those ahead are parts of it."""
    outcome = Outcome("failed", "error", ErrorInfo("llm_error", "The model failed.", "ab12", 502))
    plain = Telegram().renderer(CONTEXT).end(outcome)
    *ahead, last = render_end(Telegram().renderer(CONTEXT), outcome)
    assert [event.encode() for event in (*ahead, last)] == [event.encode() for event in plain]
    assert [type(event) for event in ahead] == [TerminalPart, TerminalPart]
    assert type(last) is ServerSentEvent
    assert [event.outcome for event in ahead] == [None, None]
    assert last.outcome is outcome
    assert all(event.id is None for event in (*ahead, last))


def test_render_end_of_a_single_event() -> None:
    """A terminal of one event has no parts; the outcome is on it also where the renderer did not put it there."""

    class Short(_Telegrapher):
        def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
            return [ServerSentEvent(outcome.status)]

    assert render_end(Short(CONTEXT), Outcome("lost"))[0].outcome == Outcome("lost")
    (end,) = render_end(Native().renderer(CONTEXT), Outcome("lost"))
    assert (type(end), end.outcome) == (ServerSentEvent, Outcome("lost"))


def test_a_part_of_a_terminal_keeps_its_fields() -> None:
    """A part is an event like any other: it can be given an id and is encoded the same."""
    part, *_ = render_end(Telegram().renderer(CONTEXT), Outcome("completed"))
    changed = part.replace(id="abcdefgh:7")
    assert isinstance(changed, TerminalPart)
    assert changed.encode() == b"id: abcdefgh:7\ndata: 0 WORDS\n\n"


# --- Recogniser


class Recording(Telegram):
    """A dialect with both optional members, which notes what it is asked."""

    marks = frozenset({None, "why"})

    def __init__(self) -> None:
        self.asked: list[str] = []

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Note the question."""
        self.asked.append(f"outcome of {event.event}")
        return super().outcome_of(event)

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Note the question."""
        self.asked.append(f"reason of {event.event}")
        return event.data if event.event == "why" else None


def why(reason: str) -> ServerSentEvent:
    """State a stop reason ahead of the terminal."""
    return ServerSentEvent(reason, event="why")


def test_without_marks_every_event_is_looked_at() -> None:
    """A dialect that does not name its marks is asked about every event, whatever its name."""
    recogniser = Recogniser(Telegram())
    assert all(name in recogniser.marks for name in (None, "", "text", "anything"))
    with pytest.raises(InvalidEventError, match="is reserved"):
        recogniser.outcome_of(ServerSentEvent(event="reserved"))
    assert recogniser.outcome_of(why("length")) is None
    assert recogniser.outcome_of(ServerSentEvent("END OF MESSAGE")) == Outcome("completed", None)


def test_with_marks_only_those_are_looked_at() -> None:
    """A dialect that names its marks is not asked about any other event: that is what keeps text cheap."""
    dialect = Recording()
    recogniser = Recogniser(dialect)
    for name in ("text", "", "reserved", "usage"):
        assert recogniser.outcome_of(ServerSentEvent("END OF MESSAGE", event=name)) is None
    assert dialect.asked == []
    assert recogniser.outcome_of(why("stop")) is None
    assert recogniser.outcome_of(ServerSentEvent("END OF MESSAGE")) == Outcome("completed", "stop")
    assert dialect.asked == ["outcome of why", "reason of why", "outcome of None"]


def test_the_last_reason_that_was_stated_counts() -> None:
    """Seed defect 12: the reason that came ahead is the outcome's; an empty one does not undo it."""
    recogniser = Recogniser(Recording())
    assert recogniser.completed() == Outcome("completed", None)
    for reason in ("first", "second", ""):
        assert recogniser.outcome_of(why(reason)) is None
    assert recogniser.reason == "second"
    assert recogniser.completed() == Outcome("completed", "second")
    assert recogniser.outcome_of(ServerSentEvent("END OF MESSAGE")) == Outcome("completed", "second")
    cut = recogniser.outcome_of(ServerSentEvent("LINE CUT"))
    assert (cut and cut.status, cut and cut.reason) == ("failed", "error")  # it says so itself


def test_an_outcome_that_is_carried_counts_in_any_dialect() -> None:
    """What another combinator recognised is not asked about again, whatever the event's name and data."""
    dialect = Recording()
    recogniser = Recogniser(dialect)
    for name in (None, "reserved", "text"):
        event = ServerSentEvent("x", event=name, outcome=Outcome("lost"))
        assert recogniser.outcome_of(event) == Outcome("lost")
    assert dialect.asked == []


def test_recognisers_share_nothing() -> None:
    """A dialect is shared, what one stream said is not."""
    dialect = Recording()
    Recogniser(dialect).outcome_of(why("length"))
    assert Recogniser(dialect).reason is None


def test_a_context_is_a_value() -> None:
    """A context cannot be changed, has defaults for where there is no log, and shares no metadata."""
    context: Any = RenderContext()
    assert (context.run_id, context.epoch, context.created_at, context.metadata) == ("", "", 0.0, {})
    assert context.metadata is not RenderContext().metadata
    with pytest.raises(AttributeError):
        context.run_id = "r2"


def test_subclass_with_its_own_terminal_is_asked_about_every_event() -> None:
    """A subclass of Native that recognises other terminals does not inherit marks that were not written for it."""

    class Done(Native):
        def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
            return Outcome("completed", "done") if event.data == "[DONE]" else super().outcome_of(event)

    assert Recogniser(Done()).outcome_of(ServerSentEvent("[DONE]")) == Outcome("completed", "done")
    assert None not in Recogniser(Native()).marks
