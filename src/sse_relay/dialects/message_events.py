"""
Events of an Anthropic message → deltas, and how it ended.

What is not of its type is left out; nothing here raises.
"""

from collections.abc import Mapping
from typing import Any, cast

from sse_relay.dialects.chat_chunks import text_of, whole_number
from sse_relay.dialects.deltas import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from sse_relay.dialects.json_text import read_object, write_json
from sse_relay.dialects.provider_errors import failed
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["MessageReader", "reason_of", "terminal_of"]


def terminal_of(event: ServerSentEvent) -> Outcome | None:
    """Tell how a message ended, where the event says so."""
    if event.event == "message_stop":
        return Outcome("completed")
    return failed(read_object(event.data or "").get("error")) if event.event == "error" else None


def reason_of(event: ServerSentEvent) -> str | None:
    """Tell why the model stopped, where the event says so."""
    if event.event != "message_delta":
        return None
    reason = _part(read_object(event.data or ""), "delta").get("stop_reason")
    return reason if isinstance(reason, str) else None


class MessageReader:
    """Read one message: its input tokens are told at its beginning, its output tokens at its end."""

    __slots__ = ("_input",)

    def __init__(self) -> None:
        self._input = 0

    def deltas(self, said: Mapping[str, Any]) -> list[Delta]:
        """Read one event's data."""
        kind = said.get("type")
        if kind == "message_start":
            self._read(_part(_part(said, "message"), "usage"))
        elif kind == "content_block_start":
            return self._started(_part(said, "content_block"), whole_number(said.get("index")))
        elif kind == "content_block_delta":
            return _more(_part(said, "delta"), whole_number(said.get("index")))
        elif kind == "message_delta":
            return self._ended(said)
        return []

    def _started(self, block: Mapping[str, Any], index: int | None) -> list[Delta]:
        if block.get("type") == "tool_use":
            arguments = _arguments(_part(block, "input"))
            call_id, name = text_of(block.get("id")), text_of(block.get("name"))
            return [ToolCallDelta(arguments, id=call_id or None, name=name or None, index=index)]
        return _more({**block, "type": f"{block.get('type')}_delta"}, index)

    def _ended(self, said: Mapping[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        reason = _part(said, "delta").get("stop_reason")
        if isinstance(reason, str):
            deltas.append(Finish(reason))
        usage = _part(said, "usage")
        self._read(usage)
        if (written := whole_number(usage.get("output_tokens"))) is not None:
            deltas.append(Usage(self._input, written))
        return deltas

    def _read(self, usage: Mapping[str, Any]) -> None:
        self._input = whole_number(usage.get("input_tokens")) or self._input


def _more(delta: Mapping[str, Any], index: int | None) -> list[Delta]:
    kind = delta.get("type")
    if kind == "text_delta" and (text := text_of(delta.get("text"))):
        return [TextDelta(text)]
    if kind == "thinking_delta" and (thought := text_of(delta.get("thinking"))):
        return [ReasoningDelta(thought)]
    if kind == "input_json_delta" and (arguments := text_of(delta.get("partial_json"))):
        return [ToolCallDelta(arguments, index=index)]
    return []


def _arguments(given: dict[str, Any]) -> str:
    """Write the arguments of a call that begins with all of them; it begins with none where they come by and by."""
    try:
        return write_json(given) if given else ""
    except (ValueError, TypeError, RecursionError):
        return ""


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}
