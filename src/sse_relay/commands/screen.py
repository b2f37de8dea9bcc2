"""A terminal, or a pipe: what may be shown where."""

import sys

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["Screen", "printable", "styled"]

_WIDE = 10_000  # columns: a pipe cuts nothing off
_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "lost": "magenta",
    "timed_out": "red",
}
_STEERING = [*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _STEERING} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}


def printable(text: str) -> str:
    """Write control characters as escapes: what a stream says must not steer a terminal, and stays on its line."""
    return text.translate(_ESCAPES)


def styled(status: str, shown: str | None = None) -> Text:
    """Show a status in its colour."""
    return Text(shown or status, _STYLES.get(status, ""))


class Screen:
    """
    Standard output.

    Attributes:
        live: Whether somebody looks at it as it comes, on a terminal that can be drawn on.
        console: Shows what has a layout; where nobody looks, in one long line each, without colour.
    """

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self.console: Console = Console(highlight=False) if terminal else Console(
            highlight=False, width=_WIDE, force_terminal=False, no_color=True
        )  # fmt: skip
        self.live: bool = terminal and self.console.is_terminal and not self.console.is_dumb_terminal

    @property
    def width(self) -> int:
        """How many columns a picture may have."""
        return min(self.console.width, 100)

    def show(self, *things: RenderableType) -> None:
        """Show what has a layout."""
        if self.live:
            self.console.print(*things, sep="\n")
            return
        with self.console.capture() as capture:
            self.console.print(*things, sep="\n")
        for line in capture.get().splitlines():
            print(line.rstrip())

    def line(self, text: Text) -> None:
        """Show one line; where it does not fit, its beginning."""
        self.console.print(text, no_wrap=True, overflow="ellipsis", crop=True)

    def write(self, text: str) -> None:
        """Write as it is, and at once."""
        if self.live:  # through the console, which keeps the progress line below
            self.console.print(Text(text), soft_wrap=True, end="")
        else:
            sys.stdout.write(text)
            sys.stdout.flush()
