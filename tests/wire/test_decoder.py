"""Bytes become the events that the specification says, whatever way they are split, and within a bound."""

import sys
import tracemalloc
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.exceptions import EventTooLargeError
from tests.properties import examples
from tests.wire import by_the_letter
from tests.wire.chunkings import (
    any_chunks,
    bytewise,
    decode,
    decode_bounded,
    in_every_way,
    in_three,
    in_two,
)
from tests.wire.vectors import MORE, WEB_PLATFORM_TESTS, Vector

VECTORS = pytest.mark.parametrize("vector", [*WEB_PLATFORM_TESTS, *MORE], ids=lambda vector: vector.name)

# What matters to a parser of this format, in pieces that make every kind of line when put in a row.
PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b":", b" ", b"\0", b"\xef\xbb\xbf", b"\xef", b"\xff", b"x", "€😀".encode()),
    *(b"data", b"data:", b"data: ab\n", b"event:", b"event: e\n", b"id", b"id:", b"id: 1\n", b"retry:", b"retry: 12\n"),
    *(b"id: 1\nevent: e\ndata: ab\n\n", b"event: e\ndata: ab\n\n", b"data:  \n\n", "\x85\u2028".encode()),
    *(b":\n", b": ping\n", b": ping\n\n", b": a comment that is longer than every bound here\n"),
]
streams = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


def read(vector: Vector, chunks: list[bytes]) -> Vector:
    """Read a stream that comes in these chunks."""
    decoder = EventDecoder()
    events = decode(chunks, decoder)
    return vector._replace(events=events, last_event_id=decoder.last_event_id, retry=decoder.retry)


@VECTORS
def test_a_vector(vector: Vector) -> None:
    """A stream means what the specification says: whole, byte by byte, in two at every place, in three where short."""
    stream = vector.stream
    assert by_the_letter.parse(stream) == vector[2:]  # what other tests compare to is right
    assert read(vector, [stream]) == vector
    assert read(vector, bytewise(stream)) == vector
    assert read(vector, [chunk for byte in bytewise(stream) for chunk in (b"", byte, b"")]) == vector
    for chunks in in_two(stream):
        assert read(vector, chunks) == vector, chunks
    if len(stream) <= 64:
        for chunks in in_three(stream):
            assert read(vector, chunks) == vector, chunks


def test_a_short_stream_in_every_way() -> None:
    """A short stream means the same in each of the ways in which it can be split."""
    for stream in (
        b"data:1\r\n\r\n:\n",
        b"\xef\xbb\xbfdata\r\r\n:",
        b":\r\ndata\n\rid\n",
        b"\r\n:\n\ndata\n\n",
        "data:😀\r\n\n".encode(),
        b"data\n:a\r\n\r\n",
    ):
        expected = by_the_letter.parse(stream).events
        for chunks in in_every_way(stream):
            assert decode(chunks) == expected, chunks


def test_every_short_sequence_of_lines() -> None:
    """Every sequence of five of the pieces that decide over lines and events means what the specification says."""
    for pieces in product((b"data:x", b":c", b"\r", b"\n", b"\n\n", b"id:1"), repeat=5):
        stream = b"".join(pieces)
        expected = by_the_letter.parse(stream)
        for chunks in ([stream], list(pieces)):
            decoder = EventDecoder()
            assert (decode(chunks, decoder), decoder.last_event_id, decoder.retry) == expected, chunks


@examples(400)
@given(streams, st.data())
def test_any_stream_in_any_chunks(stream: bytes, data: st.DataObject) -> None:
    """Any stream, in any chunks, means what the specification says."""
    chunks = data.draw(any_chunks(stream))
    decoder = EventDecoder()
    assert (decode(chunks, decoder), decoder.last_event_id, decoder.retry) == by_the_letter.parse(stream)


@examples(100)
@given(st.binary(max_size=200), st.data())
def test_any_bytes(stream: bytes, data: st.DataObject) -> None:
    """Bytes that are no event stream at all never raise, and mean the same in any chunks."""
    assert decode(data.draw(any_chunks(stream))) == decode([stream])


def test_events_come_as_soon_as_they_are_whole() -> None:
    """An event comes with the byte that ends its blank line; a CR there does not wait for an LF (WHATWG §9.2.6)."""
    decoder = EventDecoder()
    assert decoder.feed(b"data:1\r\n") == []
    assert decoder.feed(b"\r") == [ServerSentEvent("1")]
    assert decoder.feed(b"\ndata:2\n") == []
    assert decoder.feed(b"\n") == [ServerSentEvent("2")]


def test_the_id_sticks_to_the_decoder_and_not_to_the_event() -> None:
    """`event.id` is what the block said, None for nothing; `last_event_id` is what a reader sends back to resume."""
    decoder = EventDecoder()
    first, second = decoder.feed(b"id: 1\ndata: a\n\ndata: b\n\n")
    assert (first.id, second.id, decoder.last_event_id) == ("1", None, "1")


# --- the bound


@examples(400)
@given(streams, st.integers(1, 24), st.data())
def test_the_bound_is_the_same_in_any_chunks(stream: bytes, limit: int, data: st.DataObject) -> None:
    """Which events come, and whether one is too large, does not depend on how the bytes are split."""
    expected = by_the_letter.parse_bounded(stream, limit)
    assert decode_bounded([stream], limit) == expected
    assert decode_bounded(bytewise(stream), limit) == expected
    assert decode_bounded(data.draw(any_chunks(stream)), limit) == expected


