"""Chunks of OpenAI's, and of those who speak nearly like it, become deltas."""

from typing import Any

import pytest

from sse_relay.dialects import Delta, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, Usage
from sse_relay.dialects.chat_chunks import ChunkReader, deltas_of_chunk, text_of, whole_number

CALL = {"index": 1, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}


@pytest.mark.parametrize(
    ("delta", "said"),
    [
        ({"content": "Hi"}, [TextDelta("Hi")]),
        ({"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}, 1, {}]}, [TextDelta("Hi")]),
        ({"role": "assistant", "content": "", "refusal": None}, []),
        ({"content": None}, []),
        ({"refusal": "no"}, [RefusalDelta("no")]),
        ({"reasoning": "so"}, [ReasoningDelta("so")]),
        ({"reasoning": "so", "reasoning_content": "so"}, [ReasoningDelta("so")]),
        ({"reasoning": "so", "content": "Hi"}, [ReasoningDelta("so"), TextDelta("Hi")]),
        ({"tool_calls": [CALL]}, [ToolCallDelta("{", id="c1", name="f", index=1)]),
        ({"tool_calls": [{"function": {"arguments": "1}"}}]}, [ToolCallDelta("1}")]),
        ({"tool_calls": [{"index": 0, "id": "", "function": {"name": None}}]}, [ToolCallDelta(index=0)]),
        (
            {"tool_calls": [CALL, None, {"function": 1}]},
            [ToolCallDelta("{", id="c1", name="f", index=1), ToolCallDelta()],
        ),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [ToolCallDelta("{}", name="f", index=0)]),
        ({"content": 1, "refusal": {}, "reasoning": True, "tool_calls": "x", "function_call": []}, []),
    ],
    ids=range(14),
)
def test_a_delta_is_read(delta: dict[str, Any], said: list[Delta]) -> None:
    """H2: text, parts of text, reasoning under both names, refusals and calls; what is of another type is left out."""
    assert deltas_of_chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) == said
    assert deltas_of_chunk({"choices": [{"message": delta}]}) == said


def test_choices_reasons_and_usage_are_read() -> None:
    """H4: each choice with its own reason; usage beside choices, or alone."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    choices = [{"index": 2, "delta": {"content": "a"}, "finish_reason": "length"}, {"index": -1, "finish_reason": 1}]
    said = [TextDelta("a", choice=2), Finish("length", choice=2), Usage(3, 4)]
    assert deltas_of_chunk({"choices": choices, "usage": usage}) == said
    assert deltas_of_chunk({"choices": [], "usage": usage}) == [Usage(3, 4)]
    assert deltas_of_chunk({"choices": None, "usage": {"prompt_tokens": 3}}) == []


@pytest.mark.parametrize("value", [-1, 1 << 53, True, 1.0, "1", None])
def test_what_does_not_count_is_no_number(value: object) -> None:
    """A client that holds numbers as floats could not hold it, or it is none."""
    assert whole_number(value) is None
    assert whole_number(0) == 0


def test_text_of_anything_else_is_empty() -> None:
    """What is neither text nor a list of parts says nothing."""
    nothing: list[object] = [None, 1, {}, [1], [{"text": 1}]]
    assert [text_of(value) for value in nothing] == [""] * 5


def chunk(choice: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    """Make a chunk."""
    return {"choices": [{"index": choice, "delta": delta, "finish_reason": reason}]}


def custom(text: str, **more: Any) -> dict[str, Any]:
    """Make a delta of a call of a custom tool."""
    return {"index": 0, "custom": {"input": text, **more.pop("custom", {})}, **more}


def test_custom_calls_are_ones_of_json() -> None:
    """The input of a custom tool is told as JSON, which ends where its choice does; other choices keep theirs open."""
    reader = ChunkReader()
    read = [
        *reader.deltas(chunk(tool_calls=[custom("", id="c1", type="custom", custom={"name": "run"})])),
        *reader.deltas(chunk(choice=1, tool_calls=[custom("x", id="c2", type="custom", custom={"name": "run"})])),
        *reader.deltas(chunk(tool_calls=[custom('"l"')])),
        *reader.deltas(chunk(reason="tool_calls")),
    ]
    assert read == [
        ToolCallDelta('{"input":"', id="c1", name="run", index=0, custom=True),
        ToolCallDelta('{"input":"x', id="c2", name="run", index=0, choice=1, custom=True),
        ToolCallDelta('\\"l\\"', index=0, custom=True),
        ToolCallDelta('"}', index=0, custom=True),
        Finish("tool_calls"),
    ]


def test_a_custom_call_of_a_whole_completion() -> None:
    """A completion that came at once has the input whole."""
    call = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    said = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    assert "".join(delta.arguments for delta in ChunkReader().deltas(said) if isinstance(delta, ToolCallDelta)) == (
        '{"input":"ls"}'
    )
