"""Events become the bytes that the specification reads them back from, and nothing can write lines of its own."""

import dataclasses
import math
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from sse_relay import ServerSentEvent
from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.encoder import MAX_RETRY, encode, encode_json, frame, require_encodable, to_utf8
from tests.properties import examples, hostile_text, received
from tests.wire import by_the_letter
from tests.wire.chunkings import any_chunks, bytewise, decode

_CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]

names = hostile_text(6).map(lambda text: re.sub("[\x00-\x1f\x7f-\x9f]", "", text))
events = st.builds(
    ServerSentEvent,
    hostile_text(),
    event=st.none() | names,
    id=st.none() | names,
    retry=st.none() | st.integers(0, MAX_RETRY),
)


def normalised(text: str) -> str:
    """Say what arrives of data: every line break as LF."""
    return received(re.sub("\r\n|\r", "\n", text))


@examples(300)
@given(events, st.data())
def test_what_is_encoded_is_read_back(event: ServerSentEvent, data: st.DataObject) -> None:
    """I10: decode(encode(x)) == x in any chunks; CR and CRLF in data arrive as LF, half a character as U+FFFD."""
    expected = [
        ServerSentEvent(
            normalised(event.data or ""),
            event=None if event.event is None else received(event.event),
            id=None if event.id is None else received(event.id),
            retry=event.retry,
        )
    ]
    encoded = event.encode()
    assert decode(data.draw(any_chunks(encoded))) == expected
    assert decode(bytewise(encoded)) == expected
    assert by_the_letter.parse(encoded).events == expected


@examples(60)
@given(st.lists(events, max_size=6), st.data())
def test_a_stream_is_the_events_in_a_row(sent: list[ServerSentEvent], data: st.DataObject) -> None:
    """I10: what is concatenated is read back in order; no event reaches into the next."""
    chunks = data.draw(any_chunks(b"".join([event.encode() for event in sent])))
    assert decode(chunks) == [found for event in sent for found in decode([event.encode()])]


@examples(200)
@given(hostile_text(), st.none() | hostile_text())
def test_no_comment_is_anything_but_a_comment(comment: str, data: str | None) -> None:
    """A comment cannot write an event, a field or a blank line, whatever is in it, and is not part of what is read."""
    encoded = ServerSentEvent(data, comment=comment).encode()
    assert decode([encoded]) == decode([ServerSentEvent(data).encode()])
    assert decode([encoded, b"data: next\n\n"])[-1] == ServerSentEvent("next")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ServerSentEvent(), b"data: \n\n"),
        (ServerSentEvent("Hi"), b"data: Hi\n\n"),
        (ServerSentEvent(" Hi"), b"data:  Hi\n\n"),
        (ServerSentEvent("a\nb\rc\r\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (ServerSentEvent("\r\n\n\r"), b"data: \ndata: \ndata: \ndata: \n\n"),
        (ServerSentEvent("a\x0b\x0c\x1c\x85\u2028b"), "data: a\x0b\x0c\x1c\x85\u2028b\n\n".encode()),
        (ServerSentEvent("\ud83d|\ude00|\ud83d\ude00"), "data: \ufffd|\ufffd|😀\n\n".encode()),
        (ServerSentEvent("x", event="", id=""), b"id: \nevent: \ndata: x\n\n"),
        (
            ServerSentEvent("x", event="text", id="1", retry=5, comment="hi"),
            b": hi\nretry: 5\nid: 1\nevent: text\ndata: x\n\n",
        ),
        (ServerSentEvent("x", comment="a\r\n\nb"), b": a\n:\n: b\ndata: x\n\n"),
        (ServerSentEvent(None), b"\n"),
        (ServerSentEvent(None, comment="ping"), b": ping\n"),
        (ServerSentEvent(None, comment=""), b":\n"),
        (ServerSentEvent(None, id="1"), b"id: 1\n\n"),
        (ServerSentEvent(None, retry=5, comment="ping"), b": ping\nretry: 5\n\n"),
    ],
    ids=repr,
)
def test_exact_bytes(event: ServerSentEvent, expected: bytes) -> None:
    """The bytes are exactly these: LF, one space, and a pure comment is one line without a blank one behind it."""
    assert event.encode() == expected
    assert encode(event) == expected


