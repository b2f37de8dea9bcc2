"""
Chunks of a chat completion → deltas.

Upstreams differ from OpenAI and from each other: reasoning under two names, content in parts, calls without an index,
usage beside choices. What is not of its type is left out; nothing here raises.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from sse_relay.dialects.deltas import Delta, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, Usage

__all__ = ["deltas_of_chunk", "text_of", "whole_number"]


def deltas_of_chunk(chunk: Mapping[str, Any]) -> list[Delta]:
    """Read one chunk, or a whole completion: its ``message`` counts as one delta."""
    deltas: list[Delta] = []
    for choice in _objects(chunk.get("choices")):
        index = whole_number(choice.get("index")) or 0
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            deltas += _of_delta(cast("dict[str, Any]", said), index)
        if isinstance(reason := choice.get("finish_reason"), str):
            deltas.append(Finish(reason, choice=index))
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        read, written = (whole_number(cast("Any", usage).get(name)) for name in ("prompt_tokens", "completion_tokens"))
        if read is not None and written is not None:
            deltas.append(Usage(read, written))
    return deltas


def _of_delta(said: Mapping[str, Any], choice: int) -> Iterator[Delta]:
    # Some upstreams state the same reasoning under both names.
    if reasoning := text_of(said.get("reasoning_content")) or text_of(said.get("reasoning")):
        yield ReasoningDelta(reasoning, choice=choice)
    if text := text_of(said.get("content")):
        yield TextDelta(text, choice=choice)
    if refusal := text_of(said.get("refusal")):
        yield RefusalDelta(refusal, choice=choice)
    for call in _objects(said.get("tool_calls")):
        yield _call(call, call.get("function"), whole_number(call.get("index")), choice)
    if isinstance(said.get("function_call"), dict):  # what came before tool calls
        yield _call({}, said["function_call"], 0, choice)


def _call(call: Mapping[str, Any], function: object, index: int | None, choice: int) -> ToolCallDelta:
    told: Mapping[str, Any] = cast("dict[str, Any]", function) if isinstance(function, dict) else {}
    call_id, name, arguments = call.get("id"), told.get("name"), told.get("arguments")
    return ToolCallDelta(
        arguments if isinstance(arguments, str) else "",
        id=call_id if isinstance(call_id, str) and call_id else None,
        name=name if isinstance(name, str) and name else None,
        index=index,
        choice=choice,
    )


def text_of(content: object) -> str:
    """Read text, or a list of text parts; nothing of anything else."""
    if isinstance(content, str):
        return content
    return "".join([part["text"] for part in _objects(content) if isinstance(part.get("text"), str)])


def whole_number(value: object) -> int | None:
    """Read a number that counts: not negative, not a truth, and none that a client could not hold."""
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
