"""
The UI message stream of the AI SDK, version 1.

::

    data: {"type":"text-delta","id":"text-1","delta":"Hi"}

A part of a type that its client does not know is fatal there, and so is a field. A client cannot join in the middle: it
gets the whole again, under the same message id. An event with a name of the application's own is a ``data-`` part.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, cast

from sse_relay.dialects.deltas import (
    DELTA_NAMES,
    Delta,
    Finish,
    ReasoningDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from sse_relay.dialects.json_text import read_json, read_object, write_json
from sse_relay.dialects.neutral import deltas_of
from sse_relay.dialects.openai_chat import finish_reason
from sse_relay.dialects.parsed_arguments import parse_arguments
from sse_relay.dialects.protocol import RenderContext, Renderer, failure_of
from sse_relay.dialects.text_frames import surround
from sse_relay.dialects.tool_calls import ToolCall, ToolCalls
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["AISDK"]

_NAMES = frozenset({"message", *DELTA_NAMES.values()})
_OWN = {  # the parts that an application may name as they are: the texts that each must have, and may have
    "source-url": ({"sourceId", "url"}, {"title"}),
    "source-document": ({"sourceId", "mediaType", "title"}, {"filename"}),
    "file": ({"url", "mediaType"}, set[str]()),
}

_REASONS = {
    "stop": "stop", "length": "length", "content_filter": "content-filter",
    "tool_calls": "tool-calls", "function_call": "tool-calls",
}  # fmt: skip


class AISDK:
    """
    Parts of a UI message. Stateless.

    Args:
        finish_reason: Whether the last part says why the model stopped. The AI SDK reads it from version 6 on; to most
            of version 5 it is a field that they do not know, and so the whole message an error.
    """

    name: str = "ai-sdk"
    headers: Mapping[str, str] = MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"})
    has_ids: bool = False
    heartbeat: bytes = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "from_start"
    marks: frozenset[str | None] = frozenset({None})

    def __init__(self, *, finish_reason: bool = False) -> None:
        self.finish_reason: bool = finish_reason

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``[DONE]``, ``abort`` and ``error``; None for every other event."""
        data = event.data or ""
        if data == "[DONE]":
            return Outcome("completed")
        kind = read_object(data).get("type") if '"abort"' in data or '"error"' in data else None
        if kind == "abort":
            return Outcome("cancelled")
        error = ErrorInfo("llm_error", "The model's provider reported an error.", None, 502)
        return Outcome("failed", "error", error) if kind == "error" else None

    def renderer(self, context: RenderContext) -> Renderer:
        """Start rendering for one viewer."""
        return _PartRenderer(context, tells_reason=self.finish_reason)


class _Call:
    """One call of a tool: its arguments grow until they are told as a whole."""

    __slots__ = ("_arguments", "_id", "_is_over", "_name")

    def __init__(self, call_id: str, name: str) -> None:
        self._id = call_id
        self._name = name
        self._arguments: list[str] = []
        self._is_over = False

    def start(self) -> ServerSentEvent:
        return _part("tool-input-start", toolCallId=self._id, toolName=self._name)

    def more(self, arguments: str) -> list[ServerSentEvent]:
        if self._is_over or not arguments:
            return []
        self._arguments.append(arguments)
        return [_part("tool-input-delta", toolCallId=self._id, inputTextDelta=arguments)]

    def end(self) -> list[ServerSentEvent]:
        """Tell the arguments as a whole; where they are not, an error, for a client acts on what it is told."""
        if self._is_over:
            return []
        self._is_over = True
        text = "".join(self._arguments)
        self._arguments.clear()
        said, whole = parse_arguments(text or "{}")
        call = {"toolCallId": self._id, "toolName": self._name}
        if whole and _is_json(said):
            return [_part("tool-input-available", **call, input=said)]
        return [_part("tool-input-error", **call, input=text, errorText="The arguments of the call are not whole.")]

    def result(self, content: str) -> ServerSentEvent:
        return _part("tool-output-available", toolCallId=self._id, output=_read(content))


