"""What a run's log tells, in memory that does not grow with it."""

from collections import deque
from dataclasses import dataclass, field

from sse_relay.stores.protocol import Page, RunInfo, StreamStore
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.decoder import EventDecoder

__all__ = ["Story", "story_of"]

_COLUMNS = 400  # as fine as it can be drawn
_LAST = 5
_PAGE = 2000
_NAMES = 12
_OTHERS = "(others)"


@dataclass(slots=True)
class Story:
    """
    A log, folded.

    Attributes:
        info: The run.
        lanes: How many records of each event name are in each part of the log.
        gaps: The first and the last of the records that are gone, each time.
        epochs: Each epoch, and its first record.
        last: The last records: offset, event, data.
    """

    info: RunInfo
    parts: int = 1
    lanes: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    gaps: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    epochs: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    last: deque[tuple[int, str, str]] = field(default_factory=lambda: deque(maxlen=_LAST))

    def part_of(self, offset: int) -> int:
        """Tell in which part of the log a record is."""
        return min((offset - 1) * self.parts // max(self.info.last_offset, 1), self.parts - 1)

    def add(self, page: Page) -> None:
        """Fold a page."""
        if page.first > page.after + 1:
            self.gaps.append((page.after + 1, page.first - 1))
        if page.frames and (not self.epochs or self.epochs[-1][0] != page.epoch):
            self.epochs.append((page.epoch, page.first))
        decoder = EventDecoder(max_event_bytes=1 << 30)  # it was stored: whoever stored it has bounded it
        for record in page.records():
            for event in decoder.feed(record.frame):
                name = event.event or "(unnamed)"
                lane = name if name in self.lanes or len(self.lanes) < _NAMES or name == "end" else _OTHERS
                self.lanes.setdefault(lane, [0] * self.parts)[self.part_of(record.offset)] += 1
                self.last.append((record.offset, name, event.data or ""))


async def story_of(store: StreamStore, run_id: str) -> Story:
    """
    Read a run's log, as far as it goes now.

    Raises:
        SSERelayError: There is no such run, or the store does not answer.
    """
    page = await store.read(run_id, limit=_PAGE)
    until = page.info.last_offset
    story = Story(page.info, parts=max(min(until, _COLUMNS), 1))
    while True:
        story.add(page)
        if page.last >= until or (not page.frames and page.first == page.after + 1):
            return story
        page = await store.read(run_id, Cursor(page.epoch, page.last), limit=_PAGE)
