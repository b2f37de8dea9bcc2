"""
The dialect of OpenAI's Chat Completions.

::

    data: {"id":"chatcmpl-…","object":"chat.completion.chunk",…,"choices":[{"index":0,"delta":{"content":"Hi"},…}]}

    data: [DONE]

No ids, names or empty data: its clients read whatever has them as JSON. Where a run stands is in the field ``relay`` of
each chunk, which they ignore: ``{"run_id": …, "seq": …}``. A client that comes back with the last ``seq`` that it saw,
and drops what came behind it, has the whole.

What is not a success never looks like one: it is ``{"error": …}`` without a ``finish_reason`` and without ``[DONE]``.
The reason is held back to the very end, for a producer may die behind it.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.dialects.deltas import (
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
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
from sse_relay.outcome import Outcome
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent, make_data, make_event

__all__ = ["OpenAIChat", "finish_reason"]

# The canonical frame of a text: what is behind `{"text":` is JSON, and so can be copied. Half a character in an escape
# is left to the validation.
_TEXT = '{"text":"'
_is_text = re.compile(
    r'\{"text":"(?!")[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"\}'
).fullmatch
_states_reason = re.compile(r'"finish_reason"\s*:\s*"').search
_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_SAME = {
    "end_turn": "stop", "stop_sequence": "stop", "completed": "stop", "tool_use": "tool_calls",
    "requires_approval": "tool_calls", "max_tokens": "length", "max_output_tokens": "length", "max_steps": "length",
    "max_tokens_exceeded": "length", "refusal": "content_filter",
}  # fmt: skip


def finish_reason(reason: str | None) -> str:
    """Say a stop reason of anybody's as OpenAI does."""
    return reason if reason in _REASONS else _SAME.get(reason or "", "stop")


class OpenAIChat:
    """
    Chunks of a chat completion. Stateless.

    Args:
        model: What the chunks say the model is.
        completion_id: Their id; None: ``chatcmpl-`` and the run's.
        include_usage: Whether the token usage is told, in a chunk of its own: what ``stream_options`` asks for.
    """

    name: str = "openai-chat"
    headers: Mapping[str, str] = MappingProxyType({})
    has_ids: bool = False
    heartbeat: bytes = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "offset"
    marks: frozenset[str | None] = frozenset({None, "error"})
    reason_ends: bool = True

    def __init__(
        self, *, model: str = "unknown", completion_id: str | None = None, include_usage: bool = False
    ) -> None:
        self.model: str = model
        self.completion_id: str | None = completion_id
        self.include_usage: bool = include_usage

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``[DONE]``, and an error in place of a chunk; None for every other event."""
        data = event.data or ""
        if data == "[DONE]":
            return Outcome("completed")
        error = read_object(data).get("error") if '"error"' in data else None
        return failed(error) if error else None

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Read the ``finish_reason`` of a chunk."""
        if _states_reason(event.data or "") is None:
            return None
        return next((delta.reason for delta in deltas_of(event) if isinstance(delta, Finish)), None)

    def renderer(self, context: RenderContext) -> Renderer:
        """Start rendering for one viewer."""
        return _ChatRenderer(self, context)


