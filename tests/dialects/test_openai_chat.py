"""Chat Completions: what a client is told, chunk by chunk, and how a stream of them ended."""

import json
from json.encoder import encode_basestring
from typing import Any

import pytest
from hypothesis import given

from sse_relay import ErrorInfo, EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import (
    Delta,
    Finish,
    OpenAIChat,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    event_of,
)
from sse_relay.dialects.openai_chat import finish_reason
from sse_relay.dialects.protocol import Recogniser
from sse_relay.wire.event import make_data
from tests.dialects.strict_clients import CONTEXT, Heard, frames, hear
from tests.properties import examples, hostile_text

COMPLETED = Outcome("completed")
ROLE = {"role": "assistant", "content": ""}


def chunks(*deltas: Delta, after: int = 0, outcome: Outcome = COMPLETED, **options: Any) -> list[Any]:
    """Render deltas, a record each; the last chunk is the text [DONE], or an error."""
    shown = frames(OpenAIChat(**options), [event_of(delta) for delta in deltas], outcome, after)
    data = [event.data or "" for event in EventDecoder().feed(b"".join(shown))]
    return [said if said == "[DONE]" else json.loads(said) for said in data]


def told(*deltas: Delta, **options: Any) -> list[Any]:
    """Tell what the first choice is told, chunk by chunk, without the end."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(*deltas, **options)[1:-2]]


def heard(*deltas: Delta, outcome: Outcome = COMPLETED, **options: Any) -> Heard:
    """Tell what the client makes of it."""
    return hear("openai-chat", frames(OpenAIChat(**options), [event_of(delta) for delta in deltas], outcome))


# Chunks


def test_a_stream_is_role_texts_finish_and_done() -> None:
    """H1, H4: the same id, time and model throughout; the role on the first chunk, one finish, one [DONE]."""
    said = chunks(TextDelta("Hi"), TextDelta(" you"), Finish("stop"), model="m")
    known = {"id": "chatcmpl-run1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}

    def chunk(delta: dict[str, Any], reason: str | None = None, seq: int | None = None) -> dict[str, Any]:
        place = {} if seq is None else {"relay": {"run_id": "run1", "seq": seq}}
        return {**known, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **place}

    texts = [chunk({"content": "Hi"}, seq=1), chunk({"content": " you"}, seq=2)]
    assert said == [chunk(ROLE), *texts, chunk({}, "stop", 4), "[DONE]"]


@given(hostile_text())
@examples(150)
def test_a_text_is_the_same_on_every_way(text: str) -> None:
    """I3: the fast ways, from a frame and from a text, say to the byte what the validated one says."""
    renderer: Any = OpenAIChat().renderer(CONTEXT)
    renderer.preamble()
    slow = event_of(TextDelta(text)).replace(data=(event_of(TextDelta(text)).data or "").replace(":", " :", 1))
    shown = [event.encode() for event in renderer.event(0, event_of(TextDelta(text)))]
    assert [event.encode() for event in renderer.event(0, slow)] == shown
    assert len(shown) == bool(text)
    before, behind = renderer.around_text
    assert not text or make_data(f"{before}{encode_basestring(text)}{behind}").encode() == shown[0]


@pytest.mark.parametrize(
    "data",
    [
        '{"text":"\\ud83d"}',
        '{"text":"a"b"}',
        '{"text":"a\\"}',
        '{"text":"\\x"}',
        '{"text":"a\nb"}',
        '{"text":"\\u12"}',
        "a",
        '{"text":"a',
        'a"}',
        '{"text":"',
        '"}',
    ],
    ids=range(11),
)
def test_a_broken_frame_is_not_copied(data: str) -> None:
    """I2: what is no JSON, or has half a character, never becomes a part of a chunk."""
    assert hear("openai-chat", frames(OpenAIChat(), [ServerSentEvent(data, event="text")], COMPLETED)).text == ""


def test_escapes_are_copied() -> None:
    """I3: a frame that escapes more than ours says the same text."""
    log = [ServerSentEvent('{"text":"\\ud83d\\ude00\\u00e9\\n\\"\\/"}', event="text")]
    assert hear("openai-chat", frames(OpenAIChat(), log, COMPLETED)).text == '😀é\n"/'


def test_reasoning_is_told_under_both_names() -> None:
    """Half of the clients read the one, half the other."""
    assert told(ReasoningDelta("so"), RefusalDelta("no")) == [
        {"reasoning": "so", "reasoning_content": "so"},
        {"refusal": "no"},
    ]


def test_what_says_nothing_is_no_chunk() -> None:
    """H2, H3: empty texts and calls, results of tools, usage that nobody asked for and other events are left out."""
    assert told(TextDelta(""), ReasoningDelta(""), ToolCallDelta(index=3), ToolResult("c", "x"), Usage(1, 2)) == []
    assert len(frames(OpenAIChat(), [ServerSentEvent("{}", event="progress"), ServerSentEvent("")], COMPLETED)) == 3


def test_calls_are_told_apart() -> None:
    """H6, defect 14: an index always, id, name and type once only, whatever the upstream left out."""
    said = told(
        ToolCallDelta("{", id="a", name="f", index=0),
        ToolCallDelta("", id="b", name="g", index=0),
        ToolCallDelta("[", id="b", index=0),
        ToolCallDelta("}", id="a", index=0),
        ToolCallDelta("]", id="b", name="g", index=0),
    )
    assert [call for delta in said for call in delta["tool_calls"]] == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}},
        {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "["}},
        {"index": 0, "function": {"arguments": "}"}},
        {"index": 1, "function": {"arguments": "]"}},
    ]


def test_a_name_that_comes_late_is_told_once() -> None:
    """Clients add up the names that they are told."""
    said = heard(ToolCallDelta(id="a"), ToolCallDelta("{", name="f"), ToolCallDelta("}", name="f"))
    assert said.calls == {"a": ["f", "{}"]}


def test_every_choice_has_its_role_and_its_finish() -> None:
    """H4: a choice begins with its role, and ends with its own reason, once."""
    said = chunks(TextDelta("a", choice=1), TextDelta("b", choice=1), Finish("length", choice=1), TextDelta("c"))
    assert [chunk["choices"][0]["delta"] for chunk in said[1:4]] == [
        {"role": "assistant", "content": "a"},
        {"content": "b"},
        {"content": "c"},
    ]
    assert [(choice["index"], choice["finish_reason"]) for choice in said[4]["choices"]] == [(0, "stop"), (1, "length")]


def test_who_joins_in_the_middle_is_told_every_role() -> None:
    """H1: the preamble comes after the fold, and names each choice that was seen; then the records go on."""
    log = TextDelta("a"), TextDelta("b", choice=2), TextDelta("c", choice=2)
    opening, rest, *_ = chunks(*log, after=2)
    assert opening["choices"] == [{"index": index, "delta": ROLE, "finish_reason": None} for index in (0, 2)]
    assert rest["choices"] == [{"index": 2, "delta": {"content": "c"}, "finish_reason": None}]
    assert rest["relay"] == {"run_id": "run1", "seq": 3}


def test_usage_is_told_once_and_only_if_asked_for() -> None:
    """Defect 13: in a chunk without choices, behind the finish; the last one counts, and it has the seal's place."""
    log = Usage(1, 1), TextDelta("a"), Usage(3, 4)
    *_, finish, usage, done = chunks(*log, include_usage=True)
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert (usage["choices"], usage["relay"]["seq"], "relay" in finish, done) == ([], 4, False, "[DONE]")
    assert heard(*log).usage is None
    assert heard(TextDelta("a"), include_usage=True).usage is None


