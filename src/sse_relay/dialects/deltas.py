"""
The neutral vocabulary: what a language model's stream says, whoever provides it and whoever reads it.

A delta is stored in one canonical frame (`event_of`) and read back from it (`delta_of`): the event's name says which
delta it is, its data is a JSON object of the fields. Fields that have their default value are left out.
"""

from dataclasses import dataclass, field, fields
from functools import lru_cache
from json.encoder import JSONEncoder, encode_basestring
from typing import TYPE_CHECKING, Any

from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent, make_data, make_event

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "DELTA_NAMES",
    "Delta",
    "Finish",
    "ReasoningDelta",
    "RefusalDelta",
    "TextDelta",
    "ToolCallDelta",
    "ToolResult",
    "Usage",
    "delta_of",
    "event_of",
    "event_of_text",
]


@dataclass(slots=True)
class TextDelta:
    """More of the answer's text; `choice` counts parallel answers from 0."""

    text: str
    choice: int = field(default=0, kw_only=True)


@dataclass(slots=True)
class ReasoningDelta:
    """More of the model's reasoning."""

    text: str
    choice: int = field(default=0, kw_only=True)


@dataclass(slots=True)
class RefusalDelta:
    """More of a refusal to answer."""

    text: str
    choice: int = field(default=0, kw_only=True)


@dataclass(slots=True)
class ToolCallDelta:
    """
    More of one tool call.

    Attributes:
        arguments: The next fragment of its JSON arguments.
        id: The call's id, on its first delta at least.
        name: The tool's name, on its first delta at least.
        index: Which of several parallel calls; None: the upstream does not say.
        choice: Which of several answers.
        custom: Whether the tool is a custom one of OpenAI's: its input is free text, told as ``{"input": "…"}``.
    """

    arguments: str = ""
    id: str | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    index: int | None = field(default=None, kw_only=True)
    choice: int = field(default=0, kw_only=True)
    custom: bool = field(default=False, kw_only=True)


@dataclass(slots=True)
class ToolResult:
    """What a tool answered to the call `id`."""

    id: str
    content: str


@dataclass(slots=True)
class Usage:
    """Tokens read and written, for the whole answer."""

    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Finish:
    """Why the model stopped: ``stop``, ``length``, ``tool_calls``, … Not the end of the stream: usage may follow."""

    reason: str
    choice: int = field(default=0, kw_only=True)


Delta = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ToolResult | Usage | Finish

_TYPES: dict[str, type[Delta]] = {
    "text": TextDelta,
    "reasoning": ReasoningDelta,
    "refusal": RefusalDelta,
    "tool_call": ToolCallDelta,
    "tool_result": ToolResult,
    "usage": Usage,
    "finish": Finish,
}
DELTA_NAMES: dict[type[Any], str] = {cls: name for name, cls in _TYPES.items()}
"""The event name of each delta's canonical frame."""

_TEXT_HEAD = "event: text\ndata: "  # of a frame, in front of its data

# A field without a default has `dataclasses.MISSING` here, which differs from every value.
_DEFAULTS = {cls: tuple((item.name, item.default) for item in fields(cls)) for cls in DELTA_NAMES}

# Not `encode_json`: that would write bytes, dates and models as text.
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event_of(delta: Delta) -> ServerSentEvent:
    """
    Write a delta as its canonical event.

    Raises:
        InvalidEventError: A field has another type than it is declared with.
    """
    # Text is nearly all of a stream: the general way costs six times as much.
    if type(delta) is TextDelta and delta.choice == 0 and type(delta.text) is str:
        return make_data(f'{{"text":{encode_basestring(delta.text)}}}', "text", _TEXT_HEAD)
    name = DELTA_NAMES[type(delta)]
    if isinstance(delta, (ReasoningDelta, RefusalDelta)) and delta.choice == 0 and type(delta.text) is str:
        return make_data(f'{{"text":{encode_basestring(delta.text)}}}', name, f"event: {name}\ndata: ")
    said = {key: value for key, default in _DEFAULTS[type(delta)] if (value := getattr(delta, key)) != default}
    try:
        event = make_event(_encode(said), name)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"has a field that is not of its declared type ({error}); pass text and whole numbers"
        raise InvalidEventError("delta", delta, problem) from error
    delta_of(event)
    return event


def event_of_text(text: str, choice: int = 0) -> ServerSentEvent:
    """Write a text as the canonical event of its `TextDelta`."""
    if choice:
        return event_of(TextDelta(text, choice=choice))
    return make_data(f'{{"text":{encode_basestring(text)}}}', "text", _TEXT_HEAD)


def delta_of(event: ServerSentEvent) -> Delta | None:
    """
    Read a delta back from its canonical event; None for the application's own events.

    Unknown fields are ignored, so that a newer producer may say more.

    Raises:
        InvalidEventError: The event has a delta's name, but not its data.
    """
    cls = _TYPES.get(event.event or "")
    if cls is None:
        return None
    try:
        delta: Delta = _adapters()[cls].validate_json(to_utf8(event.data or ""), strict=True)
    except ValueError as error:
        problem = f"is not the object of a {event.event} delta ({error})"
        raise InvalidEventError("data", event.data, problem) from error
    return delta


@lru_cache
def _adapters() -> "dict[type[Any], TypeAdapter[Any]]":
    from pydantic import TypeAdapter  # noqa: PLC0415 - imported by the first delta that needs validation only

    return {cls: TypeAdapter(cls) for cls in DELTA_NAMES}
