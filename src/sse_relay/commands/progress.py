"""The line below a stream: how fast it comes, how long it has been silent, and where to go on."""

import time
from collections import deque
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sse_relay.commands.screen import printable
from sse_relay.commands.spans import span

__all__ = ["Progress"]

_LOOK_BACK = 5.0  # seconds


class Progress:
    """
    Count what comes, and draw one line of it.

    Args:
        clock: Tells the time, in seconds.

    Attributes:
        cursor: The id of the last event; None: none had any.
        trouble: Why nothing comes just now; empty: nothing is wrong.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._last = clock()
        self._recent: deque[tuple[float, int]] = deque()
        self.count: int = 0
        self.cursor: str | None = None
        self.trouble: str = ""

    def step(self, cursor: str | None) -> None:
        """Count an event."""
        now = self._last = self._clock()
        self.count += 1
        self.cursor = cursor or self.cursor
        self.trouble = ""
        tenth = now // 0.1 / 10
        if self._recent and self._recent[-1][0] == tenth:
            self._recent[-1] = (tenth, self._recent[-1][1] + 1)
        else:
            self._recent.append((tenth, 1))
            self._forget(now)

    def rate(self) -> float:
        """Tell the events a second, of late."""
        now = self._clock()
        self._forget(now)
        return sum(count for _, count in self._recent) / max(min(_LOOK_BACK, now - self._began), 0.1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line; where it does not fit, without the epoch."""
        line = self.line(self.cursor or "the beginning")
        if line.cell_len > options.max_width and self.cursor is not None:
            line = self.line(self.cursor.rpartition(":")[2])
        yield line

    def line(self, place: str) -> Text:
        """Write the line."""
        line = Text(no_wrap=True, overflow="ellipsis")
        if self.trouble:
            return line.append(f"○ after {printable(place)}", "dim").append(f" · {self.trouble}", "yellow")
        line.append("● ", "green").append(f"{self.rate():.1f}/s")
        silence = span(self._clock() - self._last)
        line.append(f" · {silence} ago" if self.count else f" · nothing yet, {silence}")
        return line.append(f" · after {printable(place)}").append(f" · {self.count} events", "dim")

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _LOOK_BACK:
            self._recent.popleft()
