"""
Endpoints that count in their payloads, and resume by ``starting_after``: OpenAI's Responses, and Letta's runs.

===========  =============================  ==========================================================
``openai``   ``sequence_number``,           ``GET /v1/responses/{id}?stream=true&starting_after=N``
             ``response.id``
``letta``    ``seq_id``, ``run_id``         ``POST /v1/runs/{id}/stream {"starting_after": N}``
===========  =============================  ==========================================================

A stream may begin at such an address, or with the request that starts the run: then the payloads name it.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, cast
from urllib.parse import quote

from sse_relay.client.place import Request, with_query
from sse_relay.wire.event import ServerSentEvent

__all__ = ["ByStartingAfter", "Endpoint"]

Endpoint = Literal["openai", "letta"]

Said = tuple[str | None, str | None]
_SEQUENCE: Mapping[Endpoint, str] = {"openai": "sequence_number", "letta": "seq_id"}
_REMEMBERED = 64
_LETTA_ROOT = re.compile(r".*?/v1(?=/)")


class ByStartingAfter:
    """
    The place is the run and the number of its last event.

    Args:
        endpoint: ``openai`` or ``letta``.
        after: The number to start after; None: from the first.
    """

    def __init__(self, endpoint: Endpoint, after: int | None = None) -> None:
        self._endpoint: Endpoint = endpoint
        self._sequence = _SEQUENCE[endpoint]
        self._last = after
        self._run: str | None = None
        self._ahead: list[Said] = []  # what had no number, between the last one and the one before it
        self._behind: list[Said] = []  # and since the last one
        self._expected: deque[Said] = deque()
        self._replaying: int | None = None  # the number that came again

    @property
    def text(self) -> str | None:
        """The number."""
        return None if self._last is None else str(self._last)

    def next_request(self, first: Request) -> Request:
        """Ask for what follows the number."""
        if self._last is None and self._run is None:
            return first
        return self._openai(first) if self._endpoint == "openai" else self._letta(first)

    def connected(self) -> None:
        """Begin another connection: numbers are compared in any case."""
        self._replaying = None
        self._expected = deque([*self._ahead, *self._behind])

    def new_of(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Compare numbers with the last one; what has none belongs to the one before it, which may come again."""
        return [event for event in events if self._is_new(event)]

    def stick(self, last_event_id: str) -> None:
        """Ignore ids: the payload counts."""

    def _is_new(self, event: ServerSentEvent) -> bool:
        said = _object(event.data)
        self._run = self._run or self._run_of(said)
        number = said.get(self._sequence)
        if type(number) is not int:
            return self._is_new_unnumbered((event.event, event.data))
        if self._last is not None and number <= self._last:
            self._replaying = number
            return False
        self._last, self._replaying = number, None
        self._ahead, self._behind = self._behind, []
        self._expected.clear()
        return True

    def _is_new_unnumbered(self, said: Said) -> bool:
        if self._replaying is not None and self._replaying != self._last:
            return False
        while self._expected:
            if self._expected.popleft() == said:
                return False
        if len(self._behind) < _REMEMBERED:
            self._behind.append(said)
        return True

    def _run_of(self, said: Mapping[str, Any]) -> str | None:
        found: Any = said.get("run_id")
        if self._endpoint == "openai":
            response: Any = said.get("response")
            found = cast("dict[str, Any]", response).get("id") if isinstance(response, dict) else None
        return found if isinstance(found, str) else None

    def _openai(self, first: Request) -> Request:
        url = first.url
        if first.method != "GET":
            url = f"{url.partition('?')[0].rstrip('/')}/{quote(self._run or '', safe='')}"
        after = {} if self._last is None else {"starting_after": str(self._last)}
        return Request(with_query(url, stream="true", **after), headers=first.headers)

    def _letta(self, first: Request) -> Request:
        after = {} if self._last is None else {"starting_after": self._last}
        root = _LETTA_ROOT.match(first.url)
        if self._run is None or root is None or "/runs/" in first.url:
            return Request(first.url, "POST", first.headers, {**(first.json or {}), **after})
        return Request(f"{root[0]}/runs/{quote(self._run, safe='')}/stream", "POST", first.headers, after)


def _object(data: str | None) -> Mapping[str, Any]:
    try:
        said: Any = json.loads(data or "")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
