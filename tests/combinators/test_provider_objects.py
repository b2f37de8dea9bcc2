"""Whatever a provider's stream comes as → the objects that it says."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from sse_relay import EventTooLargeError, InvalidEventError, ServerSentEvent
from sse_relay.combinators.provider_objects import DONE, ProviderObjects
from tests.properties import examples


def said(*items: Any, max_event_bytes: int = 1000) -> list[Any]:
    """Read the items of one stream to its end."""
    objects = ProviderObjects(max_event_bytes)
    return [*(one for item in items for one in objects.of(item)), *objects.rest()]


def read_into(seen: list[Any], objects: Iterable[Any]) -> None:
    for one in objects:
        seen.append(one)  # noqa: PERF402 - what came before an error counts


def test_kinds_of_items() -> None:
    """B1: a model, a dict, an event, text and bytes of any kind say the same."""

    class Model(BaseModel):
        a: int
        unset: int = 0
        snapshot: dict[str, int] = {}  # grows with the stream: to copy it each time would be quadratic

    text = 'data: {"a":1}\n\n'
    raw = text.encode()
    model = Model(a=1, snapshot={"b": 2})
    for item in (model, {"a": 1}, ServerSentEvent('{"a":1}'), text, raw, bytearray(raw), memoryview(raw)):
        assert said(item) == [{"a": 1}]


def test_a_name_is_a_type() -> None:
    """B1: an event's name is the type of an object that has none, and of no other."""
    assert said(b'event: error\ndata: {"a":1}\n\n') == [{"type": "error", "a": 1}]
    assert said(b'event: error\ndata: {"type":"b"}\n\n') == [{"type": "b"}]


def test_done_is_an_object() -> None:
    """B3: `[DONE]` is told in all its spellings, and not taken from within a text (defect 12)."""
    assert said(b"data: [DONE]\r\n\r\ndata:[DONE] ") == [{"type": DONE}] * 2
    assert said('data: {"a":"[DONE]"}\n\n') == [{"a": "[DONE]"}]


def test_what_says_nothing() -> None:
    """B1: comments, empty events, and JSON that is no object say nothing."""
    assert said(b': ping\n\ndata:\n\ndata: null\n\ndata: [1]\n\ndata: "x"\n\n') == []


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.none(), max_size=4),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 9),
)
@examples(60)
def test_a_json_body(body: dict[str, Any], indent: int | None, size: int) -> None:
    """B1: a body that is JSON as a whole is one object, in any layout and any split."""
    text = json.dumps(body, indent=indent).replace("\n", "\r\n")
    assert said("\n ", *(text[at : at + size] for at in range(0, len(text), size))) == [body]


def test_bounds() -> None:
    """L6: neither an event nor a body grows past its bound; what was whole before it is told first."""
    seen: list[Any] = []
    objects = ProviderObjects(100)
    with pytest.raises(EventTooLargeError):
        read_into(seen, objects.of(b'data: {"a":1}\n\ndata: ' + b"x" * 200))
    assert seen == [{"a": 1}]
    with pytest.raises(EventTooLargeError):
        said(*[b'{"a": "'] * 30, max_event_bytes=100)
    with pytest.raises(ValueError, match="max_event_bytes"):
        ProviderObjects(0)


@pytest.mark.parametrize("data", ["x", "{", "[" * 100_000, "1" * 5000], ids=["word", "half", "deep", "long"])
def test_what_is_no_json(data: str) -> None:
    """I7: data that cannot be read is an error that quotes little of it, after the objects ahead of it."""
    seen: list[Any] = []
    with pytest.raises(InvalidEventError, match="is not the JSON that a provider streams") as caught:
        read_into(seen, ProviderObjects(1 << 20).of(f'data: {{"a":1}}\n\ndata: {data}\n\n'))
    assert seen == [{"a": 1}]
    assert len(repr(caught.value)) < 400
