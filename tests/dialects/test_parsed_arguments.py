"""A last look at arguments finds what there is, and says whether that is all."""

import json
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects.parsed_arguments import parse_arguments
from sse_relay.dialects.tool_arguments import ArgumentText
from tests.dialects.json_texts import Pairs, values, write
from tests.properties import examples, hostile_text, received


@pytest.mark.parametrize(
    ("text", "value", "whole"),
    [
        ('{"a": "x", "b": [1, 2.5, null, true]}', {"a": "x", "b": [1, 2.5, None, True]}, True),
        ('{"a":1,"a":2}', {"a": 2}, True),
        ('{"a":"1\n2"}', {"a": "1\n2"}, True),
        ('{\n"a\0":\t"\\\\\n"}\n', {"a\0": "\\\n"}, True),
        ('{"a":"\\ud83d\\ude00 \\ud83d \\ude00"}', {"a": "😀 \ufffd \ufffd"}, True),
        ('{"a":"\ud83d"}', {"a": "\ufffd"}, True),
        ('{"a":"\\\\ud83d"}', {"a": "\\ud83d"}, True),
        ('"x"', "x", True),
        ("", None, False),
        ("{", {}, False),
        ('{"a', {}, False),
        ('{"a"', {}, False),
        ('{"a":tru', {}, False),
        ('{"a":1', {"a": 1}, False),
        ('{"a":[1,{"b":"x', {"a": [1, {"b": "x"}]}, False),
        ('{"a":"x\\', {"a": "x"}, False),
        ('{"a":"x\\u00', {"a": "x"}, False),
        ('{"a":"x\\ud83d', {"a": "x"}, False),
        ('{"a":"x\\ud83d\\ude0', {"a": "x"}, False),
        ('{"a":"x\n\\ud83d\\', {"a": "x\n"}, False),
        ('{"a":"x\\ud83dy\nz', {"a": "x\ufffdy\nz"}, False),
        ('{"a":1} and more', {"a": 1}, False),
        ("I will call the tool now.", None, False),
        ('{"a":"\\x"}', None, False),
        ('{"a":"\\\n"}', None, False),
        ("{'a':1}", None, False),
        ("[" * 100_000, None, False),
        ('{"a":' * 100_000, None, False),
        ('{"a":' + "1" * 5000 + "}", None, False),
    ],
)
def test_what_there_is(text: str, value: object, whole: bool) -> None:
    """H7: whole, cut off, sloppy, followed by more, or no JSON: each has its value, and says whether that is all."""
    assert parse_arguments(text) == (value, whole)


def test_numbers_that_json_has_not() -> None:
    """H7: NaN and infinities are numbers, as models write them."""
    value, whole = parse_arguments('{"a":NaN,"b":-Infinity}')
    assert math.isnan(value["a"])
    assert value["b"] == -math.inf
    assert whole


@examples(80)
@given(values(hostile_text(4).map(received)), st.randoms(use_true_random=False))
def test_whole_arguments_are_their_value(value: object, how: Random) -> None:
    """H7: what is JSON but for control characters is what `json.loads` says it is."""
    text = write(value, how)
    parsed, whole = parse_arguments(text)
    assert whole
    assert repr(parsed) == repr(json.loads(text, strict=False))


@examples(60)
@given(hostile_text(), hostile_text(4), st.randoms(use_true_random=False))
def test_last_look_agrees_with_the_growing_text(message: str, other: str, how: Random) -> None:
    """H6, H7: cut off anywhere, the argument's text is what has been given out of it."""
    text = write(Pairs([("a", received(other)), ("message", received(message))]), how)
    arguments, said = ArgumentText("message"), ""
    for end, char in enumerate(text, 1):
        said += arguments.feed(char)
        value, whole = parse_arguments(text[:end])
        assert value.get("message", "") == said
        assert whole == arguments.complete


@examples(200)
@given(hostile_text(30) | st.text())
def test_no_text_raises(text: str) -> None:
    """H7: whatever a model writes, a last look at it raises nothing."""
    for hostile in (text, f'{{"a":"{text}', f'{{"a":{text}'):
        value, whole = parse_arguments(hostile)
        assert value is not None or not whole or json.loads(hostile) is None
