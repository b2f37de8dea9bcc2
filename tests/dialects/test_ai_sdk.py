"""The UI message stream: what a client is told, part by part, and how it ended."""

import json
from typing import Any

import pytest

from sse_relay import EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import (
    AISDK,
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
from sse_relay.dialects.protocol import Recogniser
from tests.dialects.strict_clients import frames, hear

COMPLETED = Outcome("completed")


def parts(*said: Delta | ServerSentEvent, outcome: Outcome = COMPLETED) -> list[Any]:
    """Render records; tell the parts."""
    log = [one if isinstance(one, ServerSentEvent) else event_of(one) for one in said]
    shown = frames(AISDK(), log, outcome)
    assert hear("ai-sdk", shown).succeeded == (outcome.status == "completed")
    *events, done = EventDecoder().feed(b"".join(shown))
    assert done.data == "[DONE]"
    return [json.loads(event.data or "") for event in events]


def body(*said: Delta | ServerSentEvent) -> list[Any]:
    """Tell what is between the two ends of a message."""
    return parts(*said)[2:-2]


def kinds(*said: Delta | ServerSentEvent) -> list[str]:
    return [part["type"] for part in body(*said)]


def test_a_message_has_two_ends() -> None:
    """The same message id for everyone, so that a replay replaces what was there; the header says the version."""
    opening = [{"type": "start", "messageId": "msg_run1"}, {"type": "start-step"}]
    assert parts(Usage(1, 2), Finish("stop")) == [*opening, {"type": "finish-step"}, {"type": "finish"}]
    assert AISDK().headers == {"x-vercel-ai-ui-message-stream": "v1"}


@pytest.mark.parametrize(
    ("said", "outcome", "told"),
    [
        ([Finish("max_tokens")], COMPLETED, "length"),
        ([Finish("length", choice=1)], COMPLETED, "stop"),
        ([Finish("content_filter")], Outcome("completed", "stop"), "content-filter"),
        ([], Outcome("completed", "tool_use"), "tool-calls"),
        ([ToolCallDelta("{}", id="a", name="f")], COMPLETED, "tool-calls"),
        ([Finish("function_call")], COMPLETED, "tool-calls"),
    ],
)
def test_the_reason_is_told_where_it_is_asked_for(said: list[Delta], outcome: Outcome, told: str) -> None:
    """Why the model stopped is in the last part for a client of version 6, which knows the field; else it is not."""
    shown = frames(AISDK(finish_reason=True), [event_of(delta) for delta in said], outcome)
    *_, last, _ = EventDecoder().feed(b"".join(shown))
    assert json.loads(last.data or "") == {"type": "finish", "finishReason": told}
    assert parts(*said, outcome=outcome)[-1] == {"type": "finish"}


@pytest.mark.parametrize("status", ["failed", "cancelled", "lost", "timed_out"])
def test_no_reason_for_what_is_no_success(status: Any) -> None:
    """I2: though the model had said why it stopped, an abnormal end has no finish."""
    shown = b"".join(frames(AISDK(finish_reason=True), [event_of(Finish("stop"))], Outcome(status)))
    assert b"finish" not in shown


def test_texts_follow_one_another() -> None:
    """A part for one kind of text, ended where another begins; nothing for what is empty."""
    assert body(TextDelta("a"), TextDelta(""), RefusalDelta("b"), ReasoningDelta("c")) == [
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "a"},
        {"type": "text-delta", "id": "text-1", "delta": "b"},
        {"type": "text-end", "id": "text-1"},
        {"type": "reasoning-start", "id": "reasoning-2"},
        {"type": "reasoning-delta", "id": "reasoning-2", "delta": "c"},
        {"type": "reasoning-end", "id": "reasoning-2"},
    ]


def test_a_call_is_told_as_a_whole_before_its_result() -> None:
    """Each call by itself: another one goes on beside it, also behind a text."""
    said = body(
        ToolCallDelta('{"a"', id="x", name="f", index=0),
        ToolCallDelta("{", id="y", name="g", index=1),
        TextDelta("t"),
        ToolCallDelta(":1}", index=0),
        ToolResult("x", '{"b":2}'),
        ToolCallDelta("}", index=1),
        ToolCallDelta("late", index=0),
    )
    assert [(part["type"], part.get("toolCallId")) for part in said if "tool" in part["type"]] == [
        ("tool-input-start", "x"), ("tool-input-delta", "x"), ("tool-input-start", "y"), ("tool-input-delta", "y"),
        ("tool-input-delta", "x"), ("tool-input-available", "x"), ("tool-output-available", "x"),
        ("tool-input-delta", "y"), ("tool-input-available", "y"),
    ]  # fmt: skip
    assert [part["input"] for part in said if "input" in part] == [{"a": 1}, {}]
    assert [part["output"] for part in said if "output" in part] == [{"b": 2}]