@pytest.mark.parametrize("position", ["alone", "first", "last", "behind a comment", "behind a mark of the byte order"])
def test_the_bound_is_exact(position: str) -> None:
    """An event of exactly the bound passes and one byte more does not, with each line break, wherever it stands."""
    event = "event: e\ndata: 😀€é".encode()
    other, ahead, behind = b"data: y\n\n", b"", b"\n\n"
    match position:
        case "first":
            behind += other
        case "last":
            ahead = other
        case "behind a comment":
            ahead = b": " + b"c" * 99 + b"\n"
        case "behind a mark of the byte order":
            ahead = b"\xef\xbb\xbf"
        case _:
            pass
    before = [ServerSentEvent("y")] if position == "last" else []
    after = [ServerSentEvent("y")] if position == "first" else []
    passes = ([*before, ServerSentEvent("😀€é", event="e"), *after], False)
    for line_break in (b"\n", b"\r", b"\r\n"):
        stream = (ahead + event + behind).replace(b"\n", line_break)
        for chunks in ([stream], bytewise(stream), *in_two(stream)):
            assert decode_bounded(chunks, len(event)) == passes, chunks
            assert decode_bounded(chunks, len(event) - 1) == (before, True), chunks


def test_an_event_that_never_ends_is_refused_when_it_passes_the_bound() -> None:
    """The bound holds without a blank line: a stream of data lines raises with the byte that is too much."""
    decoder = EventDecoder(20)
    assert decoder.feed(b"data:678\ndata:567890") == []
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"1")


def test_the_error_holds_what_came_before() -> None:
    """The events that the same call completed ahead of the large one are in the error, and nothing behind it is."""
    with pytest.raises(EventTooLargeError) as caught:
        EventDecoder(12).feed(b"id: 1\ndata: a\n\n\ndata: b\n\ndata: too large\n\ndata: c\n\n")
    assert caught.value.limit == 12
    assert caught.value.events == ()  # the first one is 13 bytes
    decoder = EventDecoder(13)
    with pytest.raises(EventTooLargeError) as caught:
        decoder.feed(b"id: 1\ndata: a\n\n\ndata: b\n\nid: 2\ndata: too large\n\ndata: c\n\n")
    assert caught.value.events == (ServerSentEvent("a", id="1"), ServerSentEvent("b"))
    assert decoder.last_event_id == "1"


@pytest.mark.parametrize("stream", [b"data: too large", b"data: too large\n\n", b"data\n\ndata: too large"], ids=repr)
def test_the_decoder_stays_broken(stream: bytes) -> None:
    """After an event that is too large there is no next event to find: every call raises, and brings none."""
    decoder = EventDecoder(8)
    with pytest.raises(EventTooLargeError):
        decoder.feed(stream)
    for chunk in (b"", b"\n", b"\n\n", b"data: x\n\n"):
        with pytest.raises(EventTooLargeError) as caught:
            decoder.feed(chunk)
        assert caught.value.events == ()


def test_a_bound_of_nothing_is_refused() -> None:
    """A bound that no event could keep is a mistake of the caller."""
    for limit in (0, -1):
        with pytest.raises(ValueError, match="max_event_bytes must be positive"):
            EventDecoder(limit)


@pytest.mark.parametrize("heartbeat", [b": ping\n", b":\r\n", b": ping\n\n", b"\n"], ids=repr)
def test_heartbeats_never_add_up(heartbeat: bytes) -> None:
    """A stream may be silent but for heartbeats as long as it likes: they count for no event and are not kept."""
    decoder = EventDecoder(8)
    silence = heartbeat * 1000
    for size in (1, 3, 1000):
        for start in range(0, len(silence), size):
            assert decoder.feed(silence[start : start + size]) == []
            assert len(decoder._pending) <= 1
    assert decoder.feed(b"data: ok\n\n") == [ServerSentEvent("ok")]


def test_a_comment_of_any_length_is_not_kept() -> None:
    """A comment ahead of an event is dropped as it comes, however long it is: it is no part of the event."""
    decoder = EventDecoder(8)
    for chunk in (b":", *[b"x" * 1000] * 100):
        assert decoder.feed(chunk) == []
        assert len(decoder._pending) == 1
    assert decoder.feed(b"data: no\n\ndata: ok\n\n") == [ServerSentEvent("ok")]


def test_tiny_pieces_cost_no_more_memory_than_their_bytes() -> None:
    """An event that comes in pieces of two bytes is kept as one buffer, not as as many objects."""
    decoder = EventDecoder()
    for _ in range(20_000):
        decoder.feed(b"xy")
    assert sys.getsizeof(decoder._pending) < 2 * 40_000


@pytest.mark.parametrize("line", [b":\n", b"\n", b": ping\n"], ids=repr)
def test_a_chunk_of_nothing_but_comments_costs_no_more_memory_than_its_bytes(line: bytes) -> None:
    """A large chunk of short lines, from a hostile source, is dropped without a structure for each of them."""
    chunk = line * (2**18 // len(line))
    decoder = EventDecoder()
    tracemalloc.start()
    try:
        assert decoder.feed(chunk) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(chunk)
    assert decoder.feed(b"data: ok\n\n") == [ServerSentEvent("ok")]
