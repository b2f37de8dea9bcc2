"""
The dialect of Letta's agents.

::

    data: {"id":"message-…","message_type":"assistant_message","content":"Hi","run_id":"…","seq_id":5}

Frames have no names. A message of the application's own is passed on as it is; its top-level ``run_id`` and ``seq_id``,
and those only, are set from the log: that is the cursor with which a client resumes. A stop reason is held back to the
end, for a producer may die behind it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
from sse_relay.dialects.json_text import read_object, write_json
from sse_relay.dialects.neutral import deltas_of
from sse_relay.dialects.protocol import RenderContext, Renderer, failure_of
from sse_relay.dialects.provider_errors import failed
from sse_relay.dialects.text_frames import fill
from sse_relay.dialects.tool_calls import ToolCalls
from sse_relay.outcome import ErrorInfo, Outcome, Status
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["Letta", "status_of"]

_STATUSES: Mapping[str, Status] = MappingProxyType({
    "end_turn": "completed", "max_steps": "completed", "tool_rule": "completed", "requires_approval": "completed",
    "error": "failed", "llm_api_error": "failed", "invalid_llm_response": "failed", "invalid_tool_call": "failed",
    "no_tool_call": "failed", "max_tokens_exceeded": "failed", "context_window_overflow_in_system_prompt": "failed",
    "insufficient_credits": "failed", "cancelled": "cancelled",
})  # fmt: skip
_SAME = {
    "stop": "end_turn", "completed": "end_turn", "stop_sequence": "end_turn", "tool_calls": "end_turn",
    "tool_use": "end_turn", "length": "max_tokens_exceeded", "max_tokens": "max_tokens_exceeded",
    "max_output_tokens": "max_tokens_exceeded",
}  # fmt: skip
_ENDS = {"failed": "error", "cancelled": "cancelled", "lost": "error", "timed_out": "error"}


def status_of(stop_reason: str | None) -> Status:
    """Tell how a run ended that stopped for that reason; one that nobody knows is a success, like the end of a turn."""
    return _STATUSES.get(stop_reason or "", "completed")


class Letta:
    """
    Messages of an agent. Stateless.

    Args:
        statuses: How a run ended that stopped for a reason, beside those that are known.
    """

    name: str = "letta"
    headers: Mapping[str, str] = MappingProxyType({})
    has_ids: bool = False
    heartbeat: bytes = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "offset"
    marks: frozenset[str | None] = frozenset({None, "error"})
    reason_ends: bool = True

    def __init__(self, *, statuses: Mapping[str, Status] | None = None) -> None:
        self._statuses: Mapping[str, Status] = {**_STATUSES, **(statuses or {})}

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``[DONE]``, an ``error_message``, and a stop reason that is no success; None for other events."""
        data = event.data or ""
        if data == "[DONE]":
            return Outcome("completed")
        if event.event == "error":
            return failed(read_object(data).get("error") or read_object(data))
        kind = read_object(data).get("message_type") if '"message_type"' in data else None
        if kind == "error_message":
            return failed({"code": read_object(data).get("error_type")})
        reason = read_object(data).get("stop_reason") if kind == "stop_reason" else None
        status = self._statuses.get(reason) if isinstance(reason, str) else None
        if not isinstance(reason, str) or status is None or status == "completed":
            return None
        return Outcome(status, reason, failed({"code": reason}).error if status == "failed" else None)

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Read a ``stop_reason`` message."""
        data = event.data or ""
        if '"stop_reason"' not in data:
            return None
        said = read_object(data)
        reason = said.get("stop_reason") if said.get("message_type") == "stop_reason" else None
        return reason if isinstance(reason, str) else None

    def renderer(self, context: RenderContext) -> Renderer:
        """Start rendering for one viewer."""
        return _MessageRenderer(context)


class _MessageRenderer:
    __slots__ = ("_calls", "_date", "_kind", "_message", "_offset", "_reason", "_run_id", "_stop", "_usage")

    def __init__(self, context: RenderContext) -> None:
        self._run_id = context.run_id
        self._date = datetime.fromtimestamp(context.created_at, UTC).isoformat()
        self._calls = ToolCalls()
        self._kind = ""
        self._message = 0
        self._reason: str | None = None
        self._stop: Mapping[str, Any] | None = None  # what the source itself says of it
        self._usage: Usage | None = None
        self._offset = 0

    def preamble(self) -> Sequence[ServerSentEvent]:
        return ()

    def heartbeat(self) -> bytes:
        """Say where the client is, so that it can resume there, too."""
        ping = {"id": f"message-{self._run_id}-ping", "date": self._date, "message_type": "ping"}
        return self._event(ping, self._offset).encode()

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        self._offset = offset
        said = {} if event.event and event.event != "message" else read_object(event.data or "")
        if said.get("message_type") == "stop_reason":
            self._stop = said
            return ()
        if not isinstance(said.get("message_type"), str):
            messages = [message for delta in deltas_of(event) for message in self._messages(delta)]
            return self._numbered(messages, offset)
        return [self._event(said, offset)]

    def texts(self, texts: Sequence[bytes], first: int) -> bytes:
        self._offset = first + len(texts) - 1
        message = write_json(self._of("assistant_message", content=""))[: -len('"}')]
        around = [to_utf8(part).replace(b"%", b"%%") for part in (message, write_json(self._run_id))]
        return fill(b'data: %b%%b","run_id":%b,"seq_id":%%d}\n\n' % tuple(around), texts, first)

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        messages: list[Mapping[str, Any]] = []
        if (error := failure_of(outcome)) is not None:
            messages.append({"message_type": "stop_reason", "stop_reason": _failure(outcome, error)})
            if outcome.status != "cancelled":
                messages.append(_error_message(error))
        else:
            reason = self._reason or outcome.reason or "end_turn"
            stop = {"message_type": "stop_reason", "stop_reason": _SAME.get(reason, reason)}
            messages.append(self._stop or stop)
            if self._usage is not None:
                read, written = self._usage.input_tokens, self._usage.output_tokens
                counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
                messages.append({"message_type": "usage_statistics", "step_count": 1, **counts})
        last = self._offset + 1 if self._offset else 0
        return [*self._numbered(messages, last), make_event("[DONE]")]

    def interrupted(self, error: ErrorInfo) -> Sequence[ServerSentEvent]:
        return [self._event(_error_message(error), 0)]  # no reason why the run stopped, and no place: it goes on

    def _messages(self, delta: Delta) -> list[Mapping[str, Any]]:
        if isinstance(delta, Usage):
            self._usage = delta
        elif isinstance(delta, ToolResult):
            told = {"tool_return": delta.content, "tool_call_id": delta.id, "status": "success"}
            return [self._of("tool_return_message", delta.id, **told)]
        elif delta.choice:
            pass  # there is one agent
        elif isinstance(delta, Finish):
            self._reason = delta.reason
        elif isinstance(delta, ToolCallDelta):
            return [self._call(delta)] if delta.arguments or delta.id or delta.name else []
        elif delta.text and isinstance(delta, ReasoningDelta):
            return [self._of("reasoning_message", source="reasoner_model", reasoning=delta.text)]
        elif delta.text:
            return [self._of("assistant_message", content=delta.text)]
        return []

    def _call(self, delta: ToolCallDelta) -> Mapping[str, Any]:
        call, _ = self._calls.place(delta)
        call_id = call.id or f"call_{call.number}"
        told = {"name": delta.name, "arguments": delta.arguments, "tool_call_id": call_id}
        return self._of("tool_call_message", call_id, tool_call=told)

    def _of(self, kind: str, part: str = "", **fields: object) -> Mapping[str, Any]:
        if self._kind != kind + part:
            self._kind = kind + part
            self._message += 1
        return {"id": f"message-{self._run_id}-{self._message}", "date": self._date, "message_type": kind, **fields}

    def _numbered(self, messages: Sequence[Mapping[str, Any]], offset: int) -> list[ServerSentEvent]:
        """Number the last frame of a record only, so that no cut between two of them loses the others."""
        last = len(messages) - 1
        return [self._event(message, offset if at == last else 0) for at, message in enumerate(messages)]

    def _event(self, message: Mapping[str, Any], offset: int) -> ServerSentEvent:
        place = {"run_id": self._run_id, "seq_id": offset or None}
        return make_event(write_json({**message, **place} if self._offset else {**place, **message}))


def _error_message(error: ErrorInfo) -> Mapping[str, Any]:
    told = {"error_type": error.code, "message": error.message, "detail": error.error_id}
    return {"message_type": "error_message", **told}


def _failure(outcome: Outcome, error: ErrorInfo) -> str:
    reason = outcome.reason or ""
    if _STATUSES.get(reason) == ("cancelled" if outcome.status == "cancelled" else "failed"):
        return reason
    return "llm_api_error" if error.code.startswith("llm_") else _ENDS[outcome.status]
