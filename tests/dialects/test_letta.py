"""Letta: an agent's messages, with the cursor in two fields of each, and how a run ended."""

import json
from typing import Any, get_args

import pytest

from sse_relay import ErrorInfo, EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import (
    Delta,
    Finish,
    Letta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    event_of,
)
from sse_relay.dialects.letta import status_of
from sse_relay.dialects.protocol import Recogniser
from sse_relay.outcome import Status
from tests.dialects.strict_clients import CONTEXT, frames, hear

COMPLETED = Outcome("completed")
PLACE = ("run_id", "seq_id")


def messages(*said: Delta | ServerSentEvent, outcome: Outcome = COMPLETED) -> list[Any]:
    """Render records; tell the messages ahead of [DONE]."""
    log = [one if isinstance(one, ServerSentEvent) else event_of(one) for one in said]
    *events, done = EventDecoder().feed(b"".join(frames(Letta(), log, outcome)))
    assert done.data == "[DONE]"
    return [json.loads(event.data or "") for event in events]


def ends(*said: Delta | ServerSentEvent, outcome: Outcome = COMPLETED) -> list[tuple[str, object]]:
    """Tell the messages of the end."""
    keys = {"stop_reason": "stop_reason", "error_message": "error_type", "usage_statistics": "total_tokens"}
    said_last = [one for one in messages(*said, outcome=outcome) if one["message_type"] in keys]
    return [(one["message_type"], one[keys[one["message_type"]]]) for one in said_last]


def test_deltas_become_messages() -> None:
    """C4: one id for what belongs together; the place of each record in the two fields."""
    said = messages(
        TextDelta("a"),
        TextDelta("b"),
        ReasoningDelta("c"),
        ToolCallDelta("{", id="x", name="f"),
        ToolCallDelta("}"),
        ToolResult("x", "1"),
    )
    assert [one["message_type"] for one in said] == [
        "assistant_message", "assistant_message", "reasoning_message", "tool_call_message", "tool_call_message",
        "tool_return_message", "stop_reason",
    ]  # fmt: skip
    assert [one.get("id") for one in said[:-1]] == [f"message-run1-{number}" for number in (1, 1, 2, 3, 3, 4)]
    assert [one["tool_call"] for one in said[3:5]] == [
        {"name": "f", "arguments": "{", "tool_call_id": "x"},
        {"name": None, "arguments": "}", "tool_call_id": "x"},
    ]
    assert [(one["run_id"], one["seq_id"]) for one in said] == [("run1", offset) for offset in range(1, 8)]
    assert said[0]["date"] == "2023-11-14T22:13:20.500000+00:00"


def test_a_message_is_passed_on_with_its_place() -> None:
    """C4, defect 16: the two top-level fields are set, and nothing else, however much it looks like them."""
    inner = {"run_id": None, "seq_id": None, "text": '"run_id":null,"seq_id":null'}
    said = {"message_type": "tool_return_message", "run_id": None, "tool_return": '{"run_id":null}', "inner": [inner]}
    assert messages(ServerSentEvent.json(said))[0] == {**said, "run_id": "run1", "seq_id": 1}


def test_without_a_log_a_message_keeps_its_place() -> None:
    """A stream that is rendered without a relay has no offsets of its own."""
    renderer = Letta().renderer(CONTEXT)
    said = {"message_type": "assistant_message", "content": "a", "run_id": "theirs", "seq_id": 7}
    assert json.loads(renderer.event(0, ServerSentEvent.json(said))[0].data or "") == said
    assert json.loads(renderer.event(0, event_of(TextDelta("a")))[0].data or "")["seq_id"] is None


def test_only_the_last_frame_of_a_record_has_its_place() -> None:
    """I3: cut between two frames of one record, a client comes back for both."""
    delta = {"reasoning": "a", "content": "b"}
    said = messages(ServerSentEvent.json({"choices": [{"delta": delta}]}), Usage(1, 2))
    assert [(one["message_type"], one["seq_id"]) for one in said] == [
        ("reasoning_message", None), ("assistant_message", 1), ("stop_reason", None), ("usage_statistics", 3),
    ]  # fmt: skip


def test_a_ping_tells_the_place() -> None:
    """D: with the run's id, before the first record too, so that a client can resume that was told nothing yet."""
    renderer: Any = Letta().renderer(CONTEXT)

    def ping() -> Any:
        (event,) = EventDecoder().feed(renderer.heartbeat())
        return json.loads(event.data or "")

    assert {key: ping()[key] for key in ("message_type", *PLACE)} == {
        "message_type": "ping",
        "run_id": "run1",
        "seq_id": None,
    }
    renderer.event(1, event_of(TextDelta("a")))
    renderer.event(2, event_of(Usage(1, 2)))
    assert ping()["seq_id"] == 2
    assert json.loads(renderer.event(3, event_of(TextDelta("b")))[0].data)["id"] == "message-run1-1"


