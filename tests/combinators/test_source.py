"""Whatever a generator yields → events."""

import asyncio
import contextvars
import enum
import json
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from sse_relay import (
    EventTooLargeError,
    InvalidEventError,
    Outcome,
    ServerSentEvent,
    StreamIncompleteError,
    as_events,
    from_sse,
    from_thread,
    guard_terminal,
)
from sse_relay.combinators.pump import GRACE, LOOK_AHEAD
from sse_relay.combinators.source import to_event
from sse_relay.dialects import Finish, Native, RenderContext, Renderer, TextDelta, ToolCallDelta, event_of
from sse_relay.testing import Probe, run_virtual
from tests.combinators.blocking import PATIENCE, WatchedChannel, joined

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Watched:
    """A source by its script, an exception in it raised, that tells whether it was closed."""

    def __init__(self, *items: object, then: Literal["end", "wait"] = "end") -> None:
        self.closed = 0
        self._stream = self._play(items, then)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._stream

    async def aclose(self) -> None:
        """Close it; counted."""
        await self._stream.aclose()
        self.closed += 1

    async def _play(self, items: tuple[object, ...], then: str) -> AsyncGenerator[Any, None]:
        for item in items:
            await asyncio.sleep(0)
            if isinstance(item, BaseException):
                raise item
            yield item
        if then == "wait":
            await asyncio.get_running_loop().create_future()


async def read_into(seen: list[Any], stream: AsyncIterable[Any]) -> None:
    async for item in stream:
        seen.append(item)  # noqa: PERF401 - what came before an error counts


def everything(stream: AsyncIterable[Any]) -> list[Any]:
    """Read a stream to its end, in a loop of its own."""
    seen: list[Any] = []
    run_virtual(read_into(seen, stream))
    return seen


async def generator() -> AsyncGenerator[str, None]:
    yield "x"


async def coroutine() -> None:
    pass


class Marked:
    """A throw-away dialect: ``[DONE]`` ends a stream, a stop reason comes ahead, ``event: error`` is a failure."""

    name = "marked"
    headers: dict[str, str] = {}  # noqa: RUF012 - as a plain class would
    reason_ends = True
    has_ids = False
    heartbeat = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "from_start"

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise ``[DONE]`` and ``event: error``."""
        if event.event == "error":
            return Outcome("failed", "error")
        return Outcome("completed") if event.data == "[DONE]" else None

    def reason_of(self, event: ServerSentEvent) -> str | None:
        """Recognise the stop reason."""
        said = json.loads(event.data or "null")
        return said.get("stop_reason") if isinstance(said, dict) else None

    def renderer(self, context: RenderContext) -> Renderer:
        """It is a source's dialect only."""
        raise NotImplementedError


# ── as_events ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Model(BaseModel):
    """A pydantic model with an alias."""

    a: int
    b_b: str = Field(default="x", alias="bB")


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: list[int]


class Colour(enum.StrEnum):
    """Text that is an enum."""

    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042 - the older way: str(OldColour.RED) is its name
    """Text that is an enum of the older kind."""

    RED = "red"


