"""A cursor is exactly `<epoch>:<offset>`; whatever else a client sends is refused before anything is looked up."""

import copy
import pickle
import re
import string
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import Cursor
from sse_relay.exceptions import InvalidCursorError
from tests.properties import examples, hostile_text

GRAMMAR = r"[A-Za-z0-9_.\-]{8,40}:(?:0|[1-9][0-9]{0,17})"
EPOCH_CHARACTERS = string.ascii_letters + string.digits + "_.-"
VALID = ["abcdefgh:0", "a" * 40 + ":1", "A.b_c-9.:17", "--------:999999999999999999", "........:10"]

# What is nearly a cursor: the pieces of some, and what `int`, `\d`, `\w` or `$` would let through.
_PIECES = [
    "abcdefgh",
    "12345678",
    ":",
    "0",
    "17",
    "_",
    "-",
    "+",
    ".",
    " ",
    "\n",
    "\0",
    "\u0661",
    "²",
    "\uff17",
    "é",
    "K",
    "a" * 39,
]
nearly = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join)
numbers = st.integers().map(str) | st.characters(categories=["Nd", "Nl", "No"]) | st.text("+-_ 017\n", max_size=20)


@examples(200)
@given(st.text(EPOCH_CHARACTERS, min_size=8, max_size=40), st.integers(0, 10**18 - 1))
def test_a_cursor_is_read_and_written_back(epoch: str, offset: int) -> None:
    """I11: what matches the grammar is a cursor, and is written exactly as it was read."""
    text = f"{epoch}:{offset}"
    cursor = Cursor.parse(text)
    assert str(cursor) == text
    assert cursor == Cursor(epoch, offset)


@examples(500)
@given(nearly | hostile_text() | st.builds("{}:{}".format, st.just("abcdefgh") | nearly, numbers))
def test_any_text_is_a_cursor_or_an_error(text: str) -> None:
    """I11: any text is read back exactly as it was written, or is `InvalidCursorError`, as the grammar says."""
    if re.fullmatch(GRAMMAR, text):
        assert str(Cursor.parse(text)) == text
        return
    with pytest.raises(InvalidCursorError, match="send back the last event id unchanged") as caught:
        Cursor.parse(text)
    assert caught.value.text == text


def test_a_valid_cursor_in_every_mutation() -> None:
    """I11: one character more, less or other than a valid cursor has makes another valid one, or an error."""
    for text, place, char in product(VALID, range(60), EPOCH_CHARACTERS + ": \n\0\u0663é+"):
        for changed in (text[:place] + char + text[place:], text[:place] + char + text[place + 1 :]):
            if re.fullmatch(GRAMMAR, changed):
                assert str(Cursor.parse(changed)) == changed
            else:
                with pytest.raises(InvalidCursorError):
                    Cursor.parse(changed)


_NEARLY = [
    "",
    ":",
    "abcdefgh",
    "abcdefgh:",
    ":17",
    "abcdefg:17",
    "a" * 41 + ":17",
    "abcdefgh:017",
    "abcdefgh:00",
    "abcdefgh:-1",
    "abcdefgh:+1",
    "abcdefgh:1_0",
    "abcdefgh: 7",
    "abcdefgh:7 ",
    "abcdefgh:7\n",
    "abcdefgh:7\r\n",
    "\ufeffabcdefgh:7",
    "abcdefgh:\u0661\u0662",
    "abcdefgh:\uff17",
    "abcdefgh:²",
    "abcdéfgh:7",
    "abcdefg\ud800:7",
    "abcdefgh:1000000000000000000",
    "abcdefgh:7.0",
    "abcdefgh:1e3",
    "abcdefgh:0x1",
    "abcdefgh:7:7",
    "abcdefgh\uff1a7",
    "abcdefgh:" + "1" * 1_000_000,
    "b" * 1_000_000,
]


def test_what_is_nearly_a_cursor() -> None:
    """I11: signs, blanks, underscores, zeros in front, digits of other scripts, a line break behind: none passes."""
    for text in _NEARLY:
        with pytest.raises(InvalidCursorError) as caught:
            Cursor.parse(text)
        assert isinstance(caught.value, ValueError)
        assert len(str(caught.value)) < 400


class Unshowable:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_what_is_no_text() -> None:
    """I11: what is not text is refused like any other, and the refusal can always be shown."""
    values: list[Any] = [None, 7, 10**5000, b"abcdefgh:7", ["abcdefgh:7"], Unshowable()]
    for value in values:
        with pytest.raises(InvalidCursorError) as caught:
            Cursor.parse(value)
        assert len(str(caught.value)) < 500


def test_no_cursor_is_made_that_could_not_be_read() -> None:
    """I11: the constructor keeps the grammar too, so that every cursor's text is a cursor."""
    epochs: list[Any] = ["", "abcdefg", "a" * 41, "abcdefgh\n", "abcd:fgh", "abcdéfgh", None, b"abcdefgh", 12345678]
    offsets: list[Any] = [-1, 10**18, 10**5000, True, 1.0, "1", None]
    for epoch, offset in (*((epoch, 1) for epoch in epochs), *(("abcdefgh", offset) for offset in offsets)):
        with pytest.raises(InvalidCursorError) as caught:
            Cursor(epoch, offset)
        assert "is not a cursor" in str(caught.value)


def test_a_cursor_is_a_value() -> None:
    """Cursors are compared by epoch and offset, can be keys, copied and pickled, and cannot be changed."""
    cursor = Cursor("abcdefgh", 7)
    changeable: Any = cursor
    assert {cursor: 1}[Cursor.parse("abcdefgh:7")] == 1
    assert cursor not in {Cursor("abcdefgh", 8), Cursor("abcdefgi", 7)}
    assert pickle.loads(pickle.dumps(cursor)) == copy.copy(cursor) == cursor
    with pytest.raises(AttributeError):
        changeable.offset = 8
