"""Spans of time, read and written."""

import pytest

from sse_relay.commands.spans import seconds_of, span


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("1.5s", 1.5), ("10m", 600), ("2h", 7200), ("7 d", 604800)]
)
def test_a_span_is_read(text: str, seconds: float) -> None:
    """A span is a number and a unit; without one it is seconds."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1s", "5x", "1e3", "١٢", "1_0", "9" * 40, "nan"])
def test_what_is_no_span(text: str) -> None:
    """Anything else is refused, with what to write."""
    with pytest.raises(ValueError, match="write 30s"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0.0 s"), (3.21, "3.2 s"), (60, "1 min"), (7200, "2.0 h"), (864000, "10 d")]
)
def test_a_span_is_written(seconds: float, text: str) -> None:
    """A span is written in its largest unit; clocks that differ make no negative one."""
    assert span(seconds) == text