class Shouted(str):
    """Text that shows itself as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Pair(NamedTuple):
    """A named (item, status)."""

    item: object
    status: int


KINDS: dict[str, tuple[object, ServerSentEvent]] = {
    "text": ("Hi", ServerSentEvent("Hi")),
    "empty text": ("", ServerSentEvent("")),
    "lines": ("a\nb", ServerSentEvent("a\nb")),
    "enum": (Colour.RED, ServerSentEvent("red")),
    "older enum": (OldColour.RED, ServerSentEvent("red")),
    "text subclass": (Shouted("quiet"), ServerSentEvent("quiet")),
    "dict": ({"a": [1, None, "ü"]}, ServerSentEvent('{"a":[1,null,"ü"]}')),
    "empty dict": ({}, ServerSentEvent("{}")),
    "list": ([1, {"b": 2}], ServerSentEvent('[1,{"b":2}]')),
    "empty list": ([], ServerSentEvent("[]")),
    "dict subclass": (OrderedDict(b=1, a=2), ServerSentEvent('{"b":1,"a":2}')),
    "model": (Model(a=1, bB="y"), ServerSentEvent('{"a":1,"bB":"y"}')),
    "dataclass": (Point(1, [2]), ServerSentEvent('{"x":1,"y":[2]}')),
    "nested": ({"point": Point(1, [2])}, ServerSentEvent('{"point":{"x":1,"y":[2]}}')),
    "text delta": (TextDelta("Hi"), ServerSentEvent('{"text":"Hi"}', event="text")),
    "tool call": (ToolCallDelta("{", id="c1"), ServerSentEvent('{"arguments":"{","id":"c1"}', event="tool_call")),
    "finish": (Finish("stop"), ServerSentEvent('{"reason":"stop"}', event="finish")),
    "event": (ServerSentEvent("x", event="y", id="1"), ServerSentEvent("x", event="y", id="1")),
    "comment": (ServerSentEvent(None, comment="ping"), ServerSentEvent(None, comment="ping")),
}


@pytest.mark.parametrize(("item", "event"), KINDS.values(), ids=KINDS)
def test_each_kind_of_item_becomes_its_event(item: object, event: ServerSentEvent) -> None:
    """B1: text is data, JSON kinds are JSON data, a delta is its canonical frame, an event is itself."""
    (made,) = everything(as_events(Watched(item)))
    assert made == event
    assert type(made.data) in {str, type(None)}
    assert made.status is None
    assert made.encode() == event.encode()


def test_event_passes_as_it_is() -> None:
    """An event is not copied, so its outcome stays on it; a subclass stays what it is."""

    class Special(ServerSentEvent):
        __slots__ = ()

    special = Special("x")
    ended = ServerSentEvent("x", outcome=Outcome("completed"))
    assert everything(as_events(Watched(special, ended))) == [special, ended]
    assert to_event(special) is special
    assert to_event(ended) is ended


@pytest.mark.parametrize("status", [100, 200, 404, 599, HTTPStatus.CONFLICT], ids=int)
@pytest.mark.parametrize(
    "item", ["Hi", {"a": 1}, TextDelta("Hi"), ServerSentEvent("x", event="y")], ids=lambda value: type(value).__name__
)
def test_status_is_noted_on_the_item(item: object, status: int) -> None:
    """B1, F: `(item, status)` is the item's event with the status on it, which is not on the wire."""
    event = to_event((item, status))
    assert event.status == status
    assert event == to_event(item)
    assert event.encode() == to_event(item).encode()
    assert to_event(Pair(item, status)) == event


@pytest.mark.parametrize(
    "pair",
    [
        ("Hi", 99),
        ("Hi", 600),
        ("Hi", -200),
        ("Hi", True),
        ("Hi", 200.0),
        ("Hi", "200"),
        ("Hi", None),
        (200, "Hi"),
        ("Hi",),
        ("Hi", 200, 200),
        (),
        (("Hi", 200), 200),
    ],
    ids=repr,
)
def test_other_tuples_are_refused(pair: object) -> None:
    """A tuple is `(item, status)` with a status from 100 to 599, and nothing else; it is not nested."""
    with pytest.raises(TypeError, match=r"a tuple must be \(item, status\).*from 100 to 599"):
        everything(as_events(Watched(pair)))


@pytest.mark.parametrize(
    "item", [b"Hi", bytearray(b"Hi"), memoryview(b"Hi"), (b"Hi", 200)], ids=["bytes", "array", "view", "status"]
)
def test_bytes_are_refused(item: object) -> None:
    """Bytes may be an event stream already: the error says what to use for one."""
    with pytest.raises(TypeError, match=r"must not yield bytes; use from_sse\(source\)"):
        everything(as_events(Watched(item)))