class _PartRenderer:
    __slots__ = ("_block", "_blocks", "_calls", "_ids", "_reason", "_run_id", "_tells_reason", "_tools", "_waiting")

    def __init__(self, context: RenderContext, *, tells_reason: bool) -> None:
        self._run_id = context.run_id
        self._tells_reason = tells_reason
        self._reason: str | None = None
        self._block: str | None = None  # the kind of the text that is open
        self._blocks = 0
        self._calls = ToolCalls()
        self._tools: dict[int, _Call] = {}  # by the number of the call
        self._waiting: dict[str, list[_Call]] = {}  # for a result, by the id that the call was given
        self._ids: dict[str, int] = {}  # how often each one was given

    def preamble(self) -> Sequence[ServerSentEvent]:
        return [_part("start", messageId=f"msg_{self._run_id}"), _part("start-step")]

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        del offset
        if event.event and event.event not in _NAMES:
            return _own(event.event, event.data or "")
        return [part for delta in deltas_of(event) for part in self._delta(delta)]

    def texts(self, texts: Sequence[bytes], first: int) -> bytes:
        del first
        opened = b"".join([event.encode() for event in self._open("text")])
        return opened + surround(
            b'data: {"type":"text-delta","id":"text-%d","delta":"' % self._blocks, texts, b'"}\n\n'
        )

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        closing = self._close()
        if outcome.status == "cancelled":
            return [*closing, _part("abort"), make_event("[DONE]")]
        if (error := failure_of(outcome)) is not None:
            return [*closing, _part("error", errorText=error.message), make_event("[DONE]")]
        calls = [part for call in self._tools.values() for part in call.end()]
        return [*closing, *calls, _part("finish-step"), self._finish(outcome), make_event("[DONE]")]

    def _finish(self, outcome: Outcome) -> ServerSentEvent:
        if not self._tells_reason:
            return _part("finish")
        given = self._reason or outcome.reason or ("tool_calls" if self._tools else "stop")
        return _part("finish", finishReason=_REASONS[finish_reason(given)])

    def _delta(self, delta: Delta) -> list[ServerSentEvent]:
        if isinstance(delta, Finish) and not delta.choice:
            self._reason = delta.reason
        if isinstance(delta, (Usage, Finish)):
            return []
        if isinstance(delta, ToolResult):
            return self._result(delta)
        if delta.choice:
            return []  # there is one message
        if isinstance(delta, ToolCallDelta):
            return self._call(delta) if delta.arguments or delta.id or delta.name else []
        return self._text("reasoning" if isinstance(delta, ReasoningDelta) else "text", delta.text)

    def _text(self, kind: str, text: str) -> list[ServerSentEvent]:
        return [*self._open(kind), _part(f"{kind}-delta", id=f"{kind}-{self._blocks}", delta=text)] if text else []

    def _open(self, kind: str) -> list[ServerSentEvent]:
        if self._block == kind:
            return []
        closed = self._close()
        self._block = kind
        self._blocks += 1
        return [*closed, _part(f"{kind}-start", id=f"{kind}-{self._blocks}")]

    def _close(self) -> list[ServerSentEvent]:
        kind, self._block = self._block, None
        return [] if kind is None else [_part(f"{kind}-end", id=f"{kind}-{self._blocks}")]

    def _call(self, delta: ToolCallDelta) -> list[ServerSentEvent]:
        placed, _ = self._calls.place(delta)
        call = self._tools.get(placed.number)
        if call is not None:
            return call.more(delta.arguments)
        call = self._tools[placed.number] = _Call(self._new_id(placed), placed.name or "")
        if placed.id:
            self._waiting.setdefault(placed.id, []).append(call)
        return [*self._close(), call.start(), *call.more(delta.arguments)]

    def _new_id(self, placed: ToolCall) -> str:
        """Choose an id that no other call has: upstreams repeat theirs, and its client knows calls by nothing else."""
        given = call_id = placed.id or f"call_{placed.number}"
        while call_id in self._ids:
            self._ids[given] += 1
            call_id = f"{given}_{self._ids[given]}"
        self._ids[call_id] = 1
        return call_id

    def _result(self, result: ToolResult) -> list[ServerSentEvent]:
        """Tell what a call led to; the result of a call that was never made would be fatal."""
        calls = self._waiting.get(result.id)
        if not calls:
            return []
        call = calls.pop(0) if len(calls) > 1 else calls[0]
        return [*self._close(), *call.end(), call.result(result.content)]


def _own(name: str, data: str) -> list[ServerSentEvent]:
    """Pass on an event of the application's own: a source or a file as it is, anything else as data."""
    said = _read(data)
    if name not in _OWN:
        return [_part(f"data-{name}", data=said)]
    needed, allowed = _OWN[name]
    fields = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    texts = {key: fields[key] for key in fields if key in needed | allowed and isinstance(fields[key], str)}
    return [_part(name, **texts)] if needed <= texts.keys() else []


def _read(text: str) -> object:
    try:
        return read_json(text)
    except ValueError:
        return text


def _is_json(value: object) -> bool:
    try:
        write_json(value)
    except (ValueError, RecursionError):
        return False
    return True


def _part(kind: str, **fields: object) -> ServerSentEvent:
    return make_event(write_json({"type": kind, **fields}))
