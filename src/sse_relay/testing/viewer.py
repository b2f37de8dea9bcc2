"""What one viewer has seen, held against the log."""

import json
from typing import TYPE_CHECKING

from sse_relay.exceptions import InvalidCursorError
from sse_relay.testing.ledger import Ledger
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import frame
from sse_relay.wire.event import ServerSentEvent

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Viewer"]


class Viewer:
    """
    One viewer of a run, wherever it reads: tell it what the viewer sees.

    Args:
        ledger: What is known of the run.
        after: Where the viewer begins.

    Attributes:
        place: The offset of the last record that it has seen.
    """

    def __init__(self, ledger: Ledger, after: Cursor | str | int | None = None) -> None:
        if isinstance(after, str):
            after = Cursor.parse(after)
        self.place: int = after.offset if isinstance(after, Cursor) else after or 0
        self._ledger = ledger
        self._ended = False

    def saw(self, event: ServerSentEvent) -> None:
        """Take a native event, which has the id that it was sent with."""
        if self._ended:
            self._break("I2", f"saw {event.event or event.data!r} after the end")
        try:
            cursor = Cursor.parse(event.id or "")
        except InvalidCursorError:
            self._break("I1", f"saw an event whose id is no cursor: {event.id!r}")
            return
        if event.event == "gap":
            self._saw_gap(event, cursor)
        else:
            self._saw_record(event, cursor)

    def ended(self, outcome: "Outcome | None") -> None:
        """Take the end of what it sees, and how the run is said to have ended; None: that is not known."""
        if outcome is None:
            return
        self._judge(outcome)
        if self.place != self._ledger.sealed_at:
            self._break("I7", f"was told of the end, and the log goes on to {self._ledger.sealed_at}")

    def _saw_gap(self, event: ServerSentEvent, cursor: Cursor) -> None:
        said = json.loads(event.data or "{}")
        after, next_ = said.get("after"), said.get("next")
        if after != self.place or next_ != cursor.offset + 1 or next_ <= self.place + 1:
            self._break("I1", f"was told of a gap from {after} to {next_}, with the id {cursor}")
        elif not self._ledger.is_trimmed(next_ - 1):
            self._break("I1", f"was told that records up to {next_ - 1} are gone, and nothing has trimmed them")
        self.place = max(self.place, cursor.offset)

    def _saw_record(self, event: ServerSentEvent, cursor: Cursor) -> None:
        there = self._ledger.record(cursor.offset)
        if cursor.offset <= self.place:
            self._break("I1", f"saw record {cursor.offset} again")
        elif cursor.offset > self.place + 1:
            self._break("I7", f"saw record {cursor.offset} next, and no gap")
        elif there is None or there.epoch != cursor.epoch or there.frame != frame(event):
            log = None if there is None else f"{there.cursor} {there.frame!r}"
            self._break("I1", f"saw {cursor} {frame(event)!r}, and the log has {log}")
        self.place = max(self.place, cursor.offset)
        if event.outcome is not None:
            self._ended = True
            self._judge(event.outcome)
            if cursor.offset != self._ledger.sealed_at:
                self._break("I2", f"saw an end at {cursor.offset}, and the log's is at {self._ledger.sealed_at}")

    def _judge(self, outcome: "Outcome") -> None:
        if outcome != self._ledger.outcome:
            self._break("I2", f"was told that it ended as {outcome}, and it ended as {self._ledger.outcome}")

    def _break(self, invariant: str, how: str) -> None:
        self._ledger.break_(invariant, f"a viewer that stood at {self.place} {how}")
