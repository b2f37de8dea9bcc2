"""Calls in the output of an OpenAI response: of functions, and of custom tools."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sse_relay import Outcome
from sse_relay.dialects import Delta, OpenAIResponses, RenderContext, ToolCallDelta, event_of
from sse_relay.dialects.response_calls import CallItem, CustomCallItem, Said
from sse_relay.dialects.response_events import ResponseReader
from sse_relay.dialects.tool_calls import ToolCall
from tests.properties import examples, hostile_text, received


def told(item: CallItem, *arguments: str) -> list[Said]:
    """Tell a whole call."""
    return [*item.begin(), *(said for part in arguments for said in item.more(part)), *item.end("completed")]


def test_a_call_of_a_function() -> None:
    """Its arguments grow, and are repeated whole with its name; nothing is said of nothing."""
    call = CallItem(ToolCall(0, name="look"), "c1", "run", 2)
    where = {"item_id": "fc_run_2", "output_index": 2}
    known = {"id": "fc_run_2", "type": "function_call", "call_id": "c1", "name": "look"}
    done = {**known, "status": "completed", "arguments": "{}"}
    assert told(call, "{", "", "}") == [
        (
            "response.output_item.added",
            {"output_index": 2, "item": {**known, "status": "in_progress", "arguments": ""}},
        ),
        ("response.function_call_arguments.delta", {**where, "delta": "{"}),
        ("response.function_call_arguments.delta", {**where, "delta": "}"}),
        ("response.function_call_arguments.done", {**where, "name": "look", "arguments": "{}"}),
        ("response.output_item.done", {"output_index": 2, "item": done}),
    ]


def test_a_call_of_a_custom_tool() -> None:
    """Its input is told as the text that it is, out of the JSON that everyone else reads."""
    call = CustomCallItem(ToolCall(0, name="run", custom=True), "c1", "run", 0)
    where = {"item_id": "ctc_run_0", "output_index": 0}
    known = {"id": "ctc_run_0", "type": "custom_tool_call", "call_id": "c1", "name": "run"}
    done = {**known, "status": "completed", "input": 'say "hi"\n'}
    assert told(call, '{"input":"', 'say \\"hi', '\\"\\n', '"}') == [
        ("response.output_item.added", {"output_index": 0, "item": {**known, "status": "in_progress", "input": ""}}),
        ("response.custom_tool_call_input.delta", {**where, "delta": 'say "hi'}),
        ("response.custom_tool_call_input.delta", {**where, "delta": '"\n'}),
        ("response.custom_tool_call_input.done", {**where, "input": 'say "hi"\n'}),
        ("response.output_item.done", {"output_index": 0, "item": done}),
    ]


def rendered(*deltas: Delta) -> list[dict[str, Any]]:
    """Render a whole response; tell the data of its events."""
    renderer = OpenAIResponses(model="m").renderer(RenderContext("run"))
    events = [*renderer.preamble()]
    for offset, delta in enumerate(deltas, 1):
        events += renderer.event(offset, event_of(delta))
    return [json.loads(event.data or "") for event in [*events, *renderer.end(Outcome("completed"))]]


def test_the_sdk_reads_a_custom_call() -> None:
    """Each event is one that the SDK's own models take, field by field."""
    types = pytest.importorskip("openai.types.responses")
    said = rendered(
        ToolCallDelta('{"input":"', id="c1", name="run", index=0, custom=True),
        ToolCallDelta("ls", index=0, custom=True),
        ToolCallDelta('"}', index=0, custom=True),
    )
    events = [TypeAdapter(types.ResponseStreamEvent).validate_python(event) for event in said[2:5]]
    assert [event.type for event in events] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    ]
    (call,) = TypeAdapter(types.Response).validate_python(said[-1]["response"]).output
    assert (type(call), call.name, call.input) == (types.ResponseCustomToolCall, "run", "ls")


@given(st.lists(hostile_text(), min_size=1, max_size=4))
@examples(60)
def test_a_custom_call_comes_through_whole(pieces: list[str]) -> None:
    """I3: read from one response and told in another, an input is the same, whatever is in it."""
    reader = ResponseReader()
    item = {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": ""}
    text = "".join(pieces)
    source: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *({"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": piece} for piece in pieces),
        {"type": "response.custom_tool_call_input.done", "output_index": 0, "input": text},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "input": text}},
        {"type": "response.completed", "response": {"output": [{**item, "input": text}]}},
    ]
    said = rendered(*(delta for event in source for delta in reader.deltas(event)))
    (call,) = said[-1]["response"]["output"]
    assert (call["type"], call["call_id"], call["name"], call["input"]) == (
        "custom_tool_call", "c1", "run", received(text),
    )  # fmt: skip
