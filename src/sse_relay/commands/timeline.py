"""A log as a picture: a lane for each kind of event, from the first record on the left to the last on the right."""

from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

from sse_relay.commands.screen import printable, styled
from sse_relay.commands.story import Story

__all__ = ["timeline"]

_HEIGHTS = "▁▂▃▄▅▆▇█"
_LABEL = 11
_COUNT = 9
_GONE = "▒"
_OURS = {"text": "blue", "reasoning": "blue dim", "tool_call": "yellow", "tool_result": "yellow"}


def timeline(story: Story, width: int) -> list[Text]:
    """
    Draw a log.

    Args:
        story: The log.
        width: How many columns there are.
    """
    if not story.lanes and not story.gaps:
        return [Text("nothing is stored yet", "dim")]
    columns = min(max(width - _LABEL - _COUNT - 2, 8), story.parts)
    lanes = {name: _folded(counts, columns) for name, counts in story.lanes.items()}
    totals = [sum(counts) for counts in zip(*lanes.values(), strict=True)] or [0] * columns
    gone = {column for gap in story.gaps for column in _covered(story, gap, columns)}
    lines = [_axis(story, columns)]
    for name, counts in lanes.items():
        lines.append(_label(name))
        cells = [_cell(count, totals[column], gone=column in gone) for column, count in enumerate(counts)]
        for shown, equal in groupby(cells, _HEIGHTS.__contains__):
            lines[-1].append("".join(equal), _style(story, name) if shown else "red dim")
        lines[-1].append(f" {sum(counts):>{_COUNT}}", "dim")
    if story.gaps:
        lines.append(_label("gone", "red"))
        lines[-1].append("".join(_GONE if column in gone else " " for column in range(columns)), "red")
        lines[-1].append(f" {sum(last - first + 1 for first, last in story.gaps):>{_COUNT}}", "red")
    if len(story.epochs) > 1:
        lines.append(_takeovers(story, columns))
    return lines


def _axis(story: Story, columns: int) -> Text:
    last = str(story.info.last_offset) + ("" if story.info.outcome else "…")
    between = "─" * max(columns - len(last) - 3, 1)
    return Text(" " * (_LABEL + 1)).append(f"1 {between} {last}", "dim")


def _label(name: str, style: str = "") -> Text:
    name = printable(name)
    shown = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
    return Text(f"{shown:>{_LABEL}} ", style, no_wrap=True, end="")


def _cell(count: int, total: int, *, gone: bool) -> str:
    """Show which share of what is here is of one kind."""
    if not count:
        return "·" if gone else " "
    return _HEIGHTS[-(-count * len(_HEIGHTS) // total) - 1]


def _style(story: Story, name: str) -> str:
    return str(styled(story.info.status).style) if name == "end" else _OURS.get(name, "cyan")


def _takeovers(story: Story, columns: int) -> Text:
    line = ["─"] * columns
    for _, first in story.epochs[1:]:
        line[story.part_of(first) * columns // story.parts] = "╂"
    return _label("epochs").append("".join(line), "dim").append(f" {len(story.epochs):>{_COUNT}}", "dim")


def _covered(story: Story, gap: tuple[int, int], columns: int) -> range:
    first, last = (story.part_of(offset) * columns // story.parts for offset in gap)
    return range(first, last + 1)


def _folded(counts: Sequence[int], columns: int) -> list[int]:
    folded = [0] * columns
    for part, count in enumerate(counts):
        folded[part * columns // len(counts)] += count
    return folded
