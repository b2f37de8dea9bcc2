"""Events of an Anthropic message become deltas, and its end an outcome."""

from typing import Any

import pytest

from sse_relay import Outcome, ServerSentEvent
from sse_relay.dialects import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from sse_relay.dialects.message_events import MessageReader, reason_of, terminal_of


def block(index: int, **content: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def more(index: int, **delta: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


MESSAGE: list[tuple[dict[str, Any], list[Delta]]] = [
    ({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}, []),
    ({"type": "ping"}, []),
    (block(0, type="thinking", thinking="", signature=""), []),
    (more(0, type="thinking_delta", thinking="so"), [ReasoningDelta("so")]),
    (more(0, type="signature_delta", signature="x"), []),
    ({"type": "content_block_stop", "index": 0}, []),
    (block(1, type="text", text="H"), [TextDelta("H")]),
    (more(1, type="text_delta", text="i"), [TextDelta("i")]),
    (block(2, type="tool_use", id="t1", name="f", input={}), [ToolCallDelta(id="t1", name="f", index=2)]),
    (more(2, type="input_json_delta", partial_json='{"a"'), [ToolCallDelta('{"a"', index=2)]),
    (block(3, type="tool_use", id="t2", name="g", input={"b": "é"}),
     [ToolCallDelta('{"b":"é"}', id="t2", name="g", index=3)]),
    ({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
     [Finish("tool_use"), Usage(7, 5)]),
    ({"type": "message_stop"}, []),
]  # fmt: skip


def test_a_message_is_read() -> None:
    """Texts, thoughts, calls whose arguments come by and by or at once; usage of both ends together."""
    reader = MessageReader()
    for said, deltas in MESSAGE:
        assert reader.deltas(said) == deltas


def test_input_tokens_of_the_end_count() -> None:
    """Where the end tells them again, they are those of the whole message."""
    reader = MessageReader()
    assert reader.deltas({"type": "message_delta", "usage": {"input_tokens": 9, "output_tokens": 5}}) == [Usage(9, 5)]


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "said",
    [
        {}, {"type": []}, {"type": "message_start"},
        {"type": "message_start", "message": {"usage": {"input_tokens": -1}}}, block(0),
        {"type": "content_block_start", "content_block": 1}, more(0, type="text_delta", text=1),
        more(0, type="text_delta", text=""), more(0, type={}), {"type": "message_delta", "delta": {"stop_reason": 1}},
        {"type": "message_delta", "usage": {"output_tokens": "5"}}, {"type": "unheard_of", "index": 0},
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_not_of_its_type_says_nothing(said: dict[str, Any]) -> None:
    """I2: nothing here raises."""
    assert MessageReader().deltas(said) == []


@pytest.mark.parametrize("given", [{"a": float("nan")}, deep(), {"a": object()}, [1], "x"], ids=range(5))
def test_arguments_that_are_no_json_are_left_out(given: Any) -> None:
    """I2: the call is told all the same."""
    call = block(0, type="tool_use", id="t", name="f", input=given)
    assert MessageReader().deltas(call) == [ToolCallDelta(id="t", name="f", index=0)]


def test_its_end_is_an_outcome() -> None:
    """Defect 12: by the event's name, never by a word in its data; an error has a code and no words."""
    assert terminal_of(ServerSentEvent("{}", event="message_stop")) == Outcome("completed")
    assert terminal_of(ServerSentEvent('{"type":"message_stop"}')) is None
    assert terminal_of(ServerSentEvent("{}", event="error_recovered")) is None
    failed = terminal_of(ServerSentEvent('{"type":"error","error":{"type":"overloaded_error"}}', event="error"))
    assert failed is not None
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "llm_overloaded")
    assert (terminal_of(ServerSentEvent("<html>", event="error")) or failed).status == "failed"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("message_delta", '{"delta":{"stop_reason":"max_tokens"}}', "max_tokens"),
        ("message_delta", '{"delta":{"stop_reason":null}}', None),
        ("message_delta", '{"delta":1}', None),
        ("message_delta", "[" * 9999, None),
        (None, '{"delta":{"stop_reason":"max_tokens"}}', None),
    ],
    ids=range(5),
)
def test_its_reason_is_ahead_of_the_end(name: str | None, data: str, reason: str | None) -> None:
    """B4: why the model stopped is in the event that says so."""
    assert reason_of(ServerSentEvent(data, event=name)) == reason
