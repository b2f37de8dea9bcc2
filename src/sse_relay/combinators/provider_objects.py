"""Whatever a provider's stream comes as → the objects that it says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sse_relay.exceptions import EventTooLargeError, InvalidEventError
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent

__all__ = ["DONE", "ProviderObjects", "Said"]

Said = Mapping[str, Any]
"""What a provider says at a time: the JSON object of a chunk or event."""

DONE = "[DONE]"
"""The type of the object that stands for ``data: [DONE]``."""

_BLANK_LINE = b"\n\n"
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class ProviderObjects:
    """
    Read the items of one stream.

    An event's name is its object's type, if that has none. Objects are whole or not at all, so that one at the end
    counts also without the blank line behind it. A body that is JSON as a whole, as errors are, is one object.

    **Buffering**: `max_event_bytes` of text or bytes.

    Args:
        max_event_bytes: The largest event, or body that is JSON, in bytes.

    Raises:
        ValueError: `max_event_bytes` is not positive.
    """

    __slots__ = ("_decoder", "_is_body")

    def __init__(self, max_event_bytes: int) -> None:
        self._decoder = EventDecoder(max_event_bytes)
        self._is_body: bool | None = None  # None: nothing came yet

    def of(self, item: object) -> Iterator[Said]:
        """
        Read one item: an object of an SDK, a dict, an event, text or bytes.

        Raises:
            EventTooLargeError, InvalidEventError: After the objects ahead of it.
            TypeError: It is none of these.
        """
        if isinstance(item, (str, bytes, bytearray, memoryview)):
            chunk = to_utf8(item) if isinstance(item, str) else bytes(cast("bytes", item))
            yield from self._decoded(self._one_line(chunk))
        elif isinstance(item, ServerSentEvent):
            yield from _object(item)
        elif isinstance(item, Mapping):
            yield cast("Said", item)
        elif hasattr(item, "model_dump"):
            yield _dumped(item)
        else:
            kinds = "objects of its SDK, dicts, events, text or bytes"
            raise TypeError(f"a provider's stream must yield {kinds}, not {type(item).__qualname__}")

    def rest(self) -> Iterator[Said]:
        """Read what no blank line has ended."""
        return self._decoded(_BLANK_LINE)

    def _one_line(self, chunk: bytes) -> bytes:
        """Make a JSON body, where an event stream was expected, the data of one event."""
        if self._is_body is None and (chunk := chunk.lstrip()):
            self._is_body = chunk.startswith(b"{")
            chunk = b"data: " + chunk if self._is_body else chunk
        return chunk.translate(_ONE_LINE) if self._is_body else chunk

    def _decoded(self, chunk: bytes) -> Iterator[Said]:
        error = None
        try:
            events = self._decoder.feed(chunk)
        except EventTooLargeError as exc:
            events, error = cast("list[ServerSentEvent]", list(exc.events)), exc
        for event in events:
            yield from _object(event)
        if error is not None:
            raise error


def _object(event: ServerSentEvent) -> Iterator[Said]:
    data = (event.data or "").strip()
    if data == DONE:
        yield {"type": DONE}
    elif data:
        try:
            said: Any = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidEventError("data", data[:200], "is not the JSON that a provider streams") from error
        if isinstance(said, dict):
            yield said if event.event is None else {"type": event.event, **cast("Said", said)}


def _dumped(item: Any) -> Said:  # noqa: ANN401 - a model of an SDK that is not imported
    if getattr(item, "type", None) == "chunk":  # of openai's `client.chat.completions.stream`
        item = item.chunk
    said: Said = item.model_dump(exclude_unset=True, exclude={"snapshot"}, warnings=False)
    return said
