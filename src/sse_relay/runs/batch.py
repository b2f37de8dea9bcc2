"""Stored records → events: their ids are their cursors."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sse_relay.exceptions import StoreContractError
from sse_relay.stores.protocol import Page
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent, make_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_relay.outcome import Outcome

__all__ = ["Batch"]


class Batch:
    """A page of records, decoded once for all who view them."""

    __slots__ = ("_events", "page")

    def __init__(self, page: Page) -> None:
        self.page: Page = page
        self._events: list[ServerSentEvent] | None = None

    @property
    def events(self) -> list[ServerSentEvent]:
        """The records as events, behind a ``gap`` if some before them were trimmed; the ``end`` carries its outcome."""
        if self._events is None:
            self._events = _events_of(self.page)
        return self._events

    @property
    def outcome(self) -> "Outcome | None":
        """How the run ended, if the last record here is its last one."""
        info = self.page.info
        return info.outcome if self.page.last >= info.last_offset else None

    def after(self, offset: int) -> "Batch":
        """Leave out what a reader has seen already."""
        page, seen = self.page, offset + 1 - self.page.first
        if seen <= 0:
            return self
        cut = Batch(replace(page, first=offset + 1, frames=page.frames[seen:], after=offset))
        cut._events = self.events[seen:]  # a window has no gaps
        return cut


def _events_of(page: Page) -> list[ServerSentEvent]:
    epoch = page.epoch
    events = [_decoded(frame, f"{epoch}:{offset}") for offset, frame in enumerate(page.frames, page.first)]
    info = page.info
    if events and info.outcome is not None and page.last == info.last_offset:
        events[-1] = events[-1].replace(outcome=info.outcome)
    if page.first > page.after + 1:
        said = {"after": page.after, "next": page.first, "reason": "trimmed"}
        events.insert(0, ServerSentEvent.json(said, event="gap", id=f"{epoch}:{page.first - 1}"))
    return events


def _decoded(frame: bytes, event_id: str) -> ServerSentEvent:
    """Read a frame back: nearly all have a name at most and one line of data."""
    text = frame.decode()
    name = None
    if text.startswith("event: "):
        name, _, text = text[7:].partition("\n")
    if text.startswith("data: ") and text.find("\n") == len(text) - 2:
        return make_event(text[6:-2], name, event_id)
    events: Sequence[ServerSentEvent] = EventDecoder(max(len(frame), 1)).feed(frame)
    if len(events) != 1:
        raise StoreContractError(f"record {event_id} is not one event")
    return events[0].replace(id=event_id)
