"""The built-in text, and the pace at which it is sent."""

import asyncio

import pytest

from sse_relay.demo.text import load_text, paced, pauses, tokens_of
from sse_relay.dialects import TextDelta
from sse_relay.testing import run_virtual


def test_the_text_is_an_essay() -> None:
    """The built-in text has a heading, paragraphs, and 600 to 900 words."""
    text = load_text()
    assert text.startswith("# The Last Event\n\n")
    assert 600 <= len(text.split()) <= 900
    assert text.endswith("Out.")


@pytest.mark.parametrize("text", ["", " ", "na\u00efve, don\u2019t\r\n\n  x", "\U0001f642 extraordinarily"], ids=ascii)
def test_tokens_joined_are_the_text(text: str) -> None:
    """Cutting loses nothing."""
    assert "".join(tokens_of(load_text())) == load_text()
    assert "".join(tokens_of(text)) == text


def test_long_words_come_in_two() -> None:
    """A token has its space ahead of it, and a long word is two tokens."""
    assert list(tokens_of("A telegraph keyed.")) == ["A", " tele", "graph", " keyed", "."]


def test_the_pace_is_uneven_and_kept() -> None:
    """Pauses differ, and their mean is the one asked for."""
    waits = list(pauses(500, tokens_per_second=50))
    assert sum(waits) == pytest.approx(10, rel=0.02)
    assert max(waits) > 2 * min(waits) > 0


def test_paced_sends_every_token_in_time() -> None:
    """The first token takes its time, then each comes as text."""

    async def send() -> tuple[list[TextDelta], float]:
        deltas = [each async for each in paced(["a", "b"], tokens_per_second=10, first_token=3)]
        return deltas, asyncio.get_running_loop().time()

    deltas, took = run_virtual(send())
    assert deltas == [TextDelta("a"), TextDelta("b")]
    assert 3.05 < took < 3.4
