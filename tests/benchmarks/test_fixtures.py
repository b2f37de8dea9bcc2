"""The inputs of the benchmarks parse, and all that is compared does the same job."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.combinators import CASES
from benchmarks.decoders import DECODERS
from benchmarks.edge import drive
from benchmarks.fixtures import LINES, LONG, SHAPES, TEXT, Event, Shape, chunks, long_line, many_lines
from benchmarks.servers import APPS, OURS, Message, bursts
from benchmarks.wire import FIELDS
from sse_relay import EventDecoder, ServerSentEvent

COUNT = 50


def read(name: str, stream: Sequence[bytes]) -> list[Event]:
    """Decode with a decoder of that name; what is missing is None, however the decoder says so."""
    try:
        decode = DECODERS[name]()
    except ImportError as error:
        pytest.skip(f"{name} is not installed: {error}")
    return [
        (event.data, {"message": None}.get(event.event, event.event) or None, event.id or None)
        for event in decode(stream)
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shapes_are_of_one_size(shape: Shape) -> None:
    """Each shape is one event of 180 bytes, and differs from the one before."""
    assert len(shape.frame) == 180
    assert shape.frame.endswith(b"\n\n")
    assert shape.frame.count(b"\n\n") == 1
    assert all(one.frame != other.frame for one, other in pairwise(SHAPES))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_decoders_agree_on_the_shapes(name: str, shape: Shape) -> None:
    """Every decoder reads the same events out of a stream of each shape, cut as in the benchmark."""
    stream = shape.stream(COUNT)
    assert len(stream) > 1
    assert read(name, stream) == [shape.event] * COUNT


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_agree_on_long_events(name: str) -> None:
    """Every decoder reads one event out of one long line, and out of many lines."""
    assert read(name, chunks(long_line(LONG // 10))) == [("x" * (LONG // 10), None, None)]
    assert read(name, chunks(many_lines(LINES // 10))) == [
        ("\n".join(["one of many lines"] * (LINES // 10)), None, None)
    ]


@pytest.mark.parametrize("fields", FIELDS.values(), ids=list(FIELDS))
def test_encoders_agree(fields: dict[str, Any]) -> None:
    """The peer's encoder says the same as ours."""
    peer: Any = pytest.importorskip("sse_starlette")
    event = ServerSentEvent(TEXT, **fields)
    assert EventDecoder().feed(event.encode()) == [event]
    assert EventDecoder().feed(peer.ServerSentEvent(TEXT, **fields).encode()) == [event]


@pytest.mark.parametrize("name", APPS)
def test_applications_serve_the_same(name: str) -> None:
    """Every application sends the same bytes; ours says how it ended, too."""
    try:
        app = APPS[name]({"/": lambda: bursts(COUNT)})
    except ImportError as error:
        pytest.skip(f"{name} is not installed: {error}")
    bodies: list[bytes] = []

    async def send(message: Message) -> None:
        bodies.append(message.get("body", b""))

    asyncio.run(drive(app, send))
    frames = b"".join(bodies).split(b"\n\n")
    assert frames[:COUNT] == [f"data: {TEXT}".encode()] * COUNT
    end = [b'event: end\ndata: {"status":"completed","reason":null,"error":null}'] if name == OURS else []
    assert frames[COUNT:] == [*end, b""]


@pytest.mark.parametrize("name", CASES)
def test_wrappers_pass_every_item_on(name: str) -> None:
    """Every way to wrap a source yields its items, in order; a guard adds the terminal."""
    events = [ServerSentEvent(str(number), event="text") for number in range(COUNT)]

    async def source() -> AsyncGenerator[ServerSentEvent, None]:
        for index, event in enumerate(events):
            if index % 3:
                await asyncio.sleep(0)
            yield event

    async def collect() -> list[ServerSentEvent]:
        return [event async for event in CASES[name](source())]

    found = asyncio.run(collect())
    assert found[:COUNT] == events
    assert [event.event for event in found[COUNT:]] == (["end"] if "guard" in name else [])
