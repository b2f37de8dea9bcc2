"""
Events of an OpenAI response → deltas, and how it ended.

Servers differ: some name their events, some only type them; some send whole items without their deltas, or the response
as a whole. What is not of its type is left out; nothing here raises.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sse_relay.dialects.chat_chunks import text_of, whole_number
from sse_relay.dialects.custom_inputs import CustomInputs
from sse_relay.dialects.deltas import Delta, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, Usage
from sse_relay.dialects.provider_errors import failed
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["MARKS", "ResponseReader", "reason_of", "terminal_of"]

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"})
MARKS: frozenset[str | None] = _ENDS | {None, "message"}
"""The names of the events that may be a terminal; an unnamed one has its type in its data."""

_TEXTS: dict[str, type[TextDelta | ReasoningDelta | RefusalDelta]] = {
    "response.output_text": TextDelta,
    "response.refusal": RefusalDelta,
    "response.reasoning_text": ReasoningDelta,
    "response.reasoning_summary_text": ReasoningDelta,
}
_PARTS = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
    "summary_text": ("response.reasoning_summary_text", "text"),
}
_FIELDS = dict(_PARTS.values())
_ARGUMENTS = "response.function_call_arguments"
_INPUT = "response.custom_tool_call_input"
_CALLS = frozenset({"function_call", "custom_tool_call"})
_BETWEEN = "\n\n"  # parts of a summary of the reasoning: each is a paragraph


def terminal_of(event: ServerSentEvent) -> Outcome | None:
    """Tell how a response ended, where the event says so."""
    if event.event not in MARKS or (event.event not in _ENDS and '"type"' not in (event.data or "")):
        return None
    said = _object(event)
    kind = event.event if event.event in _ENDS else text_of(said.get("type"))
    if kind not in _ENDS:
        return None
    response = _part(said, "response")
    if kind in {"error", "response.failed"}:
        return failed(said.get("error") or response.get("error") or said)
    if kind == "response.cancelled" or response.get("status") == "cancelled":
        return Outcome("cancelled", "cancelled")
    return Outcome("completed", _reason(response, kind))


def reason_of(event: ServerSentEvent) -> str | None:
    """Tell why the model stopped, where the event says so: it does in its terminal only."""
    outcome = terminal_of(event)
    return None if outcome is None or outcome.status != "completed" else outcome.reason


class ResponseReader:
    """Read one response: a text that came in deltas is not taken again from what repeats it whole."""

    __slots__ = ("_inputs", "_told")

    def __init__(self) -> None:
        self._told: set[tuple[str, int | None, int]] = set()
        self._inputs = CustomInputs()

    def deltas(self, said: Mapping[str, Any]) -> list[Delta]:
        """Read one event's data, or a whole response."""
        kind, index = text_of(said.get("type")), whole_number(said.get("output_index"))
        about, _, what = kind.rpartition(".")
        if about in _TEXTS or about == _ARGUMENTS:
            name = "delta" if what == "delta" else _FIELDS.get(about, "arguments")
            text = text_of(said.get(name))
            return list(self._text(about, index, _place(said), text, whole=what == "done"))
        if about == _INPUT:
            text = text_of(said.get("delta" if what == "delta" else "input"))
            return list(self._input(index, text, whole=what == "done"))
        if kind == "response.reasoning_summary_part.added":
            return [ReasoningDelta(_BETWEEN)] if _place(said) else []
        if kind in {"response.output_item.added", "response.output_item.done"}:
            return list(self._item(_part(said, "item"), index, whole=what == "done"))
        if kind in {"response.completed", "response.incomplete"}:
            return list(self._response(_part(said, "response"), kind))
        return list(self._response(said, kind)) if said.get("object") == "response" else []

    def _text(self, about: str, index: int | None, place: int, text: str, *, whole: bool) -> Iterator[Delta]:
        key = about, index, place
        if not text or (whole and key in self._told):
            return
        self._told.add(key)
        yield ToolCallDelta(text, index=index) if about == _ARGUMENTS else _TEXTS[about](text)

    def _input(self, index: int | None, text: str, *, whole: bool) -> Iterator[Delta]:
        """Read more of the input of a custom tool, or all of it."""
        self._told.add((_INPUT, index, 0))
        if more := self._inputs.end((0, index), text) if whole else self._inputs.more((0, index), text):
            yield ToolCallDelta(more, index=index, custom=True)

    def _item(self, item: Mapping[str, Any], index: int | None, *, whole: bool) -> Iterator[Delta]:
        """Read what was not told yet of an item: at its beginning, all of it; at its end, mostly nothing."""
        if (kind := item.get("type")) in _CALLS:
            is_custom = kind == "custom_tool_call"
            if ("", index, 0) not in self._told:
                self._told.add(("", index, 0))
                call_id, name = text_of(item.get("call_id")), text_of(item.get("name"))
                yield ToolCallDelta("", id=call_id or None, name=name or None, index=index, custom=is_custom)
            if is_custom:
                text = text_of(item.get("input"))
                yield from self._input(index, text, whole=whole) if whole or text else ()
                return
            yield from self._text(_ARGUMENTS, index, 0, text_of(item.get("arguments")), whole=True)
            return
        for group in ("summary", "content"):
            for place, part in enumerate(_objects(item.get(group))):
                if (found := _PARTS.get(text_of(part.get("type")))) is None:
                    continue
                about, name = found
                new = list(self._text(about, index, place, text_of(part.get(name)), whole=True))
                if new and place and group == "summary":
                    yield ReasoningDelta(_BETWEEN)
                yield from new

    def _response(self, response: Mapping[str, Any], kind: str) -> Iterator[Delta]:
        if not self._told:  # else all of it came before, not always at the same index
            for index, item in enumerate(_objects(response.get("output"))):
                yield from self._item(item, index, whole=True)
        if (reason := _reason(response, kind)) is not None:
            yield Finish(reason)
        usage = _part(response, "usage")
        read, written = (whole_number(usage.get(name)) for name in ("input_tokens", "output_tokens"))
        if read is not None and written is not None:
            yield Usage(read, written)


def _reason(response: Mapping[str, Any], kind: str) -> str | None:
    """Tell why a response stopped: it says so itself only if it is incomplete."""
    status = text_of(response.get("status")) or kind.removeprefix("response.") or "completed"
    if status == "incomplete":
        return text_of(_part(response, "incomplete_details").get("reason")) or "length"
    if status != "completed":
        return None
    calls = any(item.get("type") in _CALLS for item in _objects(response.get("output")))
    return "tool_calls" if calls else "stop"


def _place(said: Mapping[str, Any]) -> int:
    return whole_number(said.get("content_index")) or whole_number(said.get("summary_index")) or 0


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("Any", value) if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict)]


def _object(event: ServerSentEvent) -> dict[str, Any]:
    try:
        said: Any = json.loads(event.data or "")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