@pytest.mark.parametrize(
    "item",
    [None, 1, 1.5, True, {1}, (None, 200), Model, Point, generator, iter("a")],
    ids=["None", "int", "float", "bool", "set", "status alone", "model class", "class", "function", "iterator"],
)
def test_other_items_are_refused(item: object) -> None:
    """What is none of the kinds is a TypeError that names them, not text of its repr; classes are no instances."""
    with pytest.raises(TypeError, match=r"a source must yield str, dict, list.*, not "):
        everything(as_events(Watched(item)))


def _cycle() -> object:
    cycle: list[object] = []
    cycle.append({"cycle": cycle})
    return cycle


def _deep() -> object:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": float("nan")},
        lambda: [float("inf")],
        lambda: {"a": object()},
        lambda: {(1, 2): 3},
        _cycle,
        _deep,
        lambda: TextDelta(5),  # type: ignore[arg-type]
        lambda: ToolCallDelta(index="first"),  # type: ignore[arg-type]
    ],
    ids=["nan", "inf", "object", "key", "cycle", "deep", "text delta", "tool call delta"],
)
def test_what_is_no_json_is_a_typed_error(make: Callable[[], object]) -> None:
    """NaN, cycles, deep nesting and wrong field types are InvalidEventError, after the items before them."""
    source = Watched("before", make())
    seen: list[Any] = []
    with pytest.raises(InvalidEventError):
        run_virtual(read_into(seen, as_events(source)))
    assert seen == [ServerSentEvent("before")]
    assert source.closed


@pytest.mark.parametrize("combinator", [as_events, from_sse], ids=["as_events", "from_sse"])
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: ["a"], r"use from_thread\(iterable\)"),
        (lambda: (number for number in range(3)), r"use from_thread\(iterable\)"),
        (lambda: generator, r"call it: pass generator\(\), not generator"),
        (coroutine, "await it first"),
        (lambda: None, "pass an async generator"),
        (object, "pass an async generator"),
    ],
    ids=["list", "generator", "uncalled", "coroutine", "None", "object"],
)
def test_source_must_be_an_async_iterable(
    combinator: Callable[[Any], object], make: Callable[[], Any], advice: str
) -> None:
    """What is no async iterable is refused when the combinator is called, with what to do instead."""
    source = make()
    with pytest.raises(TypeError, match=advice):
        combinator(source)
    if asyncio.iscoroutine(source):
        source.close()


# ── from_sse ─────────────────────────────────────────────────────────────────────────────────────────────────────────

TEXT = (
    "\ufeff: hello\r\n"
    'id: 1\nevent: text\ndata: {"text":"Grüße 🎈"}\n\n'
    "data: one\r\ndata: two\r\n\r\n"
    "data:\rdata: three\r\r"
    ": ping\n\n"
    "retry: 5\ndata\n\n"
    "event: late\ndata: never finished"
)
EVENTS = [
    ServerSentEvent('{"text":"Grüße 🎈"}', event="text", id="1"),
    ServerSentEvent("one\ntwo"),
    ServerSentEvent("\nthree"),
    ServerSentEvent("", retry=5),
]


def split(stream: Any, places: Iterable[int]) -> list[Any]:
    """Cut text or bytes at the given places."""
    cuts = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(cuts)]


@given(places=st.lists(st.integers(min_value=0)), as_text=st.booleans())
def test_any_split_gives_the_same_events(places: list[int], as_text: bool) -> None:
    """B1, I10: text or bytes, split within a character, a CRLF, the byte order mark or anywhere: the same events."""
    stream = TEXT if as_text else TEXT.encode()
    assert everything(from_sse(Watched(*split(stream, places)))) == EVENTS


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, bytes.decode], ids=["bytes", "array", "view", "text"])
def test_every_kind_of_chunk_is_parsed(kind: Callable[[bytes], Any]) -> None:
    """B1: chunks may be text or any kind of bytes, also with a status, also mixed."""
    source = Watched(kind(b"data: "), b"a\n", "\n", (kind(b"data: b\n\n"), 200))
    assert everything(from_sse(source)) == [ServerSentEvent("a"), ServerSentEvent("b")]


