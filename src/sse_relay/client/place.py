"""
Where a reader is in a stream, how it asks for the rest, and what it has had already.

A server answers a reconnect with what follows the last id. What it sends again all the same (an id that was seen,
events without an id behind the last one) is dropped, until the first event that is new; from there on its order is
trusted.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sse_relay.exceptions import InvalidCursorError
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.event import ServerSentEvent

__all__ = ["After", "ByCount", "ByLastEventId", "Place", "Request", "with_query"]

After = Cursor | str | int | None

_REMEMBERED_IDS = 1024
_REMEMBERED_EVENTS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the server."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    json: Any = None


class Place(Protocol):
    """Follow one stream, over all of its connections."""

    @property
    def text(self) -> str | None:
        """The place as the caller may keep it; None: nothing was seen that has one."""
        ...

    def next_request(self, first: Request) -> Request:
        """Make the request for what was not seen yet, out of the one that began."""
        ...

    def connected(self) -> None:
        """Begin another connection."""
        ...

    def new_of(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Take the next events; return those that were not seen before."""
        ...

    def stick(self, last_event_id: str) -> None:
        """Take the id that the connection is at, which an event without data may have set."""
        ...


class ByLastEventId:
    """The place is the last id: what EventSource does, and every server that resumes knows."""

    def __init__(self, after: After = None) -> None:
        self._offset = after if isinstance(after, int) else None
        self._id = "" if after is None or isinstance(after, int) else str(after)
        self._ids: deque[str] = deque((self._id,) if self._id else (), maxlen=_REMEMBERED_IDS)
        self._without_id: list[tuple[str | None, str | None]] = []  # since the last id
        self._ahead: list[tuple[str | None, str | None]] = []  # of the first id: what may open each connection
        self._expected: deque[tuple[str | None, str | None]] = deque()
        self._checking = False
        self._replaying = False

    @property
    def text(self) -> str | None:
        """The last id."""
        return self._id or None

    def next_request(self, first: Request) -> Request:
        """Name the last id in the header; an offset that the caller began with, in the query."""
        if self._id:
            return replace(first, headers={**first.headers, "Last-Event-ID": self._id})
        return first if self._offset is None else replace(first, url=with_query(first.url, after=str(self._offset)))

    def connected(self) -> None:
        """Expect what was seen: it is dropped if it comes again."""
        self._checking = bool(self._ids or self._without_id)
        self._replaying = False
        ahead = self._ahead if self._ids else ()
        self._expected = deque([*ahead, *self._without_id])

    def new_of(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Compare with what was seen, on a connection that resumes; then remember them."""
        if self._checking:
            new_at = next((index for index, event in enumerate(events) if not self._is_known(event)), None)
            if new_at is None:
                return []
            self._checking = False
            events = events[new_at:]
        ids = [event.id for event in events if event.id is not None]
        if not ids and len(self._without_id) == _REMEMBERED_EVENTS:
            return events
        if len(ids) < len(events):
            for event in events:
                self._remember(event)
        elif ids:
            self._pass_ids(ids)
        return events

    def stick(self, last_event_id: str) -> None:
        """Keep it, unless the server is still repeating what was seen."""
        if not self._checking and last_event_id != self._id:
            self._pass_ids([last_event_id])

    def _remember(self, event: ServerSentEvent) -> None:
        if event.id is not None:
            self._pass_ids([event.id])
        elif len(self._without_id) < _REMEMBERED_EVENTS:
            self._without_id.append((event.event, event.data))

    def _pass_ids(self, ids: list[str]) -> None:
        if not self._ids:
            self._ahead, self._without_id = self._without_id, []
        elif self._without_id:
            self._without_id = []
        self._id = ids[-1]
        self._ids.extend(ids)

    def _is_known(self, event: ServerSentEvent) -> bool:
        if event.id is None:
            said = (event.event, event.data)
            if self._replaying:
                return True
            while self._expected:
                if self._expected.popleft() == said:
                    return True
            return False
        known = event.id in self._ids or _is_behind(event.id, self._id)
        self._replaying = known and event.id != self._id
        return known


class ByCount:
    """The place is how many events were seen, for a dialect without ids, whose server sends all of them each time."""

    def __init__(self) -> None:
        self._seen = 0
        self._to_skip = 0

    @property
    def text(self) -> str | None:
        """None: nobody else could go on there."""
        return None

    def next_request(self, first: Request) -> Request:
        """Ask for all of it."""
        return first

    def connected(self) -> None:
        """Expect all of it."""
        self._to_skip = self._seen

    def new_of(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Count."""
        new = events[self._to_skip :]
        self._to_skip = max(self._to_skip - len(events), 0)
        self._seen += len(new)
        return new

    def stick(self, last_event_id: str) -> None:
        """Ignore ids."""


def with_query(url: str, **fields: str) -> str:
    """Set fields of a URL's query."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in fields]
    return urlunsplit(parts._replace(query=urlencode([*kept, *fields.items()])))


def _is_behind(event_id: str, last_id: str) -> bool:
    """Tell whether a cursor is at or before another one of its epoch; other ids have no order."""
    try:
        cursor, last = Cursor.parse(event_id), Cursor.parse(last_id)
    except InvalidCursorError:
        return False
    return cursor.epoch == last.epoch and cursor.offset <= last.offset