@pytest.mark.parametrize(
    ("deltas", "outcome", "reason"),
    [
        ((), COMPLETED, "stop"),
        ((Finish("max_tokens"),), COMPLETED, "length"),
        ((Finish("stop"), Finish("length")), COMPLETED, "length"),
        ((), Outcome("completed", "refusal"), "content_filter"),
        ((Finish("tool_use"),), Outcome("completed", "end_turn"), "tool_calls"),
        ((ToolCallDelta("{}", id="a", name="f"),), COMPLETED, "tool_calls"),
        ((ToolCallDelta("{}", id="a", name="f"),), Outcome("completed", "stop"), "stop"),
        ((Finish("unheard_of"),), COMPLETED, "stop"),
    ],
    ids=range(8),
)
def test_the_reason_is_the_true_one(deltas: tuple[Delta, ...], outcome: Outcome, reason: str) -> None:
    """H4: what the model said last, else the outcome, else what it did; in OpenAI's words."""
    assert heard(*deltas, outcome=outcome).reason == reason


def test_reasons_have_one_word_each() -> None:
    """Everybody's reasons are said as OpenAI does."""
    said = [finish_reason(reason) for reason in ("stop", "end_turn", "max_tokens", "tool_use", "refusal", "x", None)]
    assert said == ["stop", "stop", "length", "tool_calls", "content_filter", "stop", "stop"]


