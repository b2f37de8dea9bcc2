"""Relays in memory, requests to their routes, and dialects that remember."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from sse_relay import MemoryStore, Outcome, Relay, ServerSentEvent
from sse_relay.adapters.asgi import RelayApp, relay_app
from sse_relay.dialects import RenderContext, Renderer
from tests.adapters.servers import App, Exchange

BEAT = b": ping\n"


def memory(**options: Any) -> MemoryStore:
    """Make a store on the running loop's clock."""
    return MemoryStore(clock=asyncio.get_running_loop().time, **options)


def open_to_all(relay: Relay, **options: Any) -> RelayApp:
    """Make the routes of a relay, for everyone."""
    return relay_app(relay, authorize=lambda _: True, **options)


async def ask(app: App, path: str, *, method: str = "GET", last_id: str | bytes | None = None) -> Exchange:
    """Make one request, of a client that stays for a quarter of an hour, and may have seen something."""
    exchange = Exchange(method, path=path, headers={} if last_id is None else {"last-event-id": last_id})
    leaving = asyncio.get_running_loop().call_later(900, exchange.gone.set)
    await exchange.view(app)
    leaving.cancel()
    return exchange


class Totals:
    """
    A dialect that remembers: what a record renders to depends on all before it.

    A number is rendered to two frames, the record itself and the total so far; ``hidden`` to none; ``broken`` raises.

    Args:
        name: Its name.
        has_ids: Whether its clients bear ids.
        resume: What they want when they come back.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    heartbeat: bytes = b": tick\n\n"

    def __init__(
        self, name: str = "totals", *, has_ids: bool = True, resume: Literal["offset", "from_start"] = "offset"
    ) -> None:
        self.name = name
        self.has_ids = has_ids
        self.resume: Literal["offset", "from_start"] = resume

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise nothing but what says so itself."""
        return event.outcome

    def renderer(self, context: RenderContext) -> Renderer:
        """Begin at zero."""
        return _TotalsRenderer(context)


class _TotalsRenderer:
    def __init__(self, context: RenderContext) -> None:
        self._run_id = context.run_id
        self._total = 0

    def preamble(self) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent(self._run_id, event="run"),)

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        if event.data == "hidden":
            return ()
        if event.data == "broken":
            raise ValueError("password=hunter2")
        self._total += int(event.data or "")
        return (event, ServerSentEvent(f"{self._total} at {offset}", event="total"))

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        code = "" if outcome.error is None else f" {outcome.error.code}"
        return (
            ServerSentEvent(str(self._total), event="sum"),
            ServerSentEvent(f"{outcome.status}{code}", event="over"),
        )


def said(events: Iterable[ServerSentEvent]) -> list[tuple[str | None, str | None, str | None]]:
    """Tell events by id, name and data."""
    return [(event.id, event.event, event.data) for event in events]
