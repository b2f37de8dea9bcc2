"""How each kind of provider streams: what its objects say, and which of them is the end."""

import json
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from sse_relay.combinators.provider_objects import DONE, Said
from sse_relay.dialects import message_events, response_events
from sse_relay.dialects.chat_chunks import ChunkReader
from sse_relay.dialects.deltas import Delta
from sse_relay.dialects.provider_errors import failed
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["ANTHROPIC", "CHAT", "RESPONSES", "Provider"]

_MESSAGE_ENDS = frozenset({"message_stop", "error"})


@dataclass(frozen=True, slots=True)
class Provider:
    """
    How one kind of provider streams.

    Attributes:
        name: Its dialect's.
        reader: Starts reading one stream.
        end_of: Tells how a stream ended, where an object says so.
        finish_ends: Whether a stream may end without its terminal, once it has said why the model stopped.
    """

    name: str
    reader: Callable[[], Callable[[Said], Sequence[Delta]]]
    end_of: Callable[[Said], Outcome | None]
    finish_ends: bool


def _end_of_chat(said: Said) -> Outcome | None:
    if said.get("type") == "error":
        return failed(said)
    return Outcome("completed") if said.get("type") == DONE else None


def _end_of_response(said: Said) -> Outcome | None:
    return _terminal(said, response_events.MARKS, response_events.terminal_of)


def _end_of_message(said: Said) -> Outcome | None:
    return _terminal(said, _MESSAGE_ENDS, message_events.terminal_of)


def _terminal(
    said: Said, names: Container[str | None], terminal_of: Callable[[ServerSentEvent], Outcome | None]
) -> Outcome | None:
    kind = said.get("type")
    if not isinstance(kind, str) or kind not in names:
        return None
    return terminal_of(make_event(json.dumps(said, default=str), kind))


CHAT = Provider("openai-chat", lambda: ChunkReader().deltas, _end_of_chat, finish_ends=True)
RESPONSES = Provider(
    "openai-responses", lambda: response_events.ResponseReader().deltas, _end_of_response, finish_ends=True
)
ANTHROPIC = Provider("anthropic", lambda: message_events.MessageReader().deltas, _end_of_message, finish_ends=False)
