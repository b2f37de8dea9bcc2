"""Find a run whose stream was lost before its first event, and the outcome of one that has ended."""

import json
import logging
import re
from asyncio import timeout
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlsplit, urlunsplit

from sse_relay.client.place import Request
from sse_relay.client.transport import Client, ask
from sse_relay.dialects.native import Native
from sse_relay.exceptions import InvalidEventError
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["FindRun", "Finder", "outcome_at"]

_logger = logging.getLogger("sse_relay")

_PATIENCE = 5.0
_EVENTS = re.compile(r"(.*/runs/[^/]+)/events")


@dataclass(frozen=True, slots=True)
class FindRun:
    """
    Where to look for the run of a request that died before its first event.

    With an ``Idempotency-Key`` among the headers there is no need to look: the request itself is repeated.

    Attributes:
        relay: The address of the relay's routes (`relay_app`).
        key: The key that the request starts its run under.
    """

    relay: str
    key: str


class Finder:
    """
    Look for the run of one request.

    No clock is compared: the run is the key's active one, or its latest if that was not there before the request.
    """

    def __init__(self, where: FindRun, client: Client, headers: Mapping[str, str]) -> None:
        self._where = where
        self._client = client
        self._headers = headers
        self._before: str | None = None

    async def look_before(self) -> None:
        """Note the key's latest run, before the request is made."""
        self._before = await self._run("latest")

    async def url(self) -> str | None:
        """Tell the address of the run's events; None: there is no such run."""
        found = await self._run("active")
        if found is None and (latest := await self._run("latest")) != self._before:
            found = latest
        return found and f"{self._where.relay.rstrip('/')}/runs/{quote(found, safe='')}/events"

    async def _run(self, which: str) -> str | None:
        url = f"{self._where.relay.rstrip('/')}/keys/{quote(self._where.key, safe='')}/{which}"
        found = (await _get(self._client, url, self._headers)).get("id")
        return found if isinstance(found, str) else None


async def outcome_at(client: Client, url: str, headers: Mapping[str, str]) -> Outcome | None:
    """Ask a relay how the run has ended whose events are at `url`; None: that is not told there."""
    parts = urlsplit(url)
    run = _EVENTS.fullmatch(parts.path)
    if run is None:
        return None
    said = (await _get(client, urlunsplit(parts._replace(path=run[1], query="")), headers)).get("outcome")
    try:
        return Native().outcome_of(ServerSentEvent.json(said, event="end")) if said is not None else None
    except InvalidEventError:
        return None


async def _get(client: Client, url: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """Get an object of JSON; an empty one: there is none, or it did not come in time."""
    try:
        async with timeout(_PATIENCE):
            connection = await ask(client, Request(url, headers={**headers, "Accept": "application/json"}), _PATIENCE)
            try:
                answer = await connection.answer()
            finally:
                await connection.aclose()
        said: Any = json.loads(answer.body) if answer.status == 200 else None
    except Exception:
        _logger.info("a relay gave no answer", exc_info=True)  # its address may have a key, or a password
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
