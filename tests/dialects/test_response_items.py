"""The output of an OpenAI response: which items deltas make, when each is done, and what tells them apart."""

from collections.abc import Mapping
from typing import Any

import pytest

from sse_relay.dialects import (
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from sse_relay.dialects.response_items import ResponseItems, Said


def told(*deltas: Delta) -> tuple[list[Said], ResponseItems]:
    """Make the items of these deltas; return what was said, too."""
    items = ResponseItems("run")
    return [said for delta in deltas for said in items.add(delta)], items


def kinds(said: list[Said]) -> list[str]:
    """Tell what kinds of events were said, of which item."""
    return [f"{fields['output_index']} {kind.removeprefix('response.')}" for kind, fields in said]


def calls(items: ResponseItems) -> list[Mapping[str, Any]]:
    """Tell the calls: id, name and arguments."""
    names = ("call_id", "name", "arguments")
    return [{name: item[name] for name in names} for item in items.output("x") if item["type"] == "function_call"]


def test_texts_follow_one_another() -> None:
    """A text is done when one of another kind begins: reasoning and message are items, text and refusal are parts."""
    said, items = told(
        ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("a"), RefusalDelta("b"), TextDelta(""), TextDelta("c")
    )
    said += items.end("completed")
    assert kinds(said) == [
        "0 output_item.added",
        "0 reasoning_summary_part.added",
        "0 reasoning_summary_text.delta",
        "0 reasoning_summary_text.delta",
        "0 reasoning_summary_text.done",
        "0 reasoning_summary_part.done",
        "0 output_item.done",
        "1 output_item.added",
        "1 content_part.added",
        "1 output_text.delta",
        "1 output_text.done",
        "1 content_part.done",
        "1 content_part.added",
        "1 refusal.delta",
        "1 refusal.done",
        "1 content_part.done",
        "1 content_part.added",
        "1 output_text.delta",
        "1 output_text.done",
        "1 content_part.done",
        "1 output_item.done",
    ]
    assert [fields["content_index"] for kind, fields in said if kind == "response.content_part.done"] == [0, 1, 2]
    assert items.output("x") == [
        {
            "id": "rs_run_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [{"type": "summary_text", "text": "hm"}],
        },
        {
            "id": "msg_run_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "a"},
                {"type": "refusal", "refusal": "b"},
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "c"},
            ],
        },
    ]


def test_calls_stay_open_beside_each_other() -> None:
    """Interleaved arguments are kept apart; calls are done at the end, in the order of their items."""
    said, items = told(
        TextDelta("a"),
        ToolCallDelta("{", id="a", name="look", index=0),
        ToolCallDelta(id="b", name="go", index=1),
        ToolCallDelta("}", index=0),
        TextDelta("b"),
        ToolCallDelta("[]", index=1),
    )
    assert kinds(said)[5:] == [
        "0 output_item.done",
        "1 output_item.added",
        "1 function_call_arguments.delta",
        "2 output_item.added",
        "1 function_call_arguments.delta",
        "3 output_item.added",
        "3 content_part.added",
        "3 output_text.delta",
        "2 function_call_arguments.delta",
    ]
    assert kinds(list(items.end("incomplete"))) == [
        "1 function_call_arguments.done",
        "1 output_item.done",
        "2 function_call_arguments.done",
        "2 output_item.done",
        "3 output_text.done",
        "3 content_part.done",
        "3 output_item.done",
    ]
    assert calls(items) == [
        {"call_id": "a", "name": "look", "arguments": "{}"},
        {"call_id": "b", "name": "go", "arguments": "[]"},
    ]
    assert [item["status"] for item in items.output("x")] == ["completed", "incomplete", "incomplete", "incomplete"]
    assert not list(items.end("completed"))


def test_a_call_with_its_result_is_done() -> None:
    """A result ends its call, and no other; what is only said again afterwards is no new call."""
    begun = [ToolCallDelta("{}", id=name, name="look") for name in ("a", "b")]
    again = ToolCallDelta(id="b", name="look")
    said, items = told(*begun, ToolResult("b", "found"), ToolResult("c", "what?"), again, ToolResult("b", "found"))
    assert kinds(said)[4:] == ["1 function_call_arguments.done", "1 output_item.done"]
    assert [item["status"] for item in items.output("open")] == ["open", "completed"]


def test_no_two_calls_have_one_id() -> None:
    """Upstreams repeat ids in the next step, give them to two calls at once, or none at all: every item has its own."""
    _, items = told(
        ToolCallDelta("1", id="a", name="look", index=0),
        ToolCallDelta("2", id="a", name="go", index=1),
        ToolResult("a", "found"),
        ToolCallDelta(id="a", name="look", index=0),
        ToolCallDelta("3", index=0),
        ToolCallDelta("4", name="run", index=2),
    )
    found = calls(items)
    assert [call["arguments"] for call in found] == ["1", "2", "3", "4"]
    assert [call["name"] for call in found] == ["look", "go", "look", "run"]
    ids = [call["call_id"] for call in found]
    assert ids[0] == "a"
    assert len(set(ids)) == len(ids) == len({item["id"] for item in items.output("x")})


def test_an_id_stays_and_a_name_may_come_late() -> None:
    """What was said of a call when it began holds: an id that comes later does not change it; a name fills in."""
    said, items = told(ToolCallDelta("{", index=0), ToolCallDelta("}", id="late", name="look", index=0))
    begun = [fields["item"]["call_id"] for kind, fields in said if kind == "response.output_item.added"]
    assert begun == ["call_0"]
    assert calls(items) == [{"call_id": "call_0", "name": "look", "arguments": "{}"}]


@pytest.mark.parametrize(
    "delta",
    [
        TextDelta(""),
        ReasoningDelta(""),
        RefusalDelta(""),
        ToolCallDelta(),
        ToolCallDelta(id="", name=""),
        ToolResult("a", "b"),
        Usage(1, 2),
        Finish("stop"),
        TextDelta("other", choice=1),
        ToolCallDelta("{}", id="a", name="look", choice=1),
    ],
    ids=repr,
)
def test_what_adds_nothing_says_nothing(delta: Delta) -> None:
    """Empty deltas, those of other answers, and what is no output make no items and no events."""
    said, items = told(delta)
    assert (said, items.output("x"), list(items.end("completed"))) == ([], [], [])


def test_what_is_open_is_told_so_far() -> None:
    """The output of a response in progress has all texts and arguments so far, each with the status that is asked."""
    _, items = told(TextDelta("a"), TextDelta("b"), ToolCallDelta("{", id="a", name="look"), ReasoningDelta("h"))
    message, call, thought = items.output("in_progress")
    assert (message["status"], message["content"][0]["text"]) == ("completed", "ab")
    assert (call["status"], call["arguments"]) == ("in_progress", "{")
    assert (thought["status"], thought["summary"][0]["text"]) == ("in_progress", "h")
