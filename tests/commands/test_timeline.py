"""A log as a picture."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from sse_relay import Outcome
from sse_relay.commands.story import Story
from sse_relay.commands.timeline import timeline
from sse_relay.stores.protocol import RunInfo

INFO = RunInfo(
    "run", None, "lost", "epochepoch", 40, Outcome("lost"), 0.0, 1.0, metadata=MappingProxyType({}), dialect="native"
)


def story(**lanes: list[int]) -> Story:
    """Make a log of 40 records in 40 parts."""
    return Story(INFO, parts=40, lanes=lanes, epochs=[("epochepoch", 1)])


def drawn(what: Story, width: int = 80) -> list[str]:
    """Draw it, without colours."""
    return [line.plain.rstrip() for line in timeline(what, width)]


def test_a_lane_for_each_kind() -> None:
    """Each kind of event has a lane, its records at their places, and its count."""
    text, end = [1] * 39 + [0], [0] * 39 + [1]
    assert drawn(story(text=text, end=end)) == [
        "            1 ─────────────────────────────────── 40",
        f"       text {'█' * 39}         39",
        f"        end {' ' * 39}█         1",
    ]


def test_a_share_of_what_is_there() -> None:
    """Where a column stands for several records, its height is the share of them."""
    text, tool = [1] * 40, [0] * 40
    text[7], tool[7] = 0, 1
    assert drawn(story(text=text, tool_call=tool), width=42)[1:] == [
        f"       text ███▄{'█' * 16}        39",
        f"  tool_call    ▄{' ' * 16}         1",
    ]


def test_gaps_are_in_the_picture() -> None:
    """What is gone is drawn as gone in a lane of its own, never as silence (I7)."""
    trimmed = story(text=[0] * 20 + [1] * 20)
    trimmed.gaps.append((1, 20))
    assert drawn(trimmed)[1:] == [
        f"       text {'·' * 20}{'█' * 20}        20",
        f"       gone {'▒' * 20}{' ' * 20}        20",
    ]


def test_takeovers_are_in_the_picture() -> None:
    """Where another epoch begins there is a mark."""
    taken = story(text=[1] * 40)
    taken.epochs.append(("otherotherother", 31))
    assert drawn(taken)[-1] == f"     epochs {'─' * 30}╂{'─' * 9}         2"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """The picture fits from 40 columns on; below it stays as narrow as it can be."""
    lines = drawn(story(text=[1] * 40, a_name_that_is_long=[1] * 40), width)
    assert max(map(len, lines)) <= max(width, 32)
    assert any("a_name_tha…" in line for line in lines)


def test_names_cannot_steer_the_terminal() -> None:
    """A name is shown as text."""
    lines = timeline(story(**{"\x1b[31m[bold]": [1] * 40}), 80)
    assert "\\x1b[31m[b…" in lines[1].plain


def test_an_empty_log() -> None:
    """A run without records says so."""
    assert drawn(Story(replace(INFO, last_offset=0))) == ["nothing is stored yet"]
