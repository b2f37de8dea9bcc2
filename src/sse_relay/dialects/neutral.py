"""
What an event says, in neutral terms, whoever wrote it: the deltas that every model dialect renders.

A log holds canonical deltas where its source yields deltas; but an application may as well store what it has: OpenAI
chunks, messages of a Letta agent, or plain text. What is none of these, and has a name of its own, says nothing to a
model's client.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sse_relay.dialects.chat_chunks import deltas_of_chunk, whole_number
from sse_relay.dialects.deltas import Delta, TextDelta, Usage, delta_of
from sse_relay.dialects.json_text import read_object
from sse_relay.dialects.letta_messages import deltas_of_message
from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.event import ServerSentEvent

__all__ = ["deltas_of", "reader_of"]

Reader = Callable[[Mapping[str, Any]], Sequence[Delta]]

_CHOICES = range(128)  # a renderer remembers each one; nobody asks for so many answers


def deltas_of(event: ServerSentEvent) -> Sequence[Delta]:
    """
    Read an event.

    A canonical frame is its delta; an unnamed event is a chunk of OpenAI's, a message of Letta's, or else text as it
    stands. Hostile input says nothing, and raises nothing.
    """
    return [delta for delta in _said(event) if _is_sane(delta)]


def reader_of(said: Mapping[str, Any]) -> Reader | None:
    """Tell what reads an object; None: it is neither a chunk of OpenAI's nor a message of Letta's."""
    if said.get("object") == "chat.completion.chunk" or isinstance(said.get("choices"), list):
        return deltas_of_chunk
    return deltas_of_message if isinstance(said.get("message_type"), str) else None


def _said(event: ServerSentEvent) -> Sequence[Delta]:
    if event.event and event.event != "message":
        try:
            delta = delta_of(event)
        except InvalidEventError:
            delta = None
        return () if delta is None else (delta,)
    data = event.data or ""
    if data == "[DONE]" or not data:
        return ()
    said = read_object(data)
    reader = reader_of(said)
    return [TextDelta(data)] if reader is None else reader(said)


def _is_sane(delta: Delta) -> bool:
    if isinstance(delta, Usage):
        return whole_number(delta.input_tokens) is not None and whole_number(delta.output_tokens) is not None
    return getattr(delta, "choice", 0) in _CHOICES
