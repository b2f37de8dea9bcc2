"""
Messages of a Letta agent → deltas.

``message_type`` says what each one is. Pings say nothing, and errors are outcomes: both are the dialect's own business.
"""

from collections.abc import Mapping
from typing import Any, cast

from sse_relay.dialects.chat_chunks import text_of, whole_number
from sse_relay.dialects.deltas import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolResult, Usage

__all__ = ["deltas_of_message"]

_TEXTS: dict[str, tuple[type[TextDelta | ReasoningDelta], str]] = {
    "assistant_message": (TextDelta, "content"),
    "reasoning_message": (ReasoningDelta, "reasoning"),
}


def deltas_of_message(message: Mapping[str, Any]) -> list[Delta]:
    """Read one message; nothing of a kind that says nothing to a model's client, and nothing raises."""
    kind = text_of(message.get("message_type"))
    if kind in _TEXTS:
        delta, field = _TEXTS[kind]
        text = text_of(message.get(field))
        return [delta(text)] if text else []
    if kind in {"tool_call_message", "approval_request_message"}:
        return _calls(message)
    if kind == "tool_return_message":
        return [ToolResult(text_of(message.get("tool_call_id")), text_of(message.get("tool_return")))]
    if kind == "stop_reason":
        reason = message.get("stop_reason")
        return [Finish(reason)] if isinstance(reason, str) else []
    if kind == "usage_statistics":
        read, written = (whole_number(message.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        return [] if read is None or written is None else [Usage(read, written)]
    return []


def _calls(message: Mapping[str, Any]) -> list[Delta]:
    given = message.get("tool_calls") or message.get("tool_call")
    calls = cast("list[object]", given) if isinstance(given, list) else [given]
    return [_call(cast("dict[str, Any]", call)) for call in calls if isinstance(call, dict)]


def _call(call: Mapping[str, Any]) -> ToolCallDelta:
    call_id, name = text_of(call.get("tool_call_id")), text_of(call.get("name"))
    return ToolCallDelta(text_of(call.get("arguments")), id=call_id or None, name=name or None)
