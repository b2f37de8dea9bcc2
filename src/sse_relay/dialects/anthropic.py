"""
The dialect of Anthropic's Messages.

::

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}

Names are mandatory, and so is the usage at both ends. Texts follow one another. Calls of tools stay open beside them,
since their arguments may come interleaved: a call is over once its result is there, or the message. A client cannot
join in the middle: it gets the whole again.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.dialects.deltas import (
    Delta,
    Finish,
    ReasoningDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from sse_relay.dialects.json_text import write_json
from sse_relay.dialects.message_events import reason_of, terminal_of
from sse_relay.dialects.neutral import deltas_of
from sse_relay.dialects.protocol import RenderContext, Renderer, failure_of
from sse_relay.dialects.text_frames import surround
from sse_relay.dialects.tool_calls import ToolCalls
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["Anthropic", "stop_reason"]

_REASONS = frozenset({"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"})
_SAME = {
    "tool_calls": "tool_use", "function_call": "tool_use", "requires_approval": "tool_use", "length": "max_tokens",
    "max_output_tokens": "max_tokens", "max_steps": "max_tokens", "max_tokens_exceeded": "max_tokens",
    "content_filter": "refusal",
}  # fmt: skip
_ERROR_TYPES = {
    "llm_rate_limit": "rate_limit_error",
    "llm_overloaded": "overloaded_error",
    "llm_timeout": "timeout_error",
    "llm_bad_request": "invalid_request_error",
}

_BEFORE_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"'
)


def stop_reason(reason: str | None) -> str:
    """Say a stop reason of anybody's as Anthropic does."""
    return reason if reason in _REASONS else _SAME.get(reason or "", "end_turn")


class Anthropic:
    """
    Events of a message. Stateless.

    Args:
        model: What the message says the model is.
    """

    name: str = "anthropic"
    headers: Mapping[str, str] = MappingProxyType({})
    has_ids: bool = False
    heartbeat: bytes = b'event: ping\ndata: {"type":"ping"}\n\n'
    resume: Literal["offset", "from_start"] = "from_start"
    marks: frozenset[str | None] = frozenset({"message_stop", "message_delta", "error"})

    def __init__(self, *, model: str = "unknown") -> None:
        self.model: str = model

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``message_stop`` and ``error``; None for every other event."""
        return terminal_of(event)

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Read the stop reason of a ``message_delta``."""
        return reason_of(event)

    def renderer(self, context: RenderContext) -> Renderer:
        """Start rendering for one viewer."""
        return _MessageRenderer(self.model, context)


class _MessageRenderer:
    __slots__ = ("_calls", "_context", "_model", "_next", "_numbers", "_reason", "_text", "_tools", "_usage")

    def __init__(self, model: str, context: RenderContext) -> None:
        self._model = model
        self._context = context
        self._next = 0  # the index of the next block
        self._text: tuple[str, int] | None = None  # the kind and the index of the text that is open
        self._calls = ToolCalls()
        self._numbers: dict[str, int] = {}  # of the calls, by their ids
        self._tools: dict[int, int | None] = {}  # the index of each call's block, by its number; None: it is over
        self._reason: str | None = None
        self._usage = Usage(0, 0)

    def preamble(self) -> Sequence[ServerSentEvent]:
        message: Mapping[str, Any] = {
            "id": f"msg_{self._context.run_id}", "type": "message", "role": "assistant", "model": self._model,
            "content": [], "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }  # fmt: skip
        return [_event("message_start", message=message)]

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        del offset
        return [shown for delta in deltas_of(event) for shown in self._delta(delta)]

    def texts(self, texts: Sequence[bytes], first: int) -> bytes:
        del first
        opened = b"".join([event.encode() for event in self._open_text("text", text="")])
        return opened + surround(_BEFORE_TEXT % (self._next - 1), texts, b'"}}\n\n')

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        if (error := failure_of(outcome)) is not None:
            kind = _ERROR_TYPES.get(error.code, "api_error")
            return [_event("error", error={"type": kind, "message": error.message, "code": error.code})]
        reason = self._reason or outcome.reason or ("tool_use" if self._tools else None)
        usage = {"input_tokens": self._usage.input_tokens, "output_tokens": self._usage.output_tokens}
        delta = {"stop_reason": stop_reason(reason), "stop_sequence": None}
        tools = [_event("content_block_stop", index=index) for index in self._tools.values() if index is not None]
        closing = [*tools, *self._end_text()]
        return [*closing, _event("message_delta", delta=delta, usage=usage), _event("message_stop")]

    def _delta(self, delta: Delta) -> list[ServerSentEvent]:
        if isinstance(delta, Usage):
            self._usage = delta
        elif isinstance(delta, ToolResult):
            return self._end_call(self._numbers.get(delta.id))
        elif delta.choice:
            pass  # there is one message
        elif isinstance(delta, Finish):
            self._reason = delta.reason
        elif isinstance(delta, ToolCallDelta):
            return self._call(delta) if delta.arguments or delta.id or delta.name else []
        elif delta.text and isinstance(delta, ReasoningDelta):
            opened = self._open_text("thinking", thinking="", signature="")
            return [*opened, self._more({"type": "thinking_delta", "thinking": delta.text})]
        elif delta.text:
            opened = self._open_text("text", text="")
            return [*opened, self._more({"type": "text_delta", "text": delta.text})]
        return []

    def _open_text(self, kind: str, **fields: object) -> list[ServerSentEvent]:
        if self._text is not None and self._text[0] == kind:
            return []
        ended = self._end_text()
        self._text = kind, self._next
        return [*ended, self._start({"type": kind, **fields})]

    def _more(self, said: dict[str, Any]) -> ServerSentEvent:
        return _event("content_block_delta", index=self._next - 1, delta=said)

    def _end_text(self) -> list[ServerSentEvent]:
        ended, self._text = self._text, None
        return [] if ended is None else [_event("content_block_stop", index=ended[1])]

    def _call(self, delta: ToolCallDelta) -> list[ServerSentEvent]:
        call, _ = self._calls.place(delta)
        number = call.number
        if call.id:
            self._numbers[call.id] = number
        events: list[ServerSentEvent] = []
        if number not in self._tools:
            self._tools[number] = self._next
            tool = {"id": call.id or f"toolu_{number}", "name": call.name or ""}
            events = [*self._end_text(), self._start({"type": "tool_use", **tool, "input": {}})]
        index = self._tools[number]
        if delta.arguments and index is not None:
            said = {"type": "input_json_delta", "partial_json": delta.arguments}
            events.append(_event("content_block_delta", index=index, delta=said))
        return events

    def _end_call(self, number: int | None) -> list[ServerSentEvent]:
        index = None if number is None else self._tools.get(number)
        if number is None or index is None:
            return []
        self._tools[number] = None
        return [_event("content_block_stop", index=index)]

    def _start(self, block: dict[str, Any]) -> ServerSentEvent:
        self._next += 1
        return _event("content_block_start", index=self._next - 1, content_block=block)


def _event(kind: str, **fields: object) -> ServerSentEvent:
    return make_event(write_json({"type": kind, **fields}), kind)
