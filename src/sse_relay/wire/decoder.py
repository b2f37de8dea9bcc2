r"""
Bytes → events, by the WHATWG event stream format, whatever way the bytes are split.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

Rules of this file:

- Line ends are made LF as chunks come in (a CR ends its line at once; an LF right after it, also in the next chunk,
  belongs to it). From there on an event ends at ``\n\n``, and UTF-8 can be decoded a run of whole events at a time,
  because no byte of a multi-byte character is an LF.
- What is not yet a whole event waits in one buffer that only grows: a long event costs linear time, and one that comes
  in tiny pieces no more memory than its bytes.
- Comments in front of an event are dropped as they come, and of one that is not over yet only the colon is kept:
  neither heartbeats nor a comment of any length ever add up to an event that is too large.
"""

import re
from typing import TYPE_CHECKING

from sse_relay.exceptions import EventTooLargeError
from sse_relay.wire.encoder import MAX_RETRY
from sse_relay.wire.event import make_event

if TYPE_CHECKING:
    from sse_relay.wire.event import ServerSentEvent

__all__ = ["EventDecoder"]

_BOM = b"\xef\xbb\xbf"
_FIELD_LINE = re.compile(rb"\n[^:\n]")
# Most events have a name or none, then their data, and an id at either end or none: one match reads them whole.
# Any other block, also one with an empty name or id, is matched as it is, and its lines are read one by one.
# Possessive (`++`): no line is scanned twice, and the matcher keeps nothing to go back to.
_BLOCKS = re.compile(
    r"(?:id: ?+([^\n\0]++)\n|)(?:event: ?+(.++)\n|)data: ?+(.*+)"
    r"(?:\n\n|((?:\ndata: .*+)*+)\n(?:id: ?+([^\n\0]++)\n|)\n)"
    r"|((?:.++\n)++)\n"
).findall
_RETRY_DIGITS = len(str(MAX_RETRY))  # int() of thousands of digits raises


class EventDecoder:
    r"""
    Parse an event stream, fed in any pieces.

    An event without a ``data:`` line is not dispatched, as the specification says; its id and `retry` still count.
    An event that the stream ends within is discarded, its id and `retry` with it.

    **Buffering**: at most `max_event_bytes` and the chunk that was fed.

    Args:
        max_event_bytes: The largest event, in bytes: its lines with one line break between two, from the first field
            to the last line, without the comments in front of it and the blank line behind it.

    Attributes:
        last_event_id: The sticky id: what a reader sends back to resume. Empty: none so far.
        retry: The reconnection time that the server last asked for, in milliseconds; None: it did not.

    Example:
        >>> decoder = EventDecoder()
        >>> decoder.feed(b"id: 1\nda"), decoder.feed(b"ta: Hi\n\n")[0].data, decoder.last_event_id
        ([], 'Hi', '1')
    """

    __slots__ = ("_after_cr", "_broken", "_pending", "_start", "last_event_id", "max_event_bytes", "retry")

    def __init__(self, max_event_bytes: int = 1 << 20) -> None:
        if max_event_bytes <= 0:
            raise ValueError(f"max_event_bytes must be positive, not {max_event_bytes}")
        self.max_event_bytes: int = max_event_bytes
        self.last_event_id: str = ""
        self.retry: int | None = None
        self._start: bytes | None = b""
        self._after_cr = False
        self._broken = False
        self._pending = bytearray()

    def feed(self, data: bytes) -> "list[ServerSentEvent]":
        """
        Take the next bytes and return the events that they complete, in order.

        Raises:
            EventTooLargeError: An event is past the bound; its `events` are those completed before it. The decoder
                cannot find the next event any more: every later call raises again.
        """
        if self._broken:
            raise EventTooLargeError(self.max_event_bytes)
        if self._start is not None:
            data = self._skip_bom(data)
        data = self._to_lf(data)
        pending = self._pending
        end = data.rfind(b"\n\n") + 2
        if end == 1 and not (data.startswith(b"\n") and pending.endswith(b"\n")):
            return self._hold(data, [])
        whole = data[:end]
        if pending:
            whole = bytes(pending) + whole
            pending.clear()
        events = self._events(whole)
        return self._hold(data[end:], events) if end < len(data) else events

    def _skip_bom(self, data: bytes) -> bytes:
        start = (self._start or b"") + data
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _to_lf(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _hold(self, data: bytes, events: "list[ServerSentEvent]") -> "list[ServerSentEvent]":
        """Keep the beginning of an event; hand `events` on, or raise with them."""
        pending = self._pending
        if pending.startswith(b":"):
            pending.clear()
            data = b":" + data
        if not pending:
            data = _without_comments(data)
        pending += data
        if len(pending) - pending.endswith(b"\n") > self.max_event_bytes:
            self._refuse(events)
        return events

    def _refuse(self, events: "list[ServerSentEvent]") -> None:
        self._broken = True
        self._pending.clear()
        raise EventTooLargeError(self.max_event_bytes, events)

    def _events(self, whole: bytes) -> "list[ServerSentEvent]":
        """Parse a run of whole events."""
        if len(whole) > self.max_event_bytes:
            blocks = whole.split(b"\n\n")
            for index, block in enumerate(blocks):
                if len(block) > self.max_event_bytes and len(_without_comments(block)) > self.max_event_bytes:
                    self._refuse(self._parse(b"\n\n".join([*blocks[:index], b""])))
        return self._parse(whole)

    def _parse(self, whole: bytes) -> "list[ServerSentEvent]":
        events: list[ServerSentEvent] = []
        for id_ahead, name, line, more, id_behind, other in _BLOCKS(whole.decode("utf-8", "replace")):
            if other:
                self._parse_lines(other, events)
                continue
            data = line + more.replace("\ndata: ", "\n") if more else line
            if event_id := id_behind or id_ahead:
                self.last_event_id = event_id
                events.append(make_event(data, name or None, event_id))
            else:
                events.append(make_event(data, name or None))
        return events

    def _parse_lines(self, block: str, events: "list[ServerSentEvent]") -> None:
        data: list[str] = []
        name = event_id = retry = None
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                if "\0" not in value:
                    event_id = value
            elif field == "retry" and value.isascii() and value.isdigit() and len(value) <= _RETRY_DIGITS:
                retry = self.retry = int(value)
        if event_id is not None:
            self.last_event_id = event_id
        if data:
            events.append(make_event(data[0] if len(data) == 1 else "\n".join(data), name, event_id, retry))


def _without_comments(data: bytes) -> bytes:
    """Drop comments and blank lines in front of the first field; of a comment that is not over, keep the colon."""
    if not data or data[0] not in b":\n":
        return data
    field = _FIELD_LINE.search(data)
    if field is not None:
        return data[field.start() + 1 :]
    return data[data.rfind(b"\n") + 1 :][:1]
