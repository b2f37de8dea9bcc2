"""What is compared gives the same text."""

from json import loads

import pytest

from benchmarks.tool_arguments import TEXTS, again_and_again, arguments, as_it_grows, fragments, of_a_stream


@pytest.mark.parametrize("name", TEXTS)
def test_both_give_the_same_text(name: str) -> None:
    """Each way gives the argument's text, delta by delta, out of the same fragments."""
    text = arguments(name, 2000)
    assert 1700 <= len(text) <= 2100
    assert text.isascii() == (name not in {"prose, with a dash", "many languages"})
    pieces = fragments(text)
    assert "".join(pieces) == text
    ours = list(as_it_grows(pieces))
    assert ours == list(again_and_again(pieces)) == list(of_a_stream(pieces))
    assert "".join(ours) == loads(text)["message"]