class _ChatRenderer:
    """One chunk a record at most: a cut between two frames of one would lose or double the other."""

    __slots__ = (
        "_callers", "_calls", "_closing", "_closing_at", "_dialect", "_head", "_named", "_offset", "_opening",
        "_reasons", "_relay", "_template", "_usage",
    )  # fmt: skip

    def __init__(self, dialect: OpenAIChat, context: RenderContext) -> None:
        self._dialect = dialect
        known = {
            "id": dialect.completion_id or f"chatcmpl-{context.run_id}",
            "object": "chat.completion.chunk",
            "created": int(context.created_at),
            "model": dialect.model,
        }
        self._head = write_json(known)[:-1]
        self._relay = f',"relay":{{"run_id":{write_json(context.run_id)},"seq":'
        # A chunk of nothing but a text of the first choice, around the text.
        self._opening = f'{self._head},"choices":[{{"index":0,"delta":{{"content":"'
        self._closing = '"},"finish_reason":null}]'
        self._closing_at = self._closing + self._relay
        around = [to_utf8(part).replace(b"%", b"%%") for part in (self._opening, self._closing_at)]
        self._template = b"data: %b%%b%b%%d}}\n\n" % tuple(around)
        self._calls = ToolCalls()
        self._callers: set[int] = set()  # the choices that call tools
        self._named: set[tuple[int, int]] = set()  # the calls whose name was told
        self._reasons: dict[int, str | None] = {0: None}  # of each choice that was seen
        self._usage: Usage | None = None
        self._offset = 0

    def preamble(self) -> Sequence[ServerSentEvent]:
        role: Mapping[str, Any] = {"role": "assistant", "content": ""}
        return [self._chunk(dict.fromkeys(self._reasons, role), 0)]

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        self._offset = offset
        if event.event == "text" and (data := event.data) is not None:
            rest = data.removeprefix(_TEXT)
            text = rest.removesuffix('"}')
            # Whatever is plain needs no second look: `_is_text` takes as long as all of this.
            if (
                text != rest != data and '"' not in text and "\\" not in text and text.isprintable() and text
            ) or _is_text(data):
                if offset:
                    return (make_data(f"{self._opening}{text}{self._closing_at}{offset}}}}}"),)
                return (make_data(f"{self._opening}{text}{self._closing}}}"),)
        said: dict[int, dict[str, Any]] = {}
        for delta in deltas_of(event):
            self._note(delta, said)
        return [self._chunk(said, offset)] if said else ()

    def texts(self, texts: Sequence[bytes], first: int) -> bytes:
        if len(texts) == 1:  # as a live stream has them
            self._offset = first
            return self._template % (texts[0], first)
        self._offset = first + len(texts) - 1
        return fill(self._template, texts, first)

    @property
    def around_text(self) -> tuple[str, str]:
        """What is before and behind a text, as JSON, in a chunk of nothing else that is in no log."""
        return self._opening[:-1], f"{self._closing[1:]}}}"

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        if (error := failure_of(outcome)) is not None:
            said = {"message": error.message, "type": "server_error", "param": None, "code": error.code}
            return [make_event(write_json({"error": said}))]
        last = self._offset + 1 if self._offset else 0  # the seal's; stated where the last chunk of the end is
        usage = self._usage if self._dialect.include_usage else None
        given = finish_reason(outcome.reason) if outcome.reason is not None else None
        reasons = {
            choice: finish_reason(reason) if reason else given or ("tool_calls" if choice in self._callers else "stop")
            for choice, reason in self._reasons.items()
        }
        events = [self._chunk({choice: {} for choice in reasons}, 0 if usage else last, reasons)]
        if usage is not None:
            told = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            }
            events.append(self._chunk({}, last, usage=told))
        return [*events, make_event("[DONE]")]

    def _note(self, delta: Delta, said: dict[int, dict[str, Any]]) -> None:
        """Take one delta into what the record's chunk says."""
        if isinstance(delta, Usage):
            self._usage = delta
        elif isinstance(delta, Finish):
            self._reasons[delta.choice] = delta.reason
        elif not isinstance(delta, ToolResult) and _says_something(delta):
            if delta.choice not in self._reasons:
                self._reasons[delta.choice] = None
                said[delta.choice] = {"role": "assistant"}
            self._add(delta, said.setdefault(delta.choice, {}))

    def _add(self, delta: TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta, told: dict[str, Any]) -> None:
        if isinstance(delta, TextDelta):
            told["content"] = told.get("content", "") + delta.text
        elif isinstance(delta, ReasoningDelta):
            # Under both names: half of the clients read the one, half the other.
            told["reasoning"] = told["reasoning_content"] = told.get("reasoning", "") + delta.text
        elif isinstance(delta, RefusalDelta):
            told["refusal"] = told.get("refusal", "") + delta.text
        else:
            told.setdefault("tool_calls", []).append(self._call(delta))

    def _call(self, delta: ToolCallDelta) -> dict[str, Any]:
        call, is_new = self._calls.place(delta)
        place = call.choice, call.number
        function = {"arguments": delta.arguments}
        if call.name and place not in self._named:  # once only: clients add up what they are told
            self._named.add(place)
            function = {"name": call.name, **function}
        if not is_new:
            return {"index": call.number, "function": function}
        self._callers.add(delta.choice)
        call_id = call.id or f"call_{call.number}"
        return {"index": call.number, "id": call_id, "type": "function", "function": {"name": "", **function}}

    def _chunk(
        self,
        said: Mapping[int, Mapping[str, Any]],
        offset: int,
        reasons: Mapping[int, str] | None = None,
        usage: Mapping[str, int] | None = None,
    ) -> ServerSentEvent:
        choices = [
            {"index": choice, "delta": delta, "finish_reason": reasons and reasons[choice]}
            for choice, delta in said.items()
        ]
        more = f',"usage":{write_json(usage)}' if usage else ""
        if offset:
            more += f"{self._relay}{offset}}}"
        return make_event(f'{self._head},"choices":{write_json(choices)}{more}}}')


def _says_something(delta: TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta) -> bool:
    if isinstance(delta, ToolCallDelta):
        return bool(delta.arguments or delta.id or delta.name)
    return bool(delta.text)
