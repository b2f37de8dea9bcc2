"""
The native dialect: events as they are stored, with cursors as ids, and one typed ``end``.

::

    id: <cursor>
    event: text
    data: {"text":"Hi"}

    id: <cursor>
    event: end
    data: {"status":"completed","reason":"stop","error":null}

``end`` and ``gap`` are reserved. The end is not called ``error``: that collides with EventSource's connection errors.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.dialects.deltas import Finish, delta_of
from sse_relay.dialects.protocol import RenderContext, Renderer
from sse_relay.exceptions import InvalidEventError
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.wire.encoder import encode_json
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Native", "outcome_json"]

_RESERVED = frozenset({"end", "gap"})


class Native:
    """The dialect of `sse_relay` itself, and what logs hold. Stateless."""

    name: str = "native"
    headers: Mapping[str, str] = MappingProxyType({})
    has_ids: bool = True
    # One newline: httpx-sse and fetch-event-source dispatch an empty event for a comment with a blank line.
    heartbeat: bytes = b": ping\n"
    resume: Literal["offset", "from_start"] = "offset"
    marks: frozenset[str] = _RESERVED | {"finish"}

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """
        Read the outcome from an ``end`` event; None for every other event.

        Raises:
            InvalidEventError: A source used a reserved name: ``gap``, or ``end`` without an outcome in it.
        """
        if event.event not in _RESERVED:
            return None
        if event.event == "gap":
            raise InvalidEventError("event", "gap", "is reserved for lost records; choose another name")
        return event.outcome or _read_outcome(event)

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Read the stop reason from a ``finish`` event."""
        if event.event != "finish":
            return None
        delta = delta_of(event)
        return delta.reason if isinstance(delta, Finish) else None

    def renderer(self, context: RenderContext) -> Renderer:
        """Pass records through; the context is not needed."""
        del context
        return _NativeRenderer()


class _NativeRenderer:
    __slots__ = ()

    def preamble(self) -> Sequence[ServerSentEvent]:
        return ()

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        del offset
        return (event,)

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent(encode_json(outcome_json(outcome)), event="end", outcome=outcome),)


def outcome_json(outcome: Outcome) -> dict[str, object]:
    """Tell an outcome as ``end`` events and run states do."""
    error = outcome.error
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "error": error and {"code": error.code, "message": error.message, "error_id": error.error_id},
    }


def _read_outcome(event: ServerSentEvent) -> Outcome:
    try:
        said: Any = json.loads(event.data or "")
        info = None
        if (error := said["error"]) is not None:
            info = ErrorInfo(_text(error["code"]), _text(error["message"]), _optional_text(error["error_id"]))
        return Outcome(said["status"], _optional_text(said["reason"]), info)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        problem = "is reserved for the outcome; choose another name"
        raise InvalidEventError("event", "end", problem) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not text")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)