def test_lone_surrogates_are_replaced() -> None:
    """As `encode` does it, half a surrogate pair is U+FFFD, and a pair in two halves is its character."""
    (event,) = everything(from_sse(Watched("data: a\ud800b \ud83c\udf88\n\n")))
    assert event.data == "a\ufffdb 🎈"


@pytest.mark.parametrize(
    ("chunks", "data", "outcome"),
    [
        (["data:[DONE]\n\n"], ["[DONE]"], Outcome("completed")),
        ([b"data: [DONE]\r\n\r\n"], ["[DONE]"], Outcome("completed")),
        ([b"data: x\n\ndata: [DONE]\n\n"], ['"x"', "[DONE]"], Outcome("completed")),
        (
            ['data: {"stop_reason":"end_turn"}\n\ndata: [DONE]\n\n'],
            ['{"stop_reason":"end_turn"}', "[DONE]"],
            Outcome("completed", "end_turn"),
        ),
        (
            ['data: {"stop_reason":"max_steps"}\n\n', "data: {}\n\n", "data: [DONE]\n\n"],
            ['{"stop_reason":"max_steps"}', "{}", "[DONE]"],
            Outcome("completed", "max_steps"),
        ),
        (
            ["event: error_recovered\ndata: {}\n\n", "data: [DONE]\n\n"],
            ["{}", "[DONE]"],
            Outcome("completed"),
        ),
        (["data: {}\n\nevent:error\ndata: {}\n\ndata: [DONE]\n\n"], ["{}", "{}"], Outcome("failed", "error")),
        (
            [
                'data: "[DONE]"\n\n',
                'data: {"text":"data: [DONE]\\n\\n"}\n\n',
                'data: "event: error"\n\n',
                "data: [DONE]\n\n",
            ],
            ['"[DONE]"', '{"text":"data: [DONE]\\n\\n"}', '"event: error"', "[DONE]"],
            Outcome("completed"),
        ),
    ],
    ids=["no space", "bytes", "coalesced", "with its reason", "reason ahead", "no error", "error", "in JSON"],
)
def test_terminals_are_parsed_not_sniffed(chunks: list[Any], data: list[str], outcome: Outcome) -> None:
    """B3, B4, defect 12: a terminal is an event of the dialect, however it is spelled and cut, and nothing else is."""
    chunks = [chunk.replace(b"data: x", b'data: "x"') if isinstance(chunk, bytes) else chunk for chunk in chunks]
    source = Watched(*chunks, "data: late\n\n", then="wait")
    events = everything(from_sse(source, dialect=Marked()))
    assert [event.data for event in events] == data
    assert [event.outcome for event in events] == [*[None] * (len(data) - 1), outcome]
    assert source.closed


@pytest.mark.parametrize("late", [False, True], ids=["same chunk", "later chunk"])
def test_nothing_comes_after_the_terminal(late: bool) -> None:
    """I2: the terminal carries the outcome and is the last event; what the source says later is not read."""
    end = 'event: end\ndata: {"status":"completed","reason":"stop","error":null}\n\n'
    more = f"data: late\n\n{end}"
    source = (
        Watched("data: a\n\n", end, more, then="wait") if late else Watched("data: a\n\n" + end + more, then="wait")
    )
    events = everything(from_sse(source, dialect=Native()))
    assert [event.event for event in events] == [None, "end"]
    assert [event.outcome for event in events] == [None, Outcome("completed", "stop")]
    assert source.closed


NATIVE = (
    'id: abcdefgh:1\nevent: text\ndata: {"text":"Grüße"}\n\n: ping\n'
    'id: abcdefgh:2\nevent: end\ndata: {"status":"completed","reason":"stop","error":null}\n\n'
).encode()


