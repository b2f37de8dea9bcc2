"""The inside of a JSON string is what a parser reads between its quotes, in whatever pieces it comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects.json_string import SURROGATE, unescaped, unescaped_start
from tests.properties import examples

PIECES = st.lists(st.sampled_from([*'"\\bu0\n', "\\u00e9", "\\ud83d", "\\ude00", "\ud83d", "é", "a "])).map("".join)


@given(PIECES)
@examples(200)
def test_the_inside_is_what_a_parser_reads(inside: str) -> None:
    """H6: as `json.loads` with its quotes; a start is told only if it is decoded to the last character but one."""
    try:
        said = json.loads(f'"{inside}"', strict=False)
    except ValueError:
        said = None
    if said is not None:
        assert unescaped(inside) == said
    start = unescaped_start(inside)
    if start is not None:
        text, half = start
        assert text == json.loads(f'"{inside.removesuffix(half)}"', strict=False)
        assert half in {"", "\\"}
        assert SURROGATE.search(text) is None
    else:
        assert said is None or SURROGATE.search(said) is not None


@pytest.mark.parametrize(
    ("inside", "start"),
    [
        ("Hi\\n", ("Hi\n", "")),
        ("Hi\\", ("Hi", "\\")),
        ("Hi\\\\", ("Hi\\", "")),
        ("\\\\\\", ("\\", "\\")),
        ("\\u00e9", ("é", "")),
        ("\t\n", ("\t\n", "")),
        ("", ("", "")),
        ("\\u00", None),
        ("\\x", None),
        ('a"', None),
        ('a"b', None),
        ("\\ud83d", None),
        ("\ude00", None),
    ],
)
def test_what_is_not_whole_is_not_told(inside: str, start: tuple[str, str] | None) -> None:
    """H6: half an escape waits, and what may end the string, or be half a character, is for a closer look."""
    assert unescaped_start(inside) == start


def test_what_is_no_escape_is_an_error() -> None:
    """Nobody guesses what was meant."""
    with pytest.raises(ValueError, match="escape"):
        unescaped("\\x")
