"""Messages: what a client is told, block by block, and how it ended."""

import json
from typing import Any

import pytest

from sse_relay import ErrorInfo, EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import (
    Anthropic,
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    event_of,
)
from sse_relay.dialects.anthropic import stop_reason
from sse_relay.dialects.protocol import Recogniser
from tests.dialects.strict_clients import frames, hear

COMPLETED = Outcome("completed")


def events(*deltas: Delta, outcome: Outcome = COMPLETED) -> list[tuple[str, int | None]]:
    """Render deltas; tell each event's name and the index of its block."""
    shown = frames(Anthropic(), [event_of(delta) for delta in deltas], outcome)
    assert hear("anthropic", shown).succeeded == (outcome.status == "completed")
    decoded = EventDecoder().feed(b"".join(shown))
    return [
        ((event.event or "").removeprefix("content_block_"), json.loads(event.data or "").get("index"))
        for event in decoded
    ]


def body(*deltas: Delta) -> list[tuple[str, int | None]]:
    """Tell what is between the two ends of a message."""
    return events(*deltas)[1:-2]


def test_texts_follow_one_another() -> None:
    """One block for one kind of text, ended where another begins; nothing for what is empty."""
    said = body(TextDelta("a"), TextDelta(""), TextDelta("b"), RefusalDelta("c"), ReasoningDelta("d"), TextDelta("e"))
    first = [("start", 0), ("delta", 0), ("delta", 0), ("delta", 0), ("stop", 0)]
    assert said == [*first, *[(name, index) for index in (1, 2) for name in ("start", "delta", "stop")]]


def test_calls_stay_open_beside_texts() -> None:
    """Defect 14: a call whose arguments go on behind a text goes on in its own block: clients read it whole only."""
    call = ToolCallDelta('{"a"', id="x", name="f", index=0)
    said = body(call, TextDelta("t"), ToolCallDelta(":", index=0), ToolCallDelta("1}", id="x", index=0), TextDelta("u"))
    assert said == [
        ("start", 0), ("delta", 0), ("start", 1), ("delta", 1), ("delta", 0), ("delta", 0), ("delta", 1),
        ("stop", 0), ("stop", 1),
    ]  # fmt: skip


def test_a_call_is_over_with_its_result() -> None:
    """What comes of a call after its result is left out: its block is closed."""
    calls = ToolCallDelta("{}", id="x", name="f"), ToolCallDelta("[", id="y", name="g")
    said = body(*calls, ToolResult("x", "1"), ToolCallDelta("more", id="x"), ToolResult("z", ""), ToolResult("x", "2"))
    assert said == [("start", 0), ("delta", 0), ("start", 1), ("delta", 1), ("stop", 0), ("stop", 1)]


def test_what_belongs_to_no_answer_is_left_out() -> None:
    """There is one message: other choices, empty calls and the application's events say nothing in it."""
    assert body(TextDelta("a", choice=1), Finish("length", choice=1), ToolCallDelta(index=1)) == []
    shown = frames(Anthropic(), [ServerSentEvent("{}", event="ping"), event_of(Finish("refusal", choice=1))], COMPLETED)
    assert hear("anthropic", shown).reason == "end_turn"


def test_usage_is_at_both_ends() -> None:
    """Its clients require it there, whether anybody told it or not."""
    shown = frames(Anthropic(model="m"), [event_of(Usage(3, 4))], COMPLETED)
    assert b'"model":"m"' in shown[0]
    assert b'"usage":{"input_tokens":0,"output_tokens":0}' in shown[0]
    assert hear("anthropic", shown).usage == (3, 4)
    assert hear("anthropic", frames(Anthropic(), [], COMPLETED)).usage == (0, 0)


@pytest.mark.parametrize(
    ("deltas", "outcome", "reason"),
    [
        ((), COMPLETED, "end_turn"),
        ((Finish("length"),), COMPLETED, "max_tokens"),
        ((), Outcome("completed", "tool_calls"), "tool_use"),
        ((ToolCallDelta("{}", id="a", name="f"),), COMPLETED, "tool_use"),
        ((Finish("content_filter"),), COMPLETED, "refusal"),
        ((Finish("unheard_of"),), COMPLETED, "end_turn"),
    ],
    ids=range(6),
)
def test_the_reason_is_the_true_one(deltas: tuple[Delta, ...], outcome: Outcome, reason: str) -> None:
    """H4: what the model said, else the outcome, else what it did; in Anthropic's words."""
    assert hear("anthropic", frames(Anthropic(), [event_of(delta) for delta in deltas], outcome)).reason == reason
    assert stop_reason("pause_turn") == "pause_turn"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("llm_rate_limit", "rate_limit_error"), ("llm_overloaded", "overloaded_error"), ("x", "api_error")],
)
def test_what_is_no_success_is_one_error(code: str, kind: str) -> None:
    """H4: a typed error, the last event, without a stop reason ahead of it, in the middle of a block."""
    outcome = Outcome("failed", "end_turn", ErrorInfo(code, "Words."))
    shown = frames(Anthropic(), [event_of(TextDelta("a")), event_of(Finish("stop"))], outcome)
    assert not any(b"message_delta" in frame or b"message_stop" in frame for frame in shown)
    said: Any = json.loads(EventDecoder().feed(shown[-1])[0].data or "")
    assert said == {"type": "error", "error": {"type": kind, "message": "Words.", "code": code}}


def test_its_terminals_are_recognised() -> None:
    """B4: as a source, its end and the reason ahead of it."""
    recogniser = Recogniser(Anthropic())
    assert (
        recogniser.outcome_of(ServerSentEvent('{"delta":{"stop_reason":"max_tokens"}}', event="message_delta")) is None
    )
    assert recogniser.outcome_of(ServerSentEvent("{}", event="message_stop")) == Outcome("completed", "max_tokens")
    assert not recogniser.may_end
