"""The dialect of OpenAI's Responses: the events of a response, their numbers, and how each end looks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from sse_relay import ErrorInfo, Outcome, ServerSentEvent
from sse_relay.dialects import (
    Delta,
    Dialect,
    Finish,
    OpenAIResponses,
    ReasoningDelta,
    RefusalDelta,
    RenderContext,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    event_of,
)
from sse_relay.dialects.openai_responses import ResponseRenderer
from sse_relay.dialects.protocol import render_end
from sse_relay.wire.encoder import frame
from tests.properties import examples, hostile_text, received
from tests.wire.chunkings import bytewise, decode

CONTEXT = RenderContext("r1", "epoch", 12.75, {"secret": "password=hunter2"})
COMPLETED = Outcome("completed")
SDK: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

texts = hostile_text()
deltas: st.SearchStrategy[list[Delta]] = st.lists(
    st.one_of(
        st.builds(TextDelta, texts, choice=st.sampled_from([0, 0, 1])),
        st.builds(ReasoningDelta, texts),
        st.builds(RefusalDelta, texts),
        st.builds(
            ToolCallDelta,
            texts,
            id=st.none() | texts | st.sampled_from(["a", "b"]),
            name=st.none() | texts | st.just("look"),
            index=st.none() | st.integers(0, 2),
        ),
        st.builds(ToolResult, st.sampled_from(["a", "b"]), texts),
        st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
        st.builds(Finish, texts | st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
    ),
    max_size=10,
)
outcomes = st.sampled_from(
    [
        COMPLETED,
        Outcome("completed", "max_tokens"),
        Outcome("cancelled", "user"),
        Outcome("failed", "error", ErrorInfo("internal_error", "An internal error occurred.", "ab12")),
        Outcome("lost"),
        Outcome("timed_out", "timeout"),
    ]
)


def rendered(
    records: list[Delta], outcome: Outcome = COMPLETED, dialect: OpenAIResponses | None = None
) -> tuple[list[ServerSentEvent], ResponseRenderer]:
    """Render a whole run."""
    renderer = (dialect or OpenAIResponses(model="gpt")).renderer(CONTEXT)
    events = list(renderer.preamble())
    for offset, delta in enumerate(records, 1):
        events += renderer.event(offset, event_of(delta))
    return [*events, *render_end(renderer, outcome)], renderer


def data(event: ServerSentEvent) -> dict[str, Any]:
    """Read an event's data."""
    said: dict[str, Any] = json.loads(event.data or "")
    return said


def final(records: list[Delta], outcome: Outcome = COMPLETED) -> tuple[str | None, dict[str, Any]]:
    """Tell the name of the last event, and its response."""
    events, _ = rendered(records, outcome)
    return events[-1].event, data(events[-1])["response"]


def test_what_edges_ask_of_it() -> None:
    """Its clients bear no ids and no data in a heartbeat, and get the stream from its beginning (FN 2)."""
    dialect = OpenAIResponses()
    assert isinstance(dialect, Dialect)
    assert (dialect.name, dialect.has_ids, dialect.resume) == ("openai-responses", False, "from_start")
    assert dict(dialect.headers) == {}
    assert decode(bytewise(dialect.heartbeat * 2)) == []


def test_the_exact_beginning() -> None:
    """The two first events are exactly these bytes: a client's parser depends on each field; no metadata is told."""
    first, second = OpenAIResponses(model="gpt").renderer(CONTEXT).preamble()
    response = (
        '{"id":"resp_r1","object":"response","created_at":12,"status":"in_progress","error":null,'
        '"incomplete_details":null,"model":"gpt","output":[],"background":null,"instructions":null,'
        '"max_output_tokens":null,"max_tool_calls":null,"metadata":{},"parallel_tool_calls":true,'
        '"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":null,"store":true,'
        '"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":null,'
        '"top_p":null,"truncation":"disabled","user":null,"usage":null}'
    )
    assert (first.event, first.id, first.data) == (
        "response.created",
        None,
        f'{{"type":"response.created","sequence_number":0,"response":{response}}}',
    )
    assert (second.event, second.data) == (
        "response.in_progress",
        f'{{"type":"response.in_progress","sequence_number":1,"response":{response}}}',
    )