@pytest.mark.parametrize("arguments", ['{"a":', "no JSON", '{"a":NaN}', '{"a":1e999}', "[" * 300, '{"a":1}}'])
def test_arguments_that_are_not_whole_are_an_error(arguments: str) -> None:
    """A client acts on what it is told: half a call is none."""
    *_, last = body(ToolCallDelta(arguments, id="x", name="f"))
    assert last["type"] == "tool-input-error"
    assert last["input"] == arguments


def test_no_arguments_are_an_empty_object() -> None:
    """A call without a word is a whole one."""
    assert body(ToolCallDelta(id="x", name="f"))[-1]["input"] == {}


@pytest.mark.parametrize("status", ["failed", "lost", "cancelled", "timed_out"])
def test_what_did_not_end_has_no_whole_calls(status: Any) -> None:
    """I7: a client would act on a call that may have been cut off anywhere, though it looks whole."""
    said = parts(TextDelta("a"), ToolCallDelta("{}", id="x", name="f"), outcome=Outcome(status))
    assert [part["type"] for part in said[-2:]] == ["tool-input-delta", "abort" if status == "cancelled" else "error"]
    assert not {part["type"] for part in said} & {"finish", "finish-step", "tool-input-available"}


def test_a_result_without_its_call_is_left_out() -> None:
    """It is fatal in the client; so is a second start of one id."""
    assert body(ToolResult("nobody", "1"), ToolResult("", "1")) == []
    calls: list[Delta] = [
        ToolCallDelta(f"{at}", id=given, name="f", index=at) for at, given in enumerate(["x", "x", "x_2"], 1)
    ]
    results: list[Delta] = [ToolResult("x", content) for content in "abc"]
    said = hear("ai-sdk", frames(AISDK(), [event_of(delta) for delta in [*calls, *results]], COMPLETED))
    assert said.calls == {"x": ["f", "1"], "x_2": ["f", "2"], "x_2_2": ["f", "3"]}
    assert said.results == {"x": "a", "x_2": "c"}


def test_events_of_the_application_are_data() -> None:
    """A name of its own is a data part; data that is no JSON is text."""
    assert body(
        ServerSentEvent('{"a":1}', event="progress"),
        ServerSentEvent("half {", event="é"),
        ServerSentEvent("NaN", event="n"),
    ) == [
        {"type": "data-progress", "data": {"a": 1}},
        {"type": "data-é", "data": "half {"},
        {"type": "data-n", "data": "NaN"},
    ]


@pytest.mark.parametrize(
    ("name", "said", "shown"),
    [
        ("source-url", {"sourceId": "1", "url": "u", "title": "t", "kind": 1, "type": "start"},
         {"type": "source-url", "sourceId": "1", "url": "u", "title": "t"}),
        ("file", {"url": "u", "mediaType": "m", "data": 1}, {"type": "file", "url": "u", "mediaType": "m"}),
        ("source-document", {"sourceId": "1", "mediaType": "m", "title": "t", "filename": 1},
         {"type": "source-document", "sourceId": "1", "mediaType": "m", "title": "t"}),
        ("source-document", {"sourceId": "1", "title": "t"}, None),
        ("source-url", {"sourceId": 1, "url": "u"}, None),
        ("file", ["url", "mediaType"], None),
    ],
    ids=range(6),
)  # fmt: skip
def test_sources_and_files_are_passed_on(name: str, said: Any, shown: Any) -> None:
    """With the fields that the client knows; without one that it needs, not at all: its schema is strict."""
    assert body(ServerSentEvent.json(said, event=name)) == ([] if shown is None else [shown])


def test_other_choices_say_nothing() -> None:
    """There is one message."""
    assert kinds(TextDelta("a", choice=1), ToolCallDelta("{}", id="x", name="f", choice=1), ToolCallDelta()) == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("[DONE]", "completed"), ('{"type":"abort"}', "cancelled"), ('{"type":"error","errorText":"x"}', "failed"),
        ('{"type":"finish"}', None), ('{"type":"text-delta","delta":"\\"abort\\" [DONE]"}', None), ('"error"', None),
        ('{"type":["error"]}', None), ("[" * 9999 + '"abort"', None),
    ],
    ids=range(8),
)  # fmt: skip
def test_its_terminals_are_recognised(data: str, status: str | None) -> None:
    """Defect 12: by what a part is, never by a word in it."""
    outcome = Recogniser(AISDK()).outcome_of(ServerSentEvent(data))
    assert (outcome and outcome.status) == status
