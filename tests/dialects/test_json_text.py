"""JSON that was read can be written again, and is JSON to every reader."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects.json_text import read_json, read_object, write_json
from tests.properties import examples, hostile_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | hostile_text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
@examples(200)
def test_what_is_read_can_be_written(value: Any) -> None:
    """I10: a value comes back as it was, whatever strings, keys and numbers it has."""
    assert read_json(write_json(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1,]", "<html>", "NaN", "Infinity", "-Infinity", "[1e999]", '{"a":-1e999}', '{"a":NaN}', "9" * 5000,
        "[" * 100_000, '{"a":' * 100_000, "[" * 202 + "]" * 202, '{"a":' * 202 + "1" + "}" * 202, "{} {}",
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    """Numbers that are none, endless nesting and what is no JSON at all are refused, in one way."""
    with pytest.raises(ValueError, match=r"."):
        read_json(text)
    assert read_object(text) == {}


def test_a_nesting_that_is_read_can_be_wrapped() -> None:
    """What is nested 200 levels deep is read, and can be written as a part of something else."""
    text = "[" * 200 + "]" * 200
    assert write_json({"a": [read_json(text)]}) == f'{{"a":[{text}]}}'
    assert read_json("[" + "[]," * 5000 + "{}]") == [[]] * 5000 + [{}]


@pytest.mark.parametrize("text", ["[1]", "1", '"a"', "null", ' {"a":1}'])
def test_only_an_object_is_an_object(text: str) -> None:
    """Of what is JSON, but no object, there is nothing to read."""
    assert read_object(text) == {}
    assert read_object('{"a":1}') == {"a": 1}


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_numbers_that_are_none_are_not_written(value: Any) -> None:
    """What no reader would take is a ValueError to write."""
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(value)