def test_the_life_of_a_text() -> None:
    """H1: an answer in two deltas is these events, in this order, with these numbers."""
    events, _ = rendered([TextDelta("H"), TextDelta("i"), Usage(3, 5), Finish("stop")])
    assert [event.event for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[4].data == (
        '{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_r1_0","output_index":0,'
        '"content_index":0,"delta":"H","logprobs":[]}'
    )
    response = data(events[-1])["response"]
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", "Hi")
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }


@given(deltas, outcomes)
@examples(150)
def test_every_event_is_one_of_the_sdks(records: list[Delta], outcome: Outcome) -> None:
    """I2, I4: each event is valid for the SDK's own models; numbers are dense; the bytes are the same twice."""
    events, renderer = rendered(records, outcome)
    wire = b"".join(frame(event) for event in events)
    assert b"".join(frame(event) for event in rendered(records, outcome)[0]) == wire
    assert b"id:" not in b"".join(line[:3] for line in wire.splitlines())
    for number, event in enumerate(decode([wire])):
        said = data(event)
        assert (said["type"], said["sequence_number"]) == (event.event, number)
        if event.event == "response.failed":
            Response.model_validate(said["response"] | {"error": None})  # its list of codes is OpenAI's own
        else:
            SDK.validate_json(event.data or "")
    ends = {"response.completed", "response.incomplete", "response.failed"}
    assert [event.event in ends for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1].outcome == outcome
    assert data(events[-1])["response"] == json.loads(json.dumps(renderer.response(outcome)))


@given(deltas, outcomes)
@examples(60)
def test_every_place_to_resume_at(records: list[Delta], outcome: Outcome) -> None:
    """I1, I3: after event N come the events behind it, byte for byte, wherever N is; the last one always comes."""
    events, _ = rendered(records, outcome)
    for seen in range(-1, len(events) + 2):
        after = None if seen < 0 else seen
        resumed, _ = rendered(records, outcome, OpenAIResponses(model="gpt", starting_after=after))
        assert resumed == (events[seen + 1 :] or events[-1:])


@given(deltas)
@examples(100)
def test_the_last_event_is_the_sum_of_all(records: list[Delta]) -> None:
    """I1: deltas, ``done`` events and the final response say the same of each item."""
    events, _ = rendered(records)
    texts_of: dict[tuple[str, int], str] = {}
    done: dict[tuple[str, int], str] = {}
    items: dict[int, Any] = {}
    for said in map(data, events):
        about, _, what = said["type"].rpartition(".")
        if what == "delta":
            place = said["item_id"], said.get("content_index", said.get("summary_index", 0))
            texts_of[place] = texts_of.get(place, "") + said["delta"]
        elif said["type"] == "response.output_item.done":
            items[said["output_index"]] = said["item"]
        elif what == "done" and about not in {"response.content_part", "response.reasoning_summary_part"}:
            place = said["item_id"], said.get("content_index", said.get("summary_index", 0))
            done[place] = said[{"refusal": "refusal", "function_call_arguments": "arguments"}.get(about[9:], "text")]
    assert {place: text for place, text in done.items() if text} == texts_of
    assert data(events[-1])["response"]["output"] == [items[index] for index in sorted(items)]
    assert len({item.get("call_id", index) for index, item in items.items()}) == len(items)
    assert received("".join(text for (item, _), text in texts_of.items() if item.startswith("msg"))) == received(
        "".join(delta.text for delta in records if isinstance(delta, (TextDelta, RefusalDelta)) and delta.choice == 0)
    )