def test_cut_at_any_byte_is_no_clean_end() -> None:
    """B5, I2: a stream cut anywhere before its terminal is whole is incomplete; under a guard, one terminal says so."""
    for cut in range(len(NATIVE)):
        seen: list[Any] = []
        with pytest.raises(StreamIncompleteError, match="native source ended without its terminal"):
            run_virtual(read_into(seen, from_sse(Watched(NATIVE[:cut]), dialect=Native())))
        *events, end = everything(guard_terminal(from_sse(Watched(NATIVE[:cut]), dialect=Native())))
        assert events == seen
        assert not any(event.outcome for event in events)
        assert (end.event, end.outcome and end.outcome.status) == ("end", "failed")
        assert end.outcome.error.code == "stream_incomplete"


def test_whole_stream_is_a_clean_end() -> None:
    """I2: a stream that is not cut keeps its own terminal under a guard, as it is."""
    plain = everything(from_sse(Watched(NATIVE), dialect=Native()))
    assert [event.outcome for event in plain] == [None, Outcome("completed", "stop")]
    guarded = everything(guard_terminal(from_sse(Watched(NATIVE), dialect=Native())))
    assert guarded == plain
    assert guarded[-1].outcome == Outcome("completed", "stop")


def test_native_end_is_required() -> None:
    """B5: a native stream always has its end: one that is cut after its stop reason is incomplete."""
    with pytest.raises(StreamIncompleteError):
        everything(from_sse(Watched('event: finish\ndata: {"reason":"stop"}\n\n'), dialect=Native()))


def test_stated_reason_is_enough() -> None:
    """B5: where the dialect says so, a source that stated its stop reason may end without its terminal."""
    events = everything(from_sse(Watched('data: {"stop_reason":"end_turn"}\n\n'), dialect=Marked()))
    assert [event.outcome for event in events] == [None]
    with pytest.raises(StreamIncompleteError, match="marked"):
        everything(from_sse(Watched("data: {}\n\n"), dialect=Marked()))


def test_without_a_dialect_every_end_is_an_end() -> None:
    """A source of unknown meaning has no terminals: nothing is recognised, and nothing is missing."""
    events = everything(from_sse(Watched(NATIVE, "data: [DONE]\n\ndata: late\n\ndata: cut")))
    assert [event.data for event in events][2:] == ["[DONE]", "late"]
    assert not any(event.outcome for event in events)


@pytest.mark.parametrize(
    "chunks", [[b"data: a\n\ndata: b\n\ndata: " + b"x" * 50], [b"data: a\n\n", b"data: b\n\n", b"x" * 60]]
)
def test_events_ahead_of_one_that_is_too_large_are_delivered(chunks: list[bytes]) -> None:
    """L6: what is past the bound is a typed error, after every event before it, whatever the chunks are."""
    source = Watched(*chunks, b"data: late\n\n")
    seen: list[Any] = []
    with pytest.raises(EventTooLargeError) as raised:
        run_virtual(read_into(seen, from_sse(source, max_event_bytes=40)))
    assert raised.value.limit == 40
    assert [event.data for event in seen] == ["a", "b"]
    assert source.closed


def test_terminal_ahead_of_one_that_is_too_large_ends_the_stream() -> None:
    """I2: what comes after the terminal in its chunk is not looked at, however large."""
    source = Watched(b"data: [DONE]\n\ndata: " + b"x" * 50)
    (event,) = everything(from_sse(source, dialect=Marked(), max_event_bytes=40))
    assert event.outcome == Outcome("completed")


@pytest.mark.parametrize(
    ("chunks", "statuses"),
    [
        ([("data: a\n\ndata: b\n\n", 201), "data: c\n\n"], [201, None, None]),
        ([("data: ", 201), "a\n\n", "data: b\n\n"], [201, None]),
        ([("data: a\n\n", 201), ("data: b\n\n", 500)], [201, 500]),
        ([("", 201), ("data: a\n\n", 202)], [202]),
        (["data: a\n\n", ("not an event stream", 500)], [None, 500]),
    ],
    ids=["first event", "split event", "each", "last wins", "no event"],
)
def test_status_is_on_the_next_event(chunks: list[Any], statuses: list[int | None]) -> None:
    """F: `(chunk, status)` is on the next whole event; where none comes, an empty one has it: it is never lost."""
    events = everything(from_sse(Watched(*chunks)))
    assert [event.status for event in events] == statuses