@pytest.mark.parametrize(
    ("said", "outcome", "told"),
    [
        ((), COMPLETED, [("stop_reason", "end_turn")]),
        ((Finish("stop"), Usage(1, 2)), COMPLETED, [("stop_reason", "end_turn"), ("usage_statistics", 3)]),
        ((Finish("length"),), COMPLETED, [("stop_reason", "max_tokens_exceeded")]),
        ((Finish("length", choice=1),), COMPLETED, [("stop_reason", "end_turn")]),
        ((), Outcome("completed", "tool_rule"), [("stop_reason", "tool_rule")]),
        ((Finish("stop"),), Outcome("lost"), [("stop_reason", "error"), ("error_message", "producer_lost")]),
        ((), Outcome("failed", "error", ErrorInfo("llm_timeout", "x")),
         [("stop_reason", "error"), ("error_message", "llm_timeout")]),
        ((), Outcome("failed", "llm_api_error", ErrorInfo("llm_timeout", "x")),
         [("stop_reason", "llm_api_error"), ("error_message", "llm_timeout")]),
        ((), Outcome("failed", "end_turn", ErrorInfo("llm_timeout", "x")),
         [("stop_reason", "llm_api_error"), ("error_message", "llm_timeout")]),
        ((Usage(1, 2),), Outcome("timed_out"), [("stop_reason", "error"), ("error_message", "timeout")]),
        ((), Outcome("cancelled", "user"), [("stop_reason", "cancelled")]),
        ((), Outcome("cancelled", "error"), [("stop_reason", "cancelled")]),
    ],
    ids=range(12),
)  # fmt: skip
def test_the_end_is_told(said: tuple[Delta, ...], outcome: Outcome, told: list[tuple[str, object]]) -> None:
    """B6, B7, E: why it stopped, then what went wrong or what it cost; of a cancelled run no error."""
    assert ends(*said, outcome=outcome) == told


@pytest.mark.parametrize("outcome", [COMPLETED, Outcome("lost"), Outcome("cancelled", "user")], ids=range(3))
def test_the_sources_own_reason_is_held_back(outcome: Outcome) -> None:
    """H4: told at the end, as the source wrote it, if the run did complete; a producer may die behind it."""
    stop = ServerSentEvent.json({"message_type": "stop_reason", "stop_reason": "max_steps", "more": 1})
    said = messages(stop, ServerSentEvent.json({"message_type": "ping"}), outcome=outcome)
    reasons = [one for one in said if one["message_type"] == "stop_reason"]
    assert len(reasons) == 1
    assert said[0]["message_type"] == "ping"
    if outcome.status == "completed":
        assert reasons == [
            {"message_type": "stop_reason", "stop_reason": "max_steps", "more": 1, "run_id": "run1", "seq_id": 3}
        ]
    else:
        assert status_of(reasons[0]["stop_reason"]) != "completed"


def test_what_says_nothing_is_no_message() -> None:
    """Empty texts and calls, other choices and the application's named events are left out."""
    nothing: list[Delta] = [
        TextDelta(""),
        ToolCallDelta(),
        TextDelta("a", choice=1),
        ToolCallDelta("a", id="x", choice=1),
    ]
    assert len(messages(*nothing, ServerSentEvent("{}", event="progress"))) == 1
    assert hear("letta", frames(Letta(), [event_of(delta) for delta in nothing], COMPLETED)).succeeded


# As a source


def message(**fields: object) -> ServerSentEvent:
    return ServerSentEvent.json(fields)


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (ServerSentEvent("[DONE]"), "completed", None),
        (message(message_type="stop_reason", stop_reason="end_turn"), None, None),
        (message(message_type="stop_reason", stop_reason="unheard_of"), None, None),
        (message(message_type="stop_reason", stop_reason=["error"]), None, None),
        (message(message_type="stop_reason", stop_reason="cancelled"), "cancelled", None),
        (message(message_type="stop_reason", stop_reason="llm_api_error"), "failed", "llm_error"),
        (message(message_type="stop_reason", stop_reason="mine"), "timed_out", None),
        (message(message_type="error_message", error_type="llm_timeout", message="secret"), "failed", "llm_timeout"),
        (message(message_type="assistant_message", content='"message_type":"error_message" [DONE]'), None, None),
        (ServerSentEvent('{"error":{"type":"llm_rate_limit"}}', event="error"), "failed", "llm_rate_limit"),
        (ServerSentEvent("<html>", event="error"), "failed", "llm_error"),
        (ServerSentEvent("{}", event="error_recovered"), None, None),
        (ServerSentEvent("[" * 9999 + '"message_type"'), None, None),
    ],
    ids=range(13),
)
def test_terminals_are_recognised(event: ServerSentEvent, status: str | None, code: str | None) -> None:
    """B3, B4, B8, defect 12: by what a message is; a reason that is a failure ends the run, and so does an error."""
    recogniser = Recogniser(Letta(statuses={"mine": "timed_out"}))
    outcome = recogniser.outcome_of(event) if event.event in recogniser.marks else None
    assert (outcome and outcome.status) == status
    assert (outcome and outcome.error and outcome.error.code) == code
    assert "secret" not in repr(outcome)


def test_a_stated_reason_is_enough() -> None:
    """B5, defect 12: a source that said why it stopped has not been cut off, with [DONE] or without."""
    recogniser = Recogniser(Letta())
    recogniser.outcome_of(message(message_type="stop_reason", stop_reason="requires_approval"))
    assert recogniser.may_end
    assert recogniser.completed() == recogniser.outcome_of(ServerSentEvent("[DONE]"))
    assert recogniser.reason == "requires_approval"


def test_reasons_have_statuses() -> None:
    """B8: as Letta's own server has them; one that nobody knows is no failure."""
    assert {
        status_of(reason) for reason in ("end_turn", "max_steps", "tool_rule", "requires_approval", "new", None)
    } == {"completed"}
    assert {status_of(reason) for reason in ("error", "no_tool_call", "insufficient_credits")} == {"failed"}
    assert status_of("cancelled") == "cancelled"
    assert "completed" in get_args(Status)
