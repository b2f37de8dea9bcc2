"""One log, many clients: what each of them hears of it, from wherever it joins, and however it ends."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import ErrorInfo, Outcome, ServerSentEvent
from sse_relay.dialects import (
    AISDK,
    Anthropic,
    Delta,
    Dialect,
    Finish,
    Letta,
    OpenAIChat,
    OpenAIResponses,
    ReasoningDelta,
    RefusalDelta,
    RenderContext,
    TextDelta,
    ToolCallDelta,
    Usage,
    event_of,
)
from sse_relay.dialects.neutral import deltas_of
from tests.dialects.strict_clients import CLIENTS, CONTEXT, Heard, frames, hear
from tests.properties import examples, hostile_text, received

DIALECTS: list[Dialect] = [OpenAIChat(include_usage=True), OpenAIResponses(), Anthropic(), AISDK(), Letta()]
RESUMING = [dialect for dialect in DIALECTS if dialect.resume == "offset"]
COMPLETED = Outcome("completed")
ENDS = [
    COMPLETED,
    Outcome("completed", "length"),
    Outcome("failed", "error"),
    Outcome("failed", "stop", ErrorInfo("llm_rate_limit", "Later.")),
    Outcome("failed", "end_turn", ErrorInfo("boom", "Boom.", "e1")),
    Outcome("lost"),
    Outcome("lost", "shutdown"),
    Outcome("cancelled", "user"),
    Outcome("cancelled", "completed"),
    Outcome("cancelled", "end_turn"),
    Outcome("timed_out", "idle_timeout"),
]
any_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)

texts = hostile_text()
choices = st.sampled_from([0, 0, 0, 1, 2])
# Calls as a decent upstream makes them: what becomes of sloppy ones is a matter of `ToolCalls`.
calls = st.builds(
    lambda number, arguments: ToolCallDelta(arguments, id=f"id{number}", name=f"tool{number}", index=number),
    st.integers(0, 3),
    texts,
)
deltas: st.SearchStrategy[Delta] = st.one_of(
    st.builds(TextDelta, texts, choice=choices),
    st.builds(ReasoningDelta, texts, choice=choices),
    st.builds(RefusalDelta, texts),
    calls,
    st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
    st.builds(Finish, st.sampled_from(["stop", "length", "tool_calls", "end_turn"]), choice=choices),
)


def chunk(content: str, reasoning: str, index: int) -> ServerSentEvent:
    """Write an OpenAI chunk that says two things."""
    choice = {"index": index, "delta": {"content": content, "reasoning": reasoning}, "finish_reason": None}
    return ServerSentEvent.json({"object": "chat.completion.chunk", "choices": [choice], "usage": None})


def message(kind: str, field: str, text: str) -> ServerSentEvent:
    """Write a message of a Letta agent."""
    return ServerSentEvent.json({"message_type": kind, field: text, "run_id": None, "seq_id": None})


events = st.one_of(
    deltas.map(event_of),
    deltas.map(event_of),
    st.builds(chunk, texts, texts, choices),
    st.builds(message, st.just("assistant_message"), st.just("content"), texts),
    st.builds(message, st.just("reasoning_message"), st.just("reasoning"), texts),
    st.builds(message, st.just("stop_reason"), st.just("stop_reason"), st.sampled_from(["end_turn", "max_steps"])),
    texts.map(ServerSentEvent),
    st.builds(lambda text: ServerSentEvent(text, event="progress"), texts),
)
logs = st.lists(events, max_size=12)


def said(log: list[ServerSentEvent]) -> Heard:
    """Tell what the first answer of a log is."""
    heard = Heard()
    for delta in [delta for event in log for delta in deltas_of(event)]:
        if isinstance(delta, Usage):
            heard.usage = delta.input_tokens, delta.output_tokens
        elif getattr(delta, "choice", 0) == 0:
            if isinstance(delta, TextDelta):
                heard.text += delta.text
            elif isinstance(delta, RefusalDelta):
                heard.refusal += delta.text
            elif isinstance(delta, ReasoningDelta):
                heard.reasoning += delta.text
            elif isinstance(delta, ToolCallDelta):
                call = heard.calls.setdefault(delta.id or "", [delta.name or "", ""])
                call[1] += delta.arguments
    return heard


def stored(log: list[ServerSentEvent]) -> list[ServerSentEvent]:
    """Tell what a store gives back: text as it is on the wire."""
    return [event.replace(data=received(event.data or "").replace("\r\n", "\n").replace("\r", "\n")) for event in log]


def sorted_text(text: str) -> list[str]:
    """Tell which characters there are, where two texts may be interleaved."""
    return sorted(text)


@any_dialect
@given(log=logs)
@examples(60)
def test_every_client_hears_the_same(dialect: Dialect, log: list[ServerSentEvent]) -> None:
    """I3: one log says the same text, reasoning and arguments in all dialects, and every frame is valid."""
    log = stored(log)
    heard, expected = hear(dialect.name, frames(dialect, log, COMPLETED)), said(log)
    assert heard.succeeded
    assert heard.reasoning == expected.reasoning
    assert heard.calls == expected.calls
    if dialect.name.startswith("openai"):
        assert (heard.text, heard.refusal) == (expected.text, expected.refusal)
    if dialect.name == "openai-chat":
        assert heard.usage == expected.usage
    elif dialect.name == "openai-responses":
        assert heard.usage is None  # it is in the response as a whole
    elif expected.refusal:
        assert sorted_text(heard.text) == sorted_text(expected.text + expected.refusal)
    else:
        assert heard.text == expected.text


@pytest.mark.parametrize("dialect", RESUMING, ids=lambda dialect: dialect.name)
@given(log=logs, outcome=st.sampled_from([*ENDS, None]))
@examples(250)
def test_a_cut_anywhere_neither_loses_nor_doubles(
    dialect: Dialect, log: list[ServerSentEvent], outcome: Outcome | None
) -> None:
    """I1, I3: cut after any frame, a client that resumes at the last place it saw, and from there, has it all."""
    whole = frames(dialect, log, outcome)
    places = hear(dialect.name, whole).places if outcome else _places(dialect, log, whole)
    opening = len(dialect.renderer(CONTEXT).preamble())
    for cut in range(len(whole) + 1):
        numbered = [at for at in range(cut) if places[at] is not None]
        kept = whole[: numbered[-1] + 1] if numbered else whole[:opening]
        place = places[numbered[-1]] if numbered else 0
        assert place is not None
        if place > len(log):  # the seal's: the end is told again to whoever asks for it
            assert whole[len(kept) :] in ([], [b"data: [DONE]\n\n"])
            continue
        rest = frames(dialect, log, outcome, place)
        assert kept + rest[opening:] == whole


def _places(dialect: Dialect, log: list[ServerSentEvent], whole: list[bytes]) -> list[int | None]:
    ended = frames(dialect, log, COMPLETED)
    assert ended[: len(whole)] == whole
    return hear(dialect.name, ended).places[: len(whole)]


@pytest.mark.parametrize("dialect", RESUMING, ids=lambda dialect: dialect.name)
@given(log=logs)
@examples(40)
def test_places_only_go_forward(dialect: Dialect, log: list[ServerSentEvent]) -> None:
    """I1: no frame says that a client is behind where it was, or beyond the seal."""
    places = [place for place in hear(dialect.name, frames(dialect, log, COMPLETED)).places if place is not None]
    assert places == sorted(set(places))
    assert all(0 < place <= len(log) + 1 for place in places)
    assert not log or places[-1] == len(log) + 1


@any_dialect
@given(log=logs, outcome=st.sampled_from(ENDS), after=st.integers(0, 12))
@examples(40)
def test_rendering_is_deterministic(dialect: Dialect, log: list[ServerSentEvent], outcome: Outcome, after: int) -> None:
    """I4: the same records are the same bytes, from any renderer, on any process, whatever the epoch."""
    after = min(after, len(log))
    elsewhere = RenderContext(CONTEXT.run_id, "epoch002", CONTEXT.created_at)
    again: Any = type(dialect)(**({"include_usage": True} if isinstance(dialect, OpenAIChat) else {}))
    assert frames(again, log, outcome, after, elsewhere) == frames(dialect, log, outcome, after)


@any_dialect
@pytest.mark.parametrize("outcome", ENDS, ids=lambda outcome: f"{outcome.status}-{outcome.reason}")
@given(log=logs)
@examples(15)
def test_only_success_looks_like_success(dialect: Dialect, outcome: Outcome, log: list[ServerSentEvent]) -> None:
    """I2, I7, H4, defect 13: failed, lost, cancelled and timed out say so, whatever the log said before it ended."""
    log = [*log, event_of(TextDelta("x")), event_of(Finish("stop")), message("stop_reason", "stop_reason", "end_turn")]
    heard = hear(dialect.name, frames(dialect, log, outcome))
    assert heard.succeeded == (outcome.status == "completed")
    assert heard.failed == (outcome.status != "completed")


@any_dialect
def test_an_empty_log_is_a_whole_stream(dialect: Dialect) -> None:
    """I2: a run that said nothing has its one end, in every dialect."""
    assert hear(dialect.name, frames(dialect, [], COMPLETED)).succeeded
    assert hear(dialect.name, frames(dialect, [], Outcome("lost"))).failed


# Hostile input

KEYS = [
    "object", "choices", "index", "delta", "message", "content", "reasoning", "reasoning_content", "refusal", "id",
    "tool_calls", "function", "name", "arguments", "function_call", "finish_reason", "usage", "prompt_tokens",
    "completion_tokens", "message_type", "tool_call", "tool_call_id", "tool_return", "stop_reason", "text", "error",
    "code", "type", "choice", "input_tokens", "output_tokens", "reason", "data", "kind", "url", "sourceId", "mediaType",
    "title", "run_id", "seq_id",
]  # fmt: skip
WORDS = [
    "chat.completion.chunk", "assistant_message", "reasoning_message", "tool_call_message", "tool_return_message",
    "stop_reason", "usage_statistics", "ping", "error_message", "stop", "error", "[DONE]", "{", "a", "\ud83d", "",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(WORDS),
    st.floats(),
    st.integers(-3, 3),
    st.sampled_from([1 << 53, 10**400]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=8)
chunks = st.builds(
    lambda deltas: {"choices": [{"index": 0, "delta": delta} for delta in deltas]}, st.lists(values, max_size=3)
)
messages = st.builds(lambda kind, more: {**more, "message_type": kind}, st.sampled_from(WORDS), objects)
names = st.sampled_from(
    [None, "message", "text", "reasoning", "refusal", "tool_call", "tool_result", "usage", "finish", "mine", "file",
     "source-url", "source-document", "error", "ping", "start", "é"]
)  # fmt: skip
CURSED = [
    "<html><body>502</body></html>",
    "[" * 100_000,
    '{"a":' * 50_000,
    '{"message_type":"assistant_message","content":' + "[" * 300 + "]" * 300 + "}",
    '{"message_type":"x","y":' + "[" * 199 + "]" * 199 + "}",
    '{"choices":[{"index":' + "9" * 5000 + "}]}",
    '{"text":' + "9" * 5000 + "}",
    '{"text":"\\ud83d"}',
    '{"text":"a","choice":1e999}',
    '{"input_tokens":' + "9" * 4000 + ',"output_tokens":' + "9" * 4000 + "}",
    '{"message_type":"assistant_message","content":"a","x":NaN}',
    '{"message_type":"assistant_message","content":"a","x":1e999}',
    '{"message_type":"assistant_message","content":"a","x":' + "9" * 4000 + "}",
    '{"message_type":["stop_reason"],"stop_reason":{}}',
    "NaN",
    "-Infinity",
    '{"a":1}{"b":2}',
    '{"choices":[{"delta":{"content":"x"}}]',
    "\ufeff{}",
    '"' * 10_000,
    '{"text":"' + "\\u0041" * 20_000 + '"}',
    '{"text":"' + "\\" * 20_001 + '"}',
]
hostile = st.builds(
    lambda name, data: ServerSentEvent(data, event=name),
    names,
    st.one_of(
        st.sampled_from(CURSED),
        texts,
        st.one_of(objects, chunks, messages).map(json.dumps),
        st.one_of(chunks, messages).map(lambda said: json.dumps(said)[:-1]),
    ),
)


@any_dialect
@given(log=st.lists(hostile, max_size=8), outcome=st.sampled_from(ENDS))
@examples(300)
def test_hostile_records_are_rendered(dialect: Dialect, log: list[ServerSentEvent], outcome: Outcome) -> None:
    """I2: whatever a log holds, nothing raises, every frame is valid for the strictest client, and the end is told."""
    context = RenderContext('r"\ud83d\\', "epoch001", 0.0)
    heard = hear(dialect.name, frames(dialect, log, outcome, context=context)) if dialect.name != "letta" else None
    if heard is not None:
        assert heard.succeeded == (outcome.status == "completed")
    else:  # what an application writes as a message of its own is passed on as it is
        for frame in frames(dialect, log, outcome, context=context)[:-1]:
            data = json.loads(frame.removeprefix(b"data: "), parse_constant=pytest.fail)
            assert isinstance(data["message_type"], str)
    for after in range(len(log)):
        frames(dialect, log, outcome, after, context)


@any_dialect
@pytest.mark.parametrize("name", [None, "text", "tool_result", "mine"])
@pytest.mark.parametrize("data", CURSED, ids=range(len(CURSED)))
def test_cursed_records_are_rendered(dialect: Dialect, name: str | None, data: str) -> None:
    """I2: nesting, numbers and halves of characters that break parsers break no stream; what came before stays."""
    log = [event_of(TextDelta("before")), ServerSentEvent(data, event=name), event_of(TextDelta("after"))]
    shown = frames(dialect, log, COMPLETED)
    assert any(b"before" in frame for frame in shown)
    assert any(b"after" in frame for frame in shown)
    if dialect.name != "letta":
        assert hear(dialect.name, shown).succeeded


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_are_strict(name: str) -> None:
    """The clients of these tests refuse what is none of their dialect's."""
    with pytest.raises((AssertionError, KeyError, ValueError)):
        hear(name, [b'event: nobody\nid: 1\ndata: {"type":"nothing","n":NaN}\n\n'])
