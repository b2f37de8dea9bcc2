"""Free-form inputs of custom tools, as the JSON that every other tool gets."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects.custom_inputs import INPUT, CustomInputs
from sse_relay.dialects.tool_arguments import ArgumentText
from tests.properties import examples, hostile_text, received

HERE = 0, 1


@given(st.lists(hostile_text(), max_size=4))
@examples(100)
def test_an_input_is_json_with_its_text(pieces: list[str]) -> None:
    """Whatever the pieces, halves of characters too, the JSON says their text, also as it grows."""
    inputs = CustomInputs()
    told = [inputs.more(HERE, piece) for piece in pieces]
    told.append(inputs.end(HERE))
    whole = "".join(told)
    assert received(json.loads(whole)[INPUT]) == received("".join(pieces))
    assert whole.isascii()
    text = ArgumentText(INPUT)
    assert "".join(map(text.feed, told)) == received("".join(pieces))
    assert text.complete


def test_what_is_repeated_whole_is_told_once() -> None:
    """At its end an input is repeated, more than once: only one that nothing came of is taken from there."""
    inputs = CustomInputs()
    assert inputs.more(HERE, "a") + inputs.end(HERE, "a") + inputs.end(HERE, "a") + inputs.more(HERE, "b") == (
        '{"input":"a"}'
    )
    assert inputs.end((0, None), "whole") == '{"input":"whole"}'


def test_inputs_are_kept_apart() -> None:
    """Each is told at its place, and the places of those that are open are known."""
    inputs = CustomInputs()
    assert (inputs.more((0, 0), "a"), inputs.more((1, 0), "b"), inputs.more((0, 0), "c")) == (
        '{"input":"a', '{"input":"b', "c",
    )  # fmt: skip
    inputs.end((0, 0))
    assert inputs.open() == [(1, 0)]