def test_error_body_is_no_success() -> None:
    """F: a source that answers with an error status and no event at all has failed, under a guard."""
    events = everything(guard_terminal(from_sse(Watched((b'{"error":"overloaded"}', 503)))))
    assert events[-1].outcome is not None
    assert events[-1].outcome.status == "failed"
    assert events[-1].outcome.error is not None
    assert events[-1].outcome.error.status == 503


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (5, "must come as text or bytes, not int; use as_events"),
        (None, "not NoneType"),
        ({"a": 1}, "not dict"),
        ((5, 200), "not int"),
        (("data: a\n\n", 99), "status from 100 to 599"),
        (("data: a\n\n", True), "status from 100 to 599"),
        (("a", "b"), "status from 100 to 599"),
    ],
    ids=repr,
)
def test_other_chunks_are_refused(chunk: object, message: str) -> None:
    """What is neither text nor bytes is a TypeError that says so, after the events before it."""
    source = Watched("data: a\n\n", chunk)
    seen: list[Any] = []
    with pytest.raises(TypeError, match=message):
        run_virtual(read_into(seen, from_sse(source)))
    assert [event.data for event in seen] == ["a"]
    assert source.closed


@pytest.mark.parametrize("how", ["end", "terminal", "error", "too large", "incomplete", "unread", "left", "cancelled"])
def test_source_is_closed_in_every_case(how: str) -> None:
    """B2, L7: however the stream ends, the source is closed, and no task is left."""

    async def main() -> None:
        chunk = {"terminal": "data: [DONE]\n\n", "error": ValueError("boom"), "too large": "x" * 100}.get(
            how, "data: {}\n\n"
        )
        dialect = Marked() if how in {"terminal", "incomplete"} else None
        source = Watched("data: {}\n\n", chunk, then="wait" if how in {"terminal", "left", "cancelled"} else "end")
        stream = from_sse(source, dialect=dialect, max_event_bytes=50)
        if how in {"unread", "left"}:
            if how == "left":
                await anext(stream)
            await stream.aclose()
        else:
            seen: list[Any] = []
            reader = asyncio.create_task(read_into(seen, stream))
            await asyncio.sleep(1)
            reader.cancel()
            await asyncio.wait({reader})
            assert seen
            assert reader.cancelled() == (how == "cancelled")
        assert source.closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_bad_options_of_from_sse_are_refused() -> None:
    """A dialect by its name, and a bound that is not positive, are refused when `from_sse` is called."""
    for dialect in ("native", Native):
        with pytest.raises(TypeError, match=r"must be a Dialect such as Native\(\), not "):
            from_sse(Watched(), dialect=dialect)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_event_bytes must be positive"):
        from_sse(Watched(), max_event_bytes=0)


# ── from_thread ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """L7: a thread of `from_thread` ends in the test that started it."""
    yield
    joined(*[thread for thread in threading.enumerate() if thread.name == "sse_relay.from_thread"])


class Blocking:
    """A blocking iterable that tells which thread did what to it, and may be held at its n-th item."""

    def __init__(self, items: int = 3, error: BaseException | None = None, *, hold_at: int | None = None) -> None:
        self._items = items
        self._error = error
        self._hold_at = hold_at
        self.read = 0
        self.threads: set[str] = set()
        self.closed_in: list[str] = []
        self.held = threading.Event()
        self.release = threading.Event()

    def __iter__(self) -> Generator[int, None, None]:
        for number in range(self._items):
            self.threads.add(threading.current_thread().name)
            if number == self._hold_at:
                self.held.set()
                assert self.release.wait(PATIENCE)
            self.read += 1
            yield number
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close it; noted."""
        self.closed_in.append(threading.current_thread().name)


def test_thread_reads_and_closes() -> None:
    """A blocking iterable's items come in order; one thread of its own reads it and closes it, once."""
    iterable = Blocking(1000)
    assert everything(from_thread(iterable)) == list(range(1000))
    assert iterable.threads == {"sse_relay.from_thread"}
    assert iterable.closed_in == ["sse_relay.from_thread"]


