"""A delta has one canonical frame, is read back from it as it was, and nothing else passes for one."""

from dataclasses import asdict
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.dialects import (
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    delta_of,
    event_of,
)
from sse_relay.dialects.deltas import DELTA_NAMES
from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.encoder import encode_json, frame
from tests.properties import examples, hostile_text, received

FRAMES: list[tuple[Delta, bytes]] = [
    (TextDelta("Hi"), b'event: text\ndata: {"text":"Hi"}\n\n'),
    (TextDelta(""), b'event: text\ndata: {"text":""}\n\n'),
    (TextDelta("Hi", choice=1), b'event: text\ndata: {"text":"Hi","choice":1}\n\n'),
    (TextDelta('é…😀\r\n"\\\0'), 'event: text\ndata: {"text":"é…😀\\r\\n\\"\\\\\\u0000"}\n\n'.encode()),
    (ReasoningDelta("so"), b'event: reasoning\ndata: {"text":"so"}\n\n'),
    (RefusalDelta("no"), b'event: refusal\ndata: {"text":"no"}\n\n'),
    (ToolCallDelta(), b"event: tool_call\ndata: {}\n\n"),
    (ToolCallDelta('{"a":'), b'event: tool_call\ndata: {"arguments":"{\\"a\\":"}\n\n'),
    (
        ToolCallDelta("{", id="c1", name="f", index=0, choice=2),
        b'event: tool_call\ndata: {"arguments":"{","id":"c1","name":"f","index":0,"choice":2}\n\n',
    ),
    (ToolResult("c1", "42"), b'event: tool_result\ndata: {"id":"c1","content":"42"}\n\n'),
    (Usage(3, 0), b'event: usage\ndata: {"input_tokens":3,"output_tokens":0}\n\n'),
    (Finish("stop"), b'event: finish\ndata: {"reason":"stop"}\n\n'),
    (Finish("length", choice=1), b'event: finish\ndata: {"reason":"length","choice":1}\n\n'),
]

texts = hostile_text()
choices = st.integers(0, 3) | st.integers()
deltas: st.SearchStrategy[Delta] = st.one_of(
    st.builds(TextDelta, texts, choice=choices),
    st.builds(ReasoningDelta, texts, choice=choices),
    st.builds(RefusalDelta, texts, choice=choices),
    st.builds(
        ToolCallDelta,
        texts,
        id=st.none() | texts,
        name=st.none() | texts,
        index=st.none() | st.integers(),
        choice=choices,
    ),
    st.builds(ToolResult, texts, texts),
    st.builds(Usage, st.integers(), st.integers()),
    st.builds(Finish, texts, choice=choices),
)


def whole(delta: Delta) -> Delta:
    """Say what arrives of a delta: half a character is U+FFFD."""
    arrived: dict[str, Any] = {
        key: received(value) if isinstance(value, str) else value for key, value in asdict(delta).items()
    }
    return type(delta)(**arrived)


def test_canonical_frames() -> None:
    """The frame of each delta is exactly this: its name, and a compact object that leaves defaults out."""
    for delta, expected in FRAMES:
        assert event_of(delta).encode() == frame(event_of(delta)) == expected
    assert {type(delta) for delta, _ in FRAMES} == set(get_args(Delta)) == set(DELTA_NAMES)


@examples(400)
@given(deltas)
def test_a_delta_is_read_back(delta: Delta) -> None:
    """I10: delta_of(event_of(d)) == d for every delta, in memory and over the wire; half a character is U+FFFD."""
    event = event_of(delta)
    assert delta_of(event) == whole(delta)
    (arrived,) = EventDecoder().feed(event.encode())
    assert delta_of(arrived) == whole(delta)


@examples(200)
@given(st.sampled_from([TextDelta, ReasoningDelta, RefusalDelta]), texts)
def test_the_short_way_writes_what_the_general_way_writes(cls: type[TextDelta], text: str) -> None:
    """Text takes a short way to its frame, and it is the same frame."""
    event = ServerSentEvent(encode_json({"text": text}), event=DELTA_NAMES[cls])
    assert event_of(cls(text)) == event
    assert (event_of(cls(text)).encode(), frame(event_of(cls(text)))) == (event.encode(), frame(event))


def test_wrong_types_are_refused() -> None:
    """A field of another type than it is declared with is refused where the delta is written: nothing is coerced."""
    some: Any = [None, 5, b"x", ["x"], {"a": 1}, True, 1.5, UUID(int=7), TextDelta("x"), 10**5000]
    number: Any = [None, "1", 1.0, 1.5, True, [1], b"1"]
    wrong = [
        *(cls(value) for cls in (TextDelta, ReasoningDelta, RefusalDelta, Finish, ToolCallDelta) for value in some),
        *(ToolCallDelta("", id=value) for value in some if value is not None),
        *(ToolCallDelta("", name=value) for value in some if value is not None),
        *(ToolCallDelta("", index=value) for value in number if value is not None),
        *(cls("x", choice=value) for cls in (TextDelta, ToolCallDelta, Finish) for value in number if value != 1),
        *(ToolResult(value, "x") for value in some),
        *(ToolResult("x", value) for value in some),
        *(Usage(value, 1) for value in number),
        *(Usage(1, value) for value in number),
    ]
    for delta in wrong:
        with pytest.raises(InvalidEventError) as caught:
            event_of(delta)
        assert str(caught.value)


@pytest.mark.parametrize("name", DELTA_NAMES.values())
def test_what_is_not_the_object_of_a_delta_is_refused(name: str) -> None:
    """An event that has a delta's name and other data is `InvalidEventError`, at any depth and of any kind."""
    for data in ("", "{", "null", "[]", '"x"', "5", "not JSON", "[" * 100_000, '{"text":', "\ud800", '{"choice":"0"}'):
        with pytest.raises(InvalidEventError, match=f"is not the object of a {name} delta") as caught:
            delta_of(ServerSentEvent(data, event=name))
        assert caught.value.field == "data"
    with pytest.raises(InvalidEventError):
        delta_of(ServerSentEvent(None, event=name))


@examples(200)
@given(st.sampled_from(sorted(DELTA_NAMES.values())), texts)
def test_any_data_is_a_delta_or_an_error(name: str, data: str) -> None:
    """Whatever a source sends under a delta's name, reading it gives a delta or `InvalidEventError`."""
    try:
        delta = delta_of(ServerSentEvent(data, event=name))
    except InvalidEventError:
        return
    assert delta is not None
    assert DELTA_NAMES[type(delta)] == name


def test_unknown_fields_are_ignored() -> None:
    """A newer producer may say more: fields that are not known are left out, whatever they hold."""
    more = '{"reason":"stop","later":{"a":[1]},"text":5}'
    assert delta_of(ServerSentEvent(more, event="finish")) == Finish("stop")
    assert delta_of(ServerSentEvent('{ "x" : null , "text" : "Hi" }', event="text")) == TextDelta("Hi")


def test_events_of_the_application_are_no_deltas() -> None:
    """Unnamed events and names that are not a delta's are the application's own, whatever their data."""
    for name in (None, "", "Text", "text ", "texts", "end", "gap", "error", "message"):
        assert delta_of(ServerSentEvent('{"text":"Hi"}', event=name)) is None


def test_positional_arguments() -> None:
    """The content of a delta is positional; what says where it belongs is named."""
    make: Any = [TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, Finish]
    for cls in make:
        assert cls("x").choice == 0
        with pytest.raises(TypeError):
            cls("x", 1)
    assert not hasattr(TextDelta("x"), "__dict__")
