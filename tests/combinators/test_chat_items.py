"""What the source of a chat yields, item by item, and how it ended."""

from collections.abc import Sequence
from typing import Any

import pytest

from sse_relay import Outcome, ServerSentEvent
from sse_relay.combinators.chat_items import ChatItems
from sse_relay.dialects import Finish, TextDelta, event_of

CHUNK = '{"choices":[{"delta":{"content":"Hi"}}]}'
PING = '{"message_type":"ping"}'


def read(item: object) -> Sequence[ServerSentEvent]:
    return ChatItems().events(item)


@pytest.mark.parametrize(
    "text",
    [
        "", "Hi", ":\n\n", ": ping\n\n", "data: x\n\n", 'data: {"a":1}\n\n', "data: [1]\n\n", "event: x\n\n", "[DONE]",
        CHUNK, '{"error":{"code":"x"}}', f"data: {CHUNK}", f"data: {CHUNK}\n", f"data: {CHUNK}\n\ndata: Hi\n\n",
        f"Hi\ndata: {CHUNK}\n\n", 'data: {"error":null}\n\n', "data: <html>\n\n",
    ],
    ids=range(17),
)  # fmt: skip
def test_a_string_is_text(text: str) -> None:
    """Defect 12, 14: whatever a model writes about formats is what it wrote."""
    assert list(read(text)) == [event_of(TextDelta(text))]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (f"data: {CHUNK}\n\n", [CHUNK]),
        (f"data:{CHUNK}\r\n\r\ndata:[DONE]\r\n\r\n", [CHUNK, "[DONE]"]),
        (f": ping\n\nid: 1\nretry: 5\ndata: {PING}\n\n: ping\n\n", [PING]),
        ('event: error\ndata: {"error":{"code":"x"}}\n\n', ['{"error":{"code":"x"}}']),
        (f"data: {CHUNK}\n\n" * 3, [CHUNK] * 3),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("status", [None, 201])
def test_a_string_of_whole_frames_is_those(text: str, data: list[str], status: int | None) -> None:
    """B3, defect 13: coalesced, with ids, in any line ends; the item's status is on the first."""
    events = read(text if status is None else (text, status))
    assert [event.data for event in events] == data
    assert [event.status for event in events] == [status, *[None] * (len(data) - 1)]
    assert [event.data for event in read(ServerSentEvent(text))] == data


@pytest.mark.parametrize(
    "item", [TextDelta("a"), {"a": 1}, ServerSentEvent("x", event="y"), ServerSentEvent(None)], ids=range(4)
)
def test_anything_else_is_its_event(item: Any) -> None:
    """As `as_events` has it: deltas, objects, events, comments."""
    (event,) = read(item)
    assert event == (item if isinstance(item, ServerSentEvent) else read(event)[0])


def ended(*items: object) -> Outcome | None:
    """Tell the first outcome of a stream; None: it has not ended by itself."""
    reading = ChatItems()
    outcomes = [reading.outcome_of(event) for item in items for event in reading.events(item)]
    return next((outcome for outcome in outcomes if outcome is not None), None)


@pytest.mark.parametrize(
    ("items", "status", "reason"),
    [
        (["a", "[DONE]", CHUNK], None, None),
        ([ServerSentEvent("[DONE]")], "completed", None),
        ([{"choices": [{"finish_reason": "length"}]}, "data: [DONE]\n\n"], "completed", "length"),
        ([Finish("length"), ServerSentEvent("[DONE]")], "completed", "length"),
        ([{"error": {"code": "rate_limit_exceeded"}}], "failed", "llm_api_error"),
        (
            [{"message_type": "stop_reason", "stop_reason": "end_turn"}, ServerSentEvent("[DONE]")],
            "completed",
            "end_turn",
        ),
        ([{"message_type": "stop_reason", "stop_reason": "invalid_tool_call"}], "failed", "invalid_tool_call"),
        ([{"message_type": "error_message", "error_type": "x"}], "failed", "llm_api_error"),
        ([ServerSentEvent('{"status":"lost","reason":null,"error":null}', event="end")], "lost", None),
        ([ServerSentEvent("x", event="y", outcome=Outcome("timed_out"))], "timed_out", None),
        ([ServerSentEvent('{"error":1}', event="mine")], None, None),
    ],
    ids=range(11),
)
def test_every_kind_of_end_is_recognised(items: list[object], status: str | None, reason: str | None) -> None:
    """B4, B8: the source's own end, in any of its tongues, with the reason that came ahead of it."""
    outcome = ended(*items)
    assert (outcome and outcome.status, outcome and outcome.reason) == (status, reason)


def test_a_source_that_returns_has_completed() -> None:
    """B5: with the reason that it stated, by whichever of its kinds."""
    assert ChatItems().completed() == Outcome("completed")
    for item in (Finish("length"), {"choices": [{"finish_reason": "length"}]}):
        reading = ChatItems()
        assert not any(map(reading.outcome_of, reading.events(item)))
        assert reading.completed() == Outcome("completed", "length")
