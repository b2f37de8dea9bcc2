"""The last events of a stream, for whoever has to find out what happened."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sse_relay.wire.event import ServerSentEvent

__all__ = ["Diary", "Entry"]

_logger = logging.getLogger("sse_relay")

_ENTRIES = 100
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One event.

    Attributes:
        at: When it was read, in seconds after the beginning.
        id: Its id.
        event: Its name.
        data: The beginning of its data.
        size: How long its data is.
    """

    at: float
    id: str | None
    event: str | None
    data: str
    size: int


class Diary:
    """
    Keep the last hundred events; tell each one to a function of the caller's, too.

    Args:
        write: Takes each entry. What it raises is logged once, and never breaks the stream.
    """

    def __init__(self, write: Callable[[Entry], object] | None = None) -> None:
        self.entries: deque[Entry] = deque(maxlen=_ENTRIES)
        self._write = write
        self._failed = False

    def note(self, at: float, event: ServerSentEvent) -> None:
        """Note an event."""
        data = event.data or ""
        entry = Entry(at, event.id, event.event, data[:_SHOWN], len(data))
        self.entries.append(entry)
        if self._write is None:
            return
        try:
            self._write(entry)
        except Exception:
            if not self._failed:
                _logger.warning("a diary could not be written; the stream goes on", exc_info=True)
            self._failed = True