@pytest.mark.parametrize("status", ["failed", "lost", "cancelled", "timed_out"])
def test_what_is_no_success_is_one_error(status: Any) -> None:
    """H4, defect 13: a wrapped error, last; no finish, no [DONE], though the model had said why it stopped."""
    said = chunks(TextDelta("a"), Finish("stop"), outcome=Outcome(status, "stop", ErrorInfo("code", "Words.", "e1")))
    assert [set(chunk) & {"choices", "error"} for chunk in said] == [{"choices"}, {"choices"}, {"error"}]
    assert said[-1] == {"error": {"message": "Words.", "type": "server_error", "param": None, "code": "code"}}
    assert chunks(outcome=Outcome(status))[-1]["error"]["code"]


def test_a_completion_has_the_id_that_it_is_given() -> None:
    """An application's own id is in every chunk."""
    assert {chunk["id"] for chunk in chunks(TextDelta("a"), completion_id='x"y')[:-1]} == {'x"y'}


# As a source


def sse(*data: str) -> list[ServerSentEvent]:
    return [ServerSentEvent(said) for said in data]


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        (sse('{"choices":[{"finish_reason" : "length"}]}', "[DONE]"), "completed", "length"),
        (sse("[DONE]"), "completed", None),
        (sse('{"choices":[{"delta":{"content":"[DONE] \\"error\\":1 finish_reason"}}]}'), None, None),
        (sse('{"choices":[],"error":null}', '{"error":{}}'), None, None),
        (sse('{"error":{"code":"rate_limit_exceeded","message":"secret"}}'), "failed", "llm_api_error"),
        (sse('{"error":"secret"}'), "failed", "llm_api_error"),
        ([ServerSentEvent('{"error":{}}', event="error_recovered")], None, None),
        ([ServerSentEvent('{"error":{"message":"x"}}', event="error")], "failed", "llm_api_error"),
        (sse('"error"', "[" * 9999 + '"error"', '{"error":NaN}'), None, None),
    ],
    ids=range(9),
)
def test_terminals_are_recognised(events: list[ServerSentEvent], status: str | None, reason: str | None) -> None:
    """Defect 12: [DONE] and errors, never a word inside a string, nor another event's name."""
    recogniser = Recogniser(OpenAIChat())
    outcome = None
    for event in events:
        outcome = recogniser.outcome_of(event) if event.event in recogniser.marks else None
    assert (outcome and outcome.status, outcome and outcome.reason) == (status, reason)
    assert "secret" not in repr(outcome)


def test_a_stated_reason_ends_a_source_without_done() -> None:
    """B5: servers that send no [DONE] have ended once they said why."""
    recogniser = Recogniser(OpenAIChat())
    assert not recogniser.may_end
    recogniser.outcome_of(ServerSentEvent('{"choices":[{"finish_reason":null}]}'))
    assert not recogniser.may_end
    recogniser.outcome_of(ServerSentEvent('{"choices":[{"finish_reason":"stop"}]}'))
    assert recogniser.may_end
