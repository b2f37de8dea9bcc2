"""
The dialect of OpenAI's Responses.

::

    event: response.output_text.delta
    data: {"type":"response.output_text.delta","sequence_number":4,…,"delta":"Hi","logprobs":[]}

Every event has the next number. They are counted from the first record on, so that a client that has seen event N asks
for those behind it (``starting_after``), on whatever process. There are no ids, which its clients cannot bear.

A viewer whose stream ends before its response does gets an ``{"error": …}`` without a number or a name, which the SDKs
raise: ``response.failed`` would be untrue, and its number is that of an event to come, which a client that resumes
behind it would never see.

There is no event for what was cancelled: it is ``response.incomplete``, of a response whose status is ``cancelled``.
What did not come to its end never says that an item is done: a client would act on a call without all its arguments.
"""

from collections.abc import Iterable, Mapping, Sequence
from json.encoder import JSONEncoder
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.dialects.deltas import Finish, Usage
from sse_relay.dialects.neutral import deltas_of
from sse_relay.dialects.openai_chat import finish_reason
from sse_relay.dialects.protocol import RenderContext, failure_of
from sse_relay.dialects.response_events import MARKS, terminal_of
from sse_relay.dialects.response_items import ResponseItems, Said
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["OpenAIResponses", "ResponseRenderer"]

_json = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_UNSAID: Mapping[str, Any] = {
    "background": None, "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "previous_response_id": None, "reasoning": {"effort": None, "summary": None},
    "service_tier": None, "store": True, "temperature": None, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_logprobs": None, "top_p": None, "truncation": "disabled", "user": None,
}  # fmt: skip


class OpenAIResponses:
    """
    Events of a response. Stateless; a renderer keeps the whole output, which the events at its end repeat.

    Args:
        model: What the response says the model is.
        starting_after: The number of the last event that the client has seen; None: it has seen none. The last event
            of all always comes, so that no end looks like a cut.
    """

    name: str = "openai-responses"
    headers: Mapping[str, str] = MappingProxyType({})
    has_ids: bool = False
    heartbeat: bytes = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "from_start"
    marks: frozenset[str | None] = MARKS

    def __init__(self, *, model: str = "unknown", starting_after: int | None = None) -> None:
        self.model: str = model
        self.starting_after: int | None = starting_after

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``response.completed``, ``.incomplete``, ``.failed`` and ``error``; None for every other event."""
        return terminal_of(event)

    def renderer(self, context: RenderContext) -> "ResponseRenderer":
        """Start rendering for one viewer."""
        seen = -1 if self.starting_after is None else self.starting_after
        return ResponseRenderer(self.model, seen, context)


class ResponseRenderer:
    """
    Render one response, and tell what it is like at any time.

    Args:
        model: What it says the model is.
        seen: The number of the last event that the client has seen; those up to it are counted only.
        context: The run.
    """

    __slots__ = ("_created_at", "_id", "_items", "_model", "_number", "_reason", "_seen", "_usage")

    def __init__(self, model: str, seen: int, context: RenderContext) -> None:
        self._id = f"resp_{context.run_id}"
        self._created_at = int(context.created_at)
        self._model = model
        self._items = ResponseItems(context.run_id)
        self._seen = seen
        self._number = 0
        self._reason: str | None = None
        self._usage: Usage | None = None

    def preamble(self) -> Sequence[ServerSentEvent]:
        """Open the response."""
        said = {"response": self.response(None)}
        return self._events([("response.created", said), ("response.in_progress", said)])

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        """Render what a record adds to the output."""
        del offset
        events: list[ServerSentEvent] = []
        for delta in deltas_of(event):
            if isinstance(delta, Usage):
                self._usage = delta
            elif isinstance(delta, Finish) and delta.choice == 0:
                self._reason = delta.reason
            else:
                events += self._events(self._items.add(delta))
        return events

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        """End the items that are open, if the run came to its end; then the response."""
        status, detail = self._status(outcome)
        events = self._events(self._items.end("incomplete" if detail else status)) if _has_ended(outcome) else []
        self._seen = -1
        kind = "incomplete" if status == "cancelled" else status
        return [*events, *self._events([(f"response.{kind}", {"response": self.response(outcome)})])]

    def interrupted(self, error: ErrorInfo) -> Sequence[ServerSentEvent]:
        """Close the stream of a viewer who may come back behind the last event."""
        said = {"message": error.message, "type": "server_error", "param": None, "code": error.code}
        return [make_event(_json({"error": said}))]

    def response(self, outcome: Outcome | None) -> dict[str, Any]:
        """Tell the response as it is after the records so far, and this outcome; None: it is in progress."""
        status, detail = self._status(outcome)
        error = failure_of(outcome) if status == "failed" and outcome is not None else None
        item_status = status if status in {"in_progress", "completed"} else "incomplete"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "error": error and {"code": error.code, "message": error.message},
            "incomplete_details": detail and {"reason": detail},
            "model": self._model,
            "output": self._items.output(item_status),
            **_UNSAID,
            "usage": self._usage and _told(self._usage),
        }

    def _status(self, outcome: Outcome | None) -> tuple[str, str | None]:
        """Tell the status, and why a response is incomplete that came to its end."""
        if outcome is None:
            return "in_progress", None
        if not _has_ended(outcome):
            return "cancelled" if outcome.status == "cancelled" else "failed", None
        detail = _INCOMPLETE.get(finish_reason(self._reason or outcome.reason))
        return "incomplete" if detail else "completed", detail

    def _events(self, said: Iterable[Said]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        for kind, fields in said:
            if self._number > self._seen:
                events.append(make_event(_json({"type": kind, "sequence_number": self._number, **fields}), kind))
            self._number += 1
        return events


def _has_ended(outcome: Outcome) -> bool:
    return outcome.status == "completed"


def _told(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
