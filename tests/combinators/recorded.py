"""What each provider streams, by its public format: reasoning, text, two calls of tools, why it stopped, usage."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sse_relay import ServerSentEvent
from sse_relay.dialects import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage


def sse(objects: Sequence[Mapping[str, Any]], *, named: bool) -> bytes:
    """Write objects as an event stream."""
    return b"".join(
        ServerSentEvent(json.dumps(said), event=said["type"] if named else None).encode() for said in objects
    )


def _chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    known = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return {**known, "system_fingerprint": "fp", **more}


def _call(index: int, arguments: str, **function: str) -> dict[str, Any]:
    call_id = {"id": f"call_{function['name']}", "type": "function"} if function else {}
    return _chunk({"tool_calls": [{"index": index, **call_id, "function": {**function, "arguments": arguments}}]})


CHAT_CHUNKS = [
    _chunk({"role": "assistant", "content": "", "refusal": None}),
    _chunk({"reasoning_content": "Hm… "}),
    _chunk({"content": "Let me"}),
    _chunk({"content": " look — 😀"}),
    _call(0, "", name="weather"),
    _call(0, '{"city":'),
    _call(1, "", name="time"),
    _call(0, '"Paris"}'),
    _call(1, "{}"),
    _chunk({}, "tool_calls"),
    _chunk({}, choices=[], usage={"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}),
]
CHAT = sse(CHAT_CHUNKS, named=False) + b"data: [DONE]\n\n"


def _block(index: int, block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _tool(name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"call_{name}", "name": name, "input": {}}


def _json(fragment: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": fragment}


_MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
    "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1},
}  # fmt: skip
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": _MESSAGE},
    {"type": "ping"},
    *_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm… "},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *_block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Let me"},
        {"type": "text_delta", "text": " look — 😀"},
    ),
    *_block(2, _tool("weather"), _json(""), _json('{"city":'), _json('"Paris"}')),
    *_block(3, _tool("time"), _json("{}")),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
]
MESSAGE = sse(MESSAGE_EVENTS, named=True)


def _function(name: str, arguments: str, status: str) -> dict[str, Any]:
    known = {"id": f"fc_{name}", "type": "function_call", "call_id": f"call_{name}", "name": name}
    return {**known, "arguments": arguments, "status": status}


def _response(status: str, output: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    known = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
    }  # fmt: skip
    return {**known, "output": [*output], **more}


def _called(index: int, name: str, *fragments: str) -> list[dict[str, Any]]:
    place = {"item_id": f"fc_{name}", "output_index": index}
    whole = "".join(fragments)
    delta = "response.function_call_arguments.delta"
    return [
        {"type": "response.output_item.added", "output_index": index, "item": _function(name, "", "in_progress")},
        *({"type": delta, **place, "delta": fragment} for fragment in fragments),
        {"type": "response.function_call_arguments.done", **place, "name": name, "arguments": whole},
        {"type": "response.output_item.done", "output_index": index, "item": _function(name, whole, "completed")},
    ]


_PART: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
_TEXT: dict[str, Any] = {**_PART, "text": "Let me look — 😀"}
_SAYING: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
_SAID = {**_SAYING, "status": "completed", "content": [_TEXT]}
_THINKING: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
_THOUGHT = {**_THINKING, "summary": [{"type": "summary_text", "text": "Hm… "}]}
_OUTPUT = [
    _THOUGHT,
    _SAID,
    _function("weather", '{"city":"Paris"}', "completed"),
    _function("time", "{}", "completed"),
]
_USAGE: dict[str, Any] = {
    "input_tokens": 7, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 16,
}  # fmt: skip
_IN_THOUGHT: dict[str, Any] = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
_IN_TEXT: dict[str, Any] = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
_UNNUMBERED: list[dict[str, Any]] = [
    {"type": "response.created", "response": _response("in_progress")},
    {"type": "response.in_progress", "response": _response("in_progress")},
    {"type": "response.output_item.added", "output_index": 0, "item": _THINKING},
    {
        "type": "response.reasoning_summary_part.added",
        **_IN_THOUGHT,
        "part": {"type": "summary_text", "text": ""},
    },
    {"type": "response.reasoning_summary_text.delta", **_IN_THOUGHT, "delta": "Hm… "},
    {"type": "response.reasoning_summary_text.done", **_IN_THOUGHT, "text": "Hm… "},
    {"type": "response.output_item.done", "output_index": 0, "item": _THOUGHT},
    {"type": "response.output_item.added", "output_index": 1, "item": {**_SAYING, "status": "in_progress"}},
    {"type": "response.content_part.added", **_IN_TEXT, "part": _PART},
    {"type": "response.output_text.delta", **_IN_TEXT, "delta": "Let me", "logprobs": []},
    {"type": "response.output_text.delta", **_IN_TEXT, "delta": " look — 😀", "logprobs": []},
    {"type": "response.output_text.done", **_IN_TEXT, "text": _TEXT["text"], "logprobs": []},
    {"type": "response.content_part.done", **_IN_TEXT, "part": _TEXT},
    {"type": "response.output_item.done", "output_index": 1, "item": _SAID},
    *_called(2, "weather", '{"city":', '"Paris"}'),
    *_called(3, "time", "{}"),
    {"type": "response.completed", "response": _response("completed", _OUTPUT, usage=_USAGE)},
]
RESPONSE_EVENTS = [{**said, "sequence_number": number} for number, said in enumerate(_UNNUMBERED)]
RESPONSE = sse(RESPONSE_EVENTS, named=True)


def _deltas(weather: int, finish: str) -> list[Delta]:
    return [
        ReasoningDelta("Hm… "),
        TextDelta("Let me"),
        TextDelta(" look — 😀"),
        ToolCallDelta(id="call_weather", name="weather", index=weather),
        ToolCallDelta('{"city":', index=weather),
        ToolCallDelta('"Paris"}', index=weather),
        ToolCallDelta(id="call_time", name="time", index=weather + 1),
        ToolCallDelta("{}", index=weather + 1),
        Finish(finish),
        Usage(7, 9),
    ]


CHAT_DELTAS = _deltas(0, "tool_calls")
CHAT_DELTAS[5], CHAT_DELTAS[6] = CHAT_DELTAS[6], CHAT_DELTAS[5]  # there the calls are interleaved
MESSAGE_DELTAS = _deltas(2, "tool_use")
RESPONSE_DELTAS = _deltas(2, "tool_calls")
