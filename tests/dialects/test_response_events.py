"""Events of an OpenAI response as a source: its deltas, and how it ended."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import ErrorInfo, Outcome, ServerSentEvent
from sse_relay.dialects import (
    Delta,
    Finish,
    OpenAIResponses,
    ReasoningDelta,
    RefusalDelta,
    RenderContext,
    TextDelta,
    ToolCallDelta,
    Usage,
    event_of,
)
from sse_relay.dialects.protocol import Recogniser
from sse_relay.dialects.response_events import ResponseReader, reason_of, terminal_of
from sse_relay.dialects.tool_calls import ToolCalls
from sse_relay.wire.encoder import frame
from tests.properties import examples
from tests.wire.chunkings import decode

MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": "No"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
THOUGHT = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    "content": [{"type": "reasoning_text", "text": "raw"}],
}
WHOLE = {
    "object": "response",
    "status": "completed",
    "output": [THOUGHT, MESSAGE, CALL],
    "usage": {"input_tokens": 3, "output_tokens": 5},
}


def read(*events: dict[str, Any]) -> list[Delta]:
    """Read a stream of events."""
    reader = ResponseReader()
    return [delta for event in events for delta in reader.deltas(event)]


def said(kind: str, /, **fields: Any) -> dict[str, Any]:
    """Make the data of an event."""
    return {"type": f"response.{kind}", **fields}


def test_texts_come_in_deltas() -> None:
    """Text, refusals and reasoning of both kinds are told once, however often they are repeated whole."""
    assert read(
        said("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"),
        said("reasoning_summary_text.done", output_index=0, summary_index=0, text="hm"),
        said("reasoning_summary_part.added", output_index=0, summary_index=1),
        said("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="so"),
        said("output_item.done", output_index=0, item=THOUGHT | {"content": []}),
        said("reasoning_text.delta", output_index=1, content_index=0, delta="raw"),
        said("output_text.delta", output_index=2, content_index=0, delta="H"),
        said("output_text.delta", output_index=2, content_index=0, delta="i"),
        said("output_text.done", output_index=2, content_index=0, text="Hi"),
        said("refusal.delta", output_index=2, content_index=1, delta="No"),
        said("output_item.done", output_index=2, item=MESSAGE),
        said("completed", response=WHOLE | {"output": [MESSAGE]}),
    ) == [
        ReasoningDelta("hm"),
        ReasoningDelta("\n\n"),
        ReasoningDelta("so"),
        ReasoningDelta("raw"),
        TextDelta("H"),
        TextDelta("i"),
        RefusalDelta("No"),
        Finish("stop"),
        Usage(3, 5),
    ]


def test_what_has_no_deltas_is_taken_whole() -> None:
    """A server that sends texts, items or the response as a whole only loses nothing of them."""
    whole = [
        ReasoningDelta("one"),
        ReasoningDelta("\n\n"),
        ReasoningDelta("two"),
        ReasoningDelta("raw"),
        TextDelta("Hi"),
        RefusalDelta("No"),
        ToolCallDelta(id="c1", name="look", index=2),
        ToolCallDelta("{}", index=2),
    ]
    end: list[Delta] = [Finish("tool_calls"), Usage(3, 5)]
    items = [said("output_item.done", output_index=at, item=item) for at, item in enumerate([THOUGHT, MESSAGE, CALL])]
    assert read(*items) == whole
    assert read(*items, said("completed", response=WHOLE)) == whole + end
    assert read(said("completed", response=WHOLE)) == whole + end
    assert read(WHOLE) == whole + end
    assert read(said("output_text.done", output_index=0, text="Hi")) == [TextDelta("Hi")]


CUSTOM = {"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": "ls"}


@pytest.mark.parametrize(
    "events",
    [
        [
            said("output_item.added", output_index=1, item={**CUSTOM, "input": ""}),
            said("custom_tool_call_input.delta", output_index=1, delta="l"),
            said("custom_tool_call_input.delta", output_index=1, delta="s"),
            said("custom_tool_call_input.done", output_index=1, input="ls"),
            said("output_item.done", output_index=1, item=CUSTOM),
        ],
        [said("output_item.added", output_index=1, item=CUSTOM), said("output_item.done", output_index=1, item=CUSTOM)],
        [said("output_item.done", output_index=1, item=CUSTOM)],
        [said("completed", response={"output": [MESSAGE, CUSTOM]})],
    ],
    ids=["deltas", "added", "done", "whole"],
)
def test_a_custom_call_is_one_of_json(events: list[dict[str, Any]]) -> None:
    """The input of a custom tool, which is free text, is told once, as the JSON that every other reader parses."""
    calls = [delta for delta in read(*events) if isinstance(delta, ToolCallDelta)]
    assert all(call.custom and call.index == 1 for call in calls)
    assert (calls[0].id, calls[0].name) == ("c1", "run")
    assert "".join(call.arguments for call in calls) == '{"input":"ls"}'


def test_a_custom_call_is_a_reason() -> None:
    """A response that ends with a call of any kind has stopped for it."""
    (*_, finish) = read(said("completed", response={"output": [CUSTOM]}))
    assert finish == Finish("tool_calls")


def test_a_custom_call_that_is_cut_off_is_not_whole() -> None:
    """I7: without its end the JSON stays open, so that nobody acts on half an input."""
    (call,) = read(said("custom_tool_call_input.delta", output_index=0, delta="rm -r /tmp"))
    assert call == ToolCallDelta('{"input":"rm -r /tmp', index=0, custom=True)


def test_a_gap_in_the_places_doubles_nothing() -> None:
    """A final output whose items have other places than their events had is not read as new text."""
    told = said("output_text.delta", output_index=4, content_index=0, delta="Hi")
    assert read(told, said("completed", response=WHOLE | {"output": [MESSAGE]})) == [
        TextDelta("Hi"),
        Finish("stop"),
        Usage(3, 5),
    ]


def test_parallel_calls_are_kept_apart() -> None:
    """Interleaved arguments go to the call at their place; the id that clients answer to is the call's own."""
    begun = [
        said("output_item.added", output_index=at, item=CALL | {"id": f"fc_{at}", "call_id": f"c{at}", "arguments": ""})
        for at in (1, 2)
    ]
    more = [
        said("function_call_arguments.delta", output_index=at, delta=part)
        for at, part in ((1, "{"), (2, "["), (1, "}"))
    ]
    done = [
        said("function_call_arguments.done", output_index=1, arguments="{}"),
        said("output_item.done", output_index=2, item=CALL | {"call_id": "c2", "arguments": "["}),
    ]
    assert read(*begun, *more, *done) == [
        ToolCallDelta(id="c1", name="look", index=1),
        ToolCallDelta(id="c2", name="look", index=2),
        ToolCallDelta("{", index=1),
        ToolCallDelta("[", index=2),
        ToolCallDelta("}", index=1),
    ]


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (said("completed", response=WHOLE), Outcome("completed", "tool_calls")),
        (said("completed", response={"status": "completed", "output": [MESSAGE]}), Outcome("completed", "stop")),
        (said("completed"), Outcome("completed", "stop")),
        (said("incomplete"), Outcome("completed", "length")),
        (
            said("incomplete", response={"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
            Outcome("completed", "content_filter"),
        ),
        (said("incomplete", response={"status": "cancelled"}), Outcome("cancelled", "cancelled")),
        (said("cancelled", response={}), Outcome("cancelled", "cancelled")),
        (said("created", response={"status": "in_progress"}), None),
        (said("output_text.delta", delta="response.completed"), None),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
def test_how_it_ended(event: dict[str, Any], outcome: Outcome | None) -> None:
    """B4, defect 12: a terminal is known by its name, or where it has none by its type; a word in a text is none."""
    for name in (event["type"], None, "message"):
        told = ServerSentEvent.json(event, event=name)
        assert terminal_of(told) == outcome
        assert reason_of(told) == (None if outcome is None or outcome.status != "completed" else outcome.reason)
        assert Recogniser(OpenAIResponses()).outcome_of(told) == outcome


SECRET = "password=hunter2"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": SECRET}}},
         "llm_rate_limit"),
        ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": SECRET}}}, "llm_error"),
        ({"type": "response.failed"}, "llm_error"),
        ({"type": "error", "code": "context_length_exceeded", "message": SECRET}, "llm_context_length"),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": SECRET}}, "llm_bad_request"),
        ({"type": "error", "message": SECRET}, "llm_error"),
    ],
)  # fmt: skip
def test_a_failure_is_typed(fields: dict[str, Any], code: str) -> None:
    """G6, I13: an error is known by its machine-readable code, and nothing that the provider wrote passes."""
    outcome = terminal_of(ServerSentEvent.json(fields, event=fields["type"]))
    assert outcome is not None
    assert outcome.status == "failed"
    assert isinstance(outcome.error, ErrorInfo)
    assert outcome.error.code == code
    assert SECRET not in repr(outcome)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(
        ["function_call", "message", "reasoning", "output_text", "summary_text", "cancelled", "incomplete"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["type", "response", "output", "item", "content", "summary", "delta", "text", "output_index", "status",
             "content_index", "summary_index", "usage", "incomplete_details", "error", "code", "arguments", "call_id"]
        ) | st.text(max_size=4),
        inner,
        max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip
KINDS = st.sampled_from(
    ["output_text.delta", "output_text.done", "refusal.delta", "function_call_arguments.delta", "output_item.added",
     "output_item.done", "reasoning_summary_part.added", "completed", "incomplete", "failed", "cancelled"]
).map("response.{}".format)  # fmt: skip


@given(KINDS | st.just("error"), st.dictionaries(st.sampled_from(["response", "item", "output_index", "delta"]), JSON))
@examples(300)
def test_nothing_raises_whatever_it_says(kind: str, fields: dict[str, Any]) -> None:
    """Hostile fields are left out: each delta that is read can be stored, and each terminal is an outcome."""
    for delta in read({"type": kind, **fields}, {**fields, "object": "response"}):
        event_of(delta)
    data = json.dumps({"type": kind, **fields})
    for name in (kind, None):
        outcome = terminal_of(ServerSentEvent(data, event=name))
        terminal = kind in {"error", *map("response.{}".format, ("completed", "incomplete", "failed", "cancelled"))}
        assert (outcome is not None) is terminal


@pytest.mark.parametrize("data", ["", "<html>", "[" * 100_000, '{"type":', "null", '"type"', "1" * 5000])
def test_what_is_no_json_is_no_end_unless_it_is_named_so(data: str) -> None:
    """Broken data is no terminal; under a terminal's name it is that terminal, with nothing said."""
    assert terminal_of(ServerSentEvent(data)) is None
    assert terminal_of(ServerSentEvent(data, event="response.completed")) == Outcome("completed", "stop")
    failure = terminal_of(ServerSentEvent(data, event="error"))
    assert failure is not None
    assert failure.status == "failed"


TEXTS = st.text(min_size=1, max_size=6)
DELTAS: st.SearchStrategy[Delta] = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(RefusalDelta, TEXTS),
    st.builds(ReasoningDelta, TEXTS),
    st.builds(ToolCallDelta, TEXTS, id=st.sampled_from(["a", "b"]), name=st.just("look"), index=st.none()),
)


