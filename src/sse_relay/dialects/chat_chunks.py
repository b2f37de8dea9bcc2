"""
Chunks of a chat completion → deltas.

Upstreams differ from OpenAI and from each other: reasoning under two names, content in parts, calls without an index,
usage beside choices. What is not of its type is left out; nothing here raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from sse_relay.dialects.custom_inputs import CustomInputs
from sse_relay.dialects.deltas import Delta, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, Usage

__all__ = ["ChunkReader", "deltas_of_chunk", "text_of", "whole_number"]


class ChunkReader:
    """Read the chunks of one stream in order, also what its model sends to custom tools."""

    __slots__ = ("_inputs",)

    def __init__(self) -> None:
        self._inputs = CustomInputs()

    def deltas(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """Read one chunk. An input is whole when its choice has finished."""
        return deltas_of_chunk(chunk, self._inputs)


def deltas_of_chunk(chunk: Mapping[str, Any], inputs: CustomInputs | None = None) -> list[Delta]:
    """
    Read one chunk, or a whole completion: its ``message`` counts as one delta.

    Args:
        chunk: The chunk.
        inputs: What custom tools were sent so far; None: chunks are read by themselves, and such calls not at all.
    """
    deltas: list[Delta] = []
    for choice in _objects(chunk.get("choices")):
        index = whole_number(choice.get("index")) or 0
        said = choice.get("delta") or choice.get("message")
        if isinstance(said, dict):
            deltas += _of_delta(cast("dict[str, Any]", said), index, inputs)
        if isinstance(reason := choice.get("finish_reason"), str):
            deltas += _ends(index, inputs)
            deltas.append(Finish(reason, choice=index))
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        read, written = (whole_number(cast("Any", usage).get(name)) for name in ("prompt_tokens", "completion_tokens"))
        if read is not None and written is not None:
            deltas.append(Usage(read, written))
    return deltas


def _of_delta(said: Mapping[str, Any], choice: int, inputs: CustomInputs | None) -> Iterator[Delta]:
    # Some upstreams state the same reasoning under both names.
    if reasoning := text_of(said.get("reasoning_content")) or text_of(said.get("reasoning")):
        yield ReasoningDelta(reasoning, choice=choice)
    if text := text_of(said.get("content")):
        yield TextDelta(text, choice=choice)
    if refusal := text_of(said.get("refusal")):
        yield RefusalDelta(refusal, choice=choice)
    for call in _objects(said.get("tool_calls")):
        index, custom = whole_number(call.get("index")), call.get("custom")
        if inputs is not None and isinstance(custom, dict):
            yield _custom_call(call, cast("dict[str, Any]", custom), index, choice, inputs)
        else:
            yield _call(call, call.get("function"), index, choice)
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


def _custom_call(
    call: Mapping[str, Any], custom: Mapping[str, Any], index: int | None, choice: int, inputs: CustomInputs
) -> ToolCallDelta:
    function = {"name": custom.get("name"), "arguments": inputs.more((choice, index), text_of(custom.get("input")))}
    return replace(_call(call, function, index, choice), custom=True)


def _ends(choice: int, inputs: CustomInputs | None) -> Iterator[Delta]:
    """End the inputs of a choice."""
    for place in inputs.open() if inputs is not None else ():
        its_choice, index = place
        if inputs is not None and its_choice == choice:
            yield ToolCallDelta(inputs.end(place), index=index, choice=choice, custom=True)


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
