"""
What the source of a chat yields → events, and how it ended, by whichever of its kinds says so.

A string is text, unless it is an event stream by itself: whole frames, each of which is a chunk of OpenAI's, a message
of Letta's, an error or ``[DONE]``.
"""

from collections.abc import Sequence

from sse_relay.combinators.source import to_event
from sse_relay.dialects.deltas import TextDelta, event_of
from sse_relay.dialects.json_text import read_object
from sse_relay.dialects.letta import Letta
from sse_relay.dialects.native import Native
from sse_relay.dialects.neutral import reader_of
from sse_relay.dialects.openai_chat import OpenAIChat
from sse_relay.dialects.protocol import Recogniser
from sse_relay.outcome import Outcome
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent

__all__ = ["ChatItems"]

_FIELDS = ("data:", "event:", "id:", "retry:", ":")
_ENDS = ("\n\n", "\r\n\r\n", "\r\r")


class ChatItems:
    """Read the items of one stream, in order."""

    __slots__ = ("_recognisers",)

    def __init__(self) -> None:
        self._recognisers = [Recogniser(dialect) for dialect in (Native(), OpenAIChat(), Letta())]

    def events(self, item: object) -> Sequence[ServerSentEvent]:
        """Read one item; whatever else an event is, a comment or the note of a status passes."""
        event = to_event(item)
        if (frames := _frames(event)) is not None:
            return frames
        return (event_of(TextDelta(event.data or "")),) if isinstance(item, str) else (event,)

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Tell how the stream ended, if the event says so, with the reason that was stated ahead of it."""
        for recogniser in self._recognisers:
            if (outcome := recogniser.outcome_of(event)) is not None:
                return outcome.because(self._reason)
        return None

    def completed(self) -> Outcome:
        """Tell the outcome of a source that returned."""
        return Outcome("completed", self._reason)

    @property
    def _reason(self) -> str | None:
        return next((found.reason for found in self._recognisers if found.reason is not None), None)


def _frames(event: ServerSentEvent) -> Sequence[ServerSentEvent] | None:
    """Divide an event whose data is an event stream; None: it is not."""
    data = event.data
    if event.event is not None or data is None or not (data.endswith(_ENDS) and data.startswith(_FIELDS)):
        return None
    encoded = to_utf8(data)
    inner: Sequence[ServerSentEvent] = EventDecoder(len(encoded)).feed(encoded)
    if not inner or not all(map(_is_of_a_chat, inner)):
        return None
    return [inner[0].replace(status=event.status), *inner[1:]]


def _is_of_a_chat(event: ServerSentEvent) -> bool:
    data = event.data or ""
    said = read_object(data)
    return data == "[DONE]" or reader_of(said) is not None or bool(said.get("error"))