@examples(60)
@given(events, hostile_text())
def test_a_frame_leaves_out_what_belongs_to_a_connection(event: ServerSentEvent, comment: str) -> None:
    """A frame has the name and the data only; an id is one line in front of it: a replay prefixes and concatenates."""
    stored = frame(event.replace(comment=comment))
    assert stored == ServerSentEvent(event.data, event=event.event).encode()
    assert b"id: abcdefgh:7\n" + stored == ServerSentEvent(event.data, event=event.event, id="abcdefgh:7").encode()


@pytest.mark.parametrize("field", ["event", "id"])
def test_no_control_character_passes(field: str) -> None:
    """CR, LF, NUL and every other control character in a name or an id is refused when encoding, never stripped."""
    for control in _CONTROLS:
        for value in (control, f"a{control}", f"{control}a", f"a{control}data: x"):
            options: dict[str, Any] = {field: value}
            event = ServerSentEvent("x", **options)
            with pytest.raises(InvalidEventError, match=f"{field} .*control character .*; remove it") as caught:
                event.encode()
            assert isinstance(caught.value, ValueError)
            assert (caught.value.field, caught.value.value) == (field, value)
            with pytest.raises(InvalidEventError):
                require_encodable(event)
            if field == "event":
                with pytest.raises(InvalidEventError):
                    frame(event)


@examples(150)
@given(st.none() | hostile_text(), st.none() | hostile_text())
def test_what_is_encodable_is_known_without_encoding(name: str | None, event_id: str | None) -> None:
    """`require_encodable` raises when `encode` would, and only then."""
    event = ServerSentEvent("x", event=name, id=event_id)
    raised = []
    for check in (encode, require_encodable):
        try:
            check(event)
        except InvalidEventError as error:
            raised.append((error.field, error.value))
    assert len(raised) in {0, 2}
    has_control = any(char in _CONTROLS for char in (name or "") + (event_id or ""))
    assert bool(raised) is has_control


@examples(200)
@given(hostile_text())
def test_utf8_never_raises(text: str) -> None:
    """Any text can be sent: half a character becomes U+FFFD, a character in two halves is the character."""
    assert to_utf8(text) == received(text).encode()


# --- JSON


class Usage(BaseModel):
    """A model with an alias."""

    input_tokens: int = Field(serialization_alias="inputTokens")


@dataclasses.dataclass
class Point:
    """A dataclass with a field that JSON has no word for."""

    x: int
    when: datetime


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"a": [1, 2.5, None, True], "b": "é…😀"}, '{"a":[1,2.5,null,true],"b":"é…😀"}'),
        ([], "[]"),
        ("a\r\n\0", '"a\\r\\n\\u0000"'),
        (Usage(input_tokens=3), '{"inputTokens":3}'),
        (Point(1, datetime(2026, 1, 2, tzinfo=UTC)), '{"x":1,"when":"2026-01-02T00:00:00Z"}'),
        ({"nested": [Usage(input_tokens=3)]}, '{"nested":[{"inputTokens":3}]}'),
    ],
    ids=repr,
)
def test_json_is_compact(obj: object, expected: str) -> None:
    """JSON is written without blanks or escapes that are not needed; models by alias, dataclasses as pydantic does."""
    assert encode_json(obj) == expected


def _cycle() -> list[object]:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


def _deep() -> list[object]:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


_NOT_JSON = [
    *(math.nan, {"a": math.inf}, [-math.inf], 10**5000),
    *(object(), {(1, 2): 3}, {"a": {1, 2}, "b": object}, _cycle()),
]


def test_what_is_not_json_is_refused() -> None:
    """NaN, infinities, unknown types and cycles raise what says so, before anything is sent."""
    for obj in _NOT_JSON:
        with pytest.raises(InvalidEventError, match=r"is not JSON .*; pass dicts, lists"):
            encode_json(obj)


def test_a_nesting_too_deep_is_refused() -> None:
    """A structure that is nested too deep raises what says so, and not RecursionError."""
    deep = _deep()
    with pytest.raises(InvalidEventError, match="is not JSON"):
        encode_json(deep)