@pytest.mark.parametrize(
    "iterable", [[1, 2], (1, 2), {1: "a", 2: "b"}, range(1, 3), iter([1, 2])], ids=lambda value: type(value).__name__
)
def test_any_blocking_iterable_will_do(iterable: Iterable[int]) -> None:
    """What can be looped over is read, whether it can be closed or not."""
    assert everything(from_thread(iterable)) == [1, 2]


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit("boom"), KeyboardInterrupt("boom")], ids=repr)
def test_error_of_a_thread_comes_after_its_items(error: BaseException) -> None:
    """Defect 5: what the iterable raises arrives as itself, after its items, whatever it is."""

    async def main() -> tuple[list[Any], BaseException | None]:
        seen: list[Any] = []
        try:
            await read_into(seen, from_thread(iterable))
        except BaseException as exc:  # noqa: BLE001 - not out of the task, where it would stop the loop
            return seen, exc
        return seen, None

    iterable = Blocking(3, error)
    seen, raised = run_virtual(main())
    assert seen == [0, 1, 2]
    assert raised is error
    assert iterable.closed_in == ["sse_relay.from_thread"]


def test_thread_that_pushes_elsewhere_may_fail_there() -> None:
    """An iterable that itself raises ChannelClosedError has failed: it is not taken for a reader that left."""
    other = WatchedChannel()
    other.close()

    def iterable() -> Generator[int, None, None]:
        yield 1
        other.push("late")

    with pytest.raises(Exception, match="the channel has ended"):
        everything(from_thread(iterable()))


def test_iterable_whose_close_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An error while closing is logged, and changes neither the items nor the end."""

    class Unclosable(Blocking):
        def close(self) -> None:
            raise ValueError("cannot close")

    assert everything(from_thread(Unclosable())) == [0, 1, 2]
    (record,) = caplog.records
    assert record.getMessage() == "a blocking source raised while it was being closed"


def test_thread_sees_the_readers_context() -> None:
    """The thread runs in a copy of the context of the first read; what it sets stays its own."""

    def iterable() -> Generator[str, None, None]:
        yield VARIABLE.get()
        VARIABLE.set("thread")
        yield VARIABLE.get()

    async def main() -> None:
        stream = from_thread(iterable())
        VARIABLE.set("reader")
        seen: list[Any] = []
        await read_into(seen, stream)
        assert seen == ["reader", "thread"]
        assert VARIABLE.get() == "reader"

    run_virtual(main())


def test_thread_reads_ahead_boundedly(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6: a thread takes 64 items more than its reader, one of them in its hand, and goes on when they are read."""
    channels: list[WatchedChannel] = []

    def make(**options: Any) -> WatchedChannel:
        channels.append(WatchedChannel(**options))
        return channels[-1]

    monkeypatch.setattr("sse_relay.combinators.source.EventChannel", make)
    iterable = Blocking(1000)

    async def main() -> None:
        stream = from_thread(iterable)
        (channel,) = channels
        for taken in range(1, 4):
            assert await anext(stream) == taken - 1
            channel.until_a_thread_blocks()
            assert iterable.read == taken + LOOK_AHEAD
        seen: list[Any] = []
        await read_into(seen, stream)
        assert seen == list(range(3, 1000))

    run_virtual(main())


