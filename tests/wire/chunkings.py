"""The ways in which a stream of bytes may arrive, and what a decoder makes of each."""

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

from hypothesis import strategies as st

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.exceptions import EventTooLargeError

Chunks = list[bytes]


def bytewise(stream: bytes) -> Chunks:
    """Cut a stream into single bytes."""
    return [stream[index : index + 1] for index in range(len(stream))]


def in_two(stream: bytes) -> Iterator[Chunks]:
    """Cut a stream in two, at every place."""
    for cut in range(len(stream) + 1):
        yield [stream[:cut], stream[cut:]]


def in_three(stream: bytes) -> Iterator[Chunks]:
    """Cut a stream in three, at every two places."""
    for first, second in combinations(range(len(stream) + 1), 2):
        yield [stream[:first], stream[first:second], stream[second:]]


def in_every_way(stream: bytes) -> Iterator[Chunks]:
    """Cut a stream in each of the 2ⁿ⁻¹ ways there are; for streams of a dozen bytes."""
    places = range(1, len(stream))
    for count in range(len(stream)):
        for cuts in combinations(places, count):
            yield [stream[start:end] for start, end in pairwise((0, *cuts, len(stream)))]


@st.composite
def any_chunks(draw: st.DrawFn, stream: bytes) -> Chunks:
    """Cut a stream at drawn places; a place that is drawn twice is an empty chunk."""
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=8))
    return [stream[start:end] for start, end in pairwise((0, *sorted(cuts), len(stream)))]


def decode(chunks: Iterable[bytes], decoder: EventDecoder | None = None) -> list[ServerSentEvent]:
    """Decode a stream that comes in these chunks."""
    decoder = decoder or EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def decode_bounded(chunks: Iterable[bytes], limit: int) -> tuple[list[object], bool]:
    """Decode under a bound: the events ahead of one that is too large, and whether there was such a one."""
    decoder = EventDecoder(limit)
    events: list[object] = []
    for chunk in chunks:
        try:
            events += decoder.feed(chunk)
        except EventTooLargeError as error:
            return [*events, *error.events], True
    return events, False