@pytest.mark.parametrize(
    ("records", "outcome", "event", "status", "details"),
    [
        ([], COMPLETED, "completed", "completed", None),
        ([Finish("tool_use")], COMPLETED, "completed", "completed", None),
        ([Finish("length")], COMPLETED, "incomplete", "incomplete", {"reason": "max_output_tokens"}),
        ([], Outcome("completed", "max_tokens"), "incomplete", "incomplete", {"reason": "max_output_tokens"}),
        ([Finish("content_filter")], COMPLETED, "incomplete", "incomplete", {"reason": "content_filter"}),
        ([Finish("length", choice=1)], COMPLETED, "completed", "completed", None),
        ([Finish("stop")], Outcome("cancelled", "user"), "incomplete", "cancelled", None),
        ([Finish("length")], Outcome("cancelled", "user"), "incomplete", "cancelled", None),
        ([Finish("stop")], Outcome("failed"), "failed", "failed", None),
        ([Finish("stop")], Outcome("lost"), "failed", "failed", None),
        ([Finish("stop")], Outcome("timed_out"), "failed", "failed", None),
    ],
)
def test_each_end_looks_like_itself(
    records: list[Delta], outcome: Outcome, event: str, status: str, details: dict[str, str] | None
) -> None:
    """H4, defect 13: what was cut short is ``incomplete``, what failed ``failed``, whatever the model said before."""
    name, response = final([TextDelta("a"), *records], outcome)
    assert (name, response["status"]) == (f"response.{event}", status)
    assert response["incomplete_details"] == details
    assert (response["error"] is not None) is (status == "failed")
    assert response["output"][0]["content"][0]["text"] == "a"
    assert response["output"][0]["status"] == ("completed" if status == "completed" else "incomplete")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome("failed", "error", ErrorInfo("llm_timeout", "The model took too long.", "ab12")), "llm_timeout"),
        (Outcome("failed"), "internal_error"),
        (Outcome("lost"), "producer_lost"),
        (Outcome("timed_out"), "timeout"),
    ],
)
def test_a_failure_has_its_code(outcome: Outcome, code: str) -> None:
    """I13: the error of a failed response is a code and a sentence, and no more."""
    _, response = final([], outcome)
    assert response["error"]["code"] == code
    assert set(response["error"]) == {"code", "message"}
    assert response["error"]["message"]


@pytest.mark.parametrize("outcome", [Outcome("cancelled"), Outcome("lost"), Outcome("failed")])
def test_half_a_call_is_never_done(outcome: Outcome) -> None:
    """I2: no item of a run that did not come to its end is ``done``, so that nobody acts on half of its arguments."""
    events, _ = rendered([ToolCallDelta('{"path":"/', id="a", name="delete")], outcome)
    assert not [event.event for event in events if (event.event or "").endswith(".done")]
    (call,) = data(events[-1])["response"]["output"]
    assert (call["status"], call["arguments"]) == ("incomplete", '{"path":"/')


def test_a_response_may_be_told_at_any_time() -> None:
    """A response in progress has the output so far, and telling it changes nothing of what comes."""
    renderer = OpenAIResponses(model="gpt").renderer(CONTEXT)
    events = list(renderer.preamble())
    for offset, delta in enumerate((TextDelta("H"), TextDelta("i")), 1):
        events += renderer.event(offset, event_of(delta))
        response = renderer.response(None)
        assert (response["status"], response["output"][0]["status"]) == ("in_progress", "in_progress")
        assert response["output"][0]["content"][0]["text"] == "Hi"[:offset]
        Response.model_validate(response)
    assert [*events, *render_end(renderer, COMPLETED)] == rendered([TextDelta("H"), TextDelta("i")])[0]


@pytest.mark.parametrize(
    "record",
    [
        ServerSentEvent("plain text"),
        ServerSentEvent('{"choices":[{"index":0,"delta":{"content":"plain text"}}]}'),
        ServerSentEvent('{"message_type":"assistant_message","content":[{"type":"text","text":"plain text"}]}'),
    ],
    ids=["text", "chunk", "letta"],
)
def test_what_else_a_log_may_hold(record: ServerSentEvent) -> None:
    """H2: plain text, chunks of a chat and messages of an agent are text, too."""
    renderer = OpenAIResponses().renderer(CONTEXT)
    assert data(renderer.event(1, record)[2])["delta"] == "plain text"
    assert renderer.event(2, ServerSentEvent("whatever", event="own")) == []
    assert renderer.event(3, ServerSentEvent('{"text":', event="text")) == []