@pytest.mark.parametrize("how", ["closes", "is cancelled"])
def test_reader_that_leaves_stops_the_thread(how: str) -> None:
    """L7, I9: when the reader leaves, the thread takes no further item, closes the iterable, and is waited for."""
    iterable = Blocking(1000, hold_at=2)

    async def main() -> None:
        stream = from_thread(iterable)
        assert [await anext(stream), await anext(stream)] == [0, 1]
        assert await asyncio.to_thread(iterable.held.wait, PATIENCE)
        leaving = asyncio.create_task(stream.aclose() if how == "closes" else read_into([], stream))
        await asyncio.sleep(0)
        if how == "is cancelled":
            leaving.cancel()
            await asyncio.sleep(0)
        assert not leaving.done()
        iterable.release.set()
        await asyncio.wait({leaving})
        assert leaving.cancelled() == (how == "is cancelled")
        assert iterable.read == 3
        assert iterable.closed_in == ["sse_relay.from_thread"]

    asyncio.run(main())  # the thread takes real time


def test_blocked_thread_ends_when_the_reader_leaves(caplog: pytest.LogCaptureFixture) -> None:
    """L7: a thread that waits for room is woken by a reader that leaves, quietly; the stream may be closed again."""
    iterable = Blocking(1000)

    async def main() -> None:
        stream = from_thread(iterable)
        assert await anext(stream) == 0
        await stream.aclose()
        await stream.aclose()
        assert iterable.closed_in == ["sse_relay.from_thread"]
        assert iterable.read <= 1 + LOOK_AHEAD
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(main())
    assert not caplog.records


def test_iterable_that_nobody_reads_is_closed_unread() -> None:
    """B2: a stream that is closed before it was read closes its iterable, in a thread, and takes no item."""
    iterable = Blocking()

    async def main() -> None:
        await from_thread(iterable).aclose()

    asyncio.run(main())
    assert iterable.closed_in == ["sse_relay.from_thread"]
    assert iterable.read == 0


def test_thread_that_blocks_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    """L7: a thread that does not come back within the grace is given up, with a warning; it ends when it can."""
    iterable = Blocking(hold_at=1)

    async def main() -> None:
        stream = from_thread(iterable)
        assert await anext(stream) == 0
        assert iterable.held.wait(PATIENCE)
        before = asyncio.get_running_loop().time()
        await stream.aclose()
        assert asyncio.get_running_loop().time() - before == pytest.approx(GRACE, abs=1e-6)
        await stream.aclose()

    run_virtual(main())
    assert [record.getMessage() for record in caplog.records] == [
        "a blocking source ignored its close for 5 s and was abandoned"
    ]
    assert not iterable.closed_in
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "sse_relay.from_thread"]
    assert thread.daemon, "it would hold up the end of the process"
    iterable.release.set()
    joined(thread)
    assert iterable.closed_in == ["sse_relay.from_thread"]
    assert iterable.read == 2


def test_abandoned_thread_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What an iterable raises when nobody reads any more is in the log."""

    def iterable() -> Generator[int, None, None]:
        yield 0
        held.set()
        release.wait(PATIENCE)
        raise ValueError("late")

    held, release = threading.Event(), threading.Event()

    async def main() -> None:
        stream = from_thread(iterable())
        assert await anext(stream) == 0
        assert held.wait(PATIENCE)
        await stream.aclose()

    run_virtual(main())
    threads = [thread for thread in threading.enumerate() if thread.name == "sse_relay.from_thread"]
    release.set()
    joined(*threads)
    assert [record.getMessage() for record in caplog.records][1:] == [
        "a blocking source raised while it was being stopped"
    ]


@pytest.mark.parametrize(
    "iterable", ["text", b"bytes", None, 5, Probe(1), generator], ids=lambda value: type(value).__name__
)
def test_what_is_no_blocking_iterable_is_refused(iterable: Any) -> None:
    """Text, bytes, an async iterable and what cannot be looped over are refused when `from_thread` is called."""
    with pytest.raises(TypeError, match=r"from_thread takes a blocking iterable, not \w+"):
        from_thread(iterable)


def test_items_of_a_thread_become_events() -> None:
    """A blocking provider's deltas are events in one more step."""
    events = everything(as_events(from_thread([TextDelta("a"), "b"])))
    assert events == [event_of(TextDelta("a")), ServerSentEvent("b")]