def folded(deltas: list[Delta]) -> dict[str, Any]:
    """Fold deltas into what a reader has at the end: each text, and each call with its arguments."""
    texts: dict[str, str] = {}
    calls = ToolCalls()
    arguments: dict[int, str] = {}
    ends: list[Delta] = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            call, _ = calls.place(delta)
            arguments[call.number] = arguments.get(call.number, "") + delta.arguments
        elif isinstance(delta, (Finish, Usage)):
            ends.append(delta)
        else:
            name = type(delta).__name__
            texts[name] = texts.get(name, "") + getattr(delta, "text", "")
    return {"texts": texts, "arguments": arguments, "ends": ends}


@given(st.lists(DELTAS, max_size=12))
@examples(150)
def test_what_is_rendered_is_read_back(deltas: list[Delta]) -> None:
    """I10: a response that the dialect wrote is read back the same, by its deltas and by its end alone."""
    renderer = OpenAIResponses().renderer(RenderContext("run"))
    events = list(renderer.preamble())
    given_deltas = [*deltas, Usage(1, 2)]
    for offset, delta in enumerate(given_deltas, 1):
        events += renderer.event(offset, event_of(delta))
    events += renderer.end(Outcome("completed"))
    wire = decode([b"".join(frame(event) for event in events)])
    reader = ResponseReader()
    back = [delta for event in wire for delta in reader.deltas(json.loads(event.data or ""))]
    reason = "tool_calls" if any(isinstance(delta, ToolCallDelta) for delta in deltas) else "stop"
    expected = folded([*deltas, Finish(reason), Usage(1, 2)])
    assert folded(back) == expected
    assert folded(read(json.loads(wire[-1].data or ""))) == expected
    assert {type(delta) for delta in back} <= set(get_args(Delta))
