"""Deltas or events → one dialect's events."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import (
    CancelToken,
    InvalidEventError,
    Outcome,
    ServerSentEvent,
    cancellable,
    from_sse,
    guard_terminal,
    keepalive,
    openai_chat,
    render,
    watch_outcome,
)
from sse_relay.combinators.keepalive import PING
from sse_relay.dialects import (
    Finish,
    Native,
    OpenAIChat,
    ReasoningDelta,
    RenderContext,
    Renderer,
    TextDelta,
    ToolCallDelta,
    Usage,
    delta_of,
    event_of,
)
from sse_relay.dialects.protocol import TerminalPart
from sse_relay.testing import Combinator, Law, Probe, combinator_laws, run_virtual
from tests.dialects.strict_clients import Heard, hear
from tests.properties import examples, hostile_text


class Loud:
    """A throw-away dialect: it greets, says a text as two events, skips what it has no word for, and ends in two."""

    name = "loud"
    headers: dict[str, str] = {}  # noqa: RUF012 - as a plain class would
    has_ids = False
    heartbeat = b": ping\n\n"
    resume: Literal["offset", "from_start"] = "from_start"

    def __init__(self) -> None:
        self.contexts: list[RenderContext] = []

    def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        """Recognise its own last event."""
        return Outcome("completed") if event.data == "BYE" else None

    def renderer(self, context: RenderContext) -> Renderer:
        """Start, and remember for what."""
        self.contexts.append(context)
        return _LoudRenderer()


class _LoudRenderer:
    def __init__(self) -> None:
        self._said = 0

    def preamble(self) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent("HELLO"),)

    def event(self, offset: int, event: ServerSentEvent) -> Sequence[ServerSentEvent]:
        assert offset == 0
        delta = delta_of(event)
        if delta is not None and not isinstance(delta, TextDelta):
            return ()
        self._said += 1
        text = event.data if delta is None else delta.text
        return (ServerSentEvent(f"#{self._said}"), ServerSentEvent(f"{text}!"))

    def end(self, outcome: Outcome) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent(f"{outcome.status} {outcome.reason}"), ServerSentEvent("BYE"))


async def source(*items: object) -> AsyncGenerator[Any, None]:
    for item in items:
        await asyncio.sleep(0)
        if isinstance(item, BaseException):
            raise item
        yield item


async def read_into(seen: list[Any], stream: AsyncIterable[Any]) -> None:
    async for item in stream:
        seen.append(item)  # noqa: PERF401 - what came before an error counts


def everything(stream: AsyncIterable[Any]) -> list[Any]:
    """Read a stream to its end, in a loop of its own."""
    seen: list[Any] = []
    run_virtual(read_into(seen, stream))
    return seen


def data(events: list[Any]) -> list[str | None]:
    return [event.data for event in events]


END = ServerSentEvent('{"status":"failed","reason":"error","error":null}', event="end")


# ── What is rendered ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_are_rendered_in_order_between_preamble_and_end() -> None:
    """B5: the preamble comes once, an item becomes any number of events, and a source that returns has completed."""
    events = everything(render(source("a", TextDelta("b"), {"c": 1}), Loud()))
    assert data(events) == ["HELLO", "#1", "a!", "#2", "b!", "#3", '{"c":1}!', "completed None", "BYE"]


def test_item_without_a_word_is_left_out() -> None:
    """What the dialect has no word for becomes no event, and the preamble comes all the same, once."""
    events = everything(render(source(Finish("stop"), "a"), Loud()))
    assert data(events) == ["HELLO", "#1", "a!", "completed stop", "BYE"]


def test_empty_stream_is_whole() -> None:
    """B5: a source without items still gets the preamble and the end."""
    assert data(everything(render(source(), Loud()))) == ["HELLO", "completed None", "BYE"]


@pytest.mark.parametrize("items", [(), ("a",)], ids=["empty", "with items"])
def test_outcome_is_on_the_last_event_only(items: tuple[str, ...]) -> None:
    """I2: the last event carries the outcome, no other does; those of the end ahead of it are parts."""
    events = everything(render(source(*items), Loud()))
    assert [event.outcome for event in events] == [*[None] * (len(events) - 1), Outcome("completed")]
    ahead = [event.data for event in events if isinstance(event, TerminalPart)]
    assert ahead == (["completed None"] if items else ["HELLO", "completed None"])
    assert type(events[-1]) is ServerSentEvent


def test_native_passes_events_through() -> None:
    """In the native dialect an event is itself, and the end is `end`."""
    event = ServerSentEvent("x", event="y")
    events = everything(render(source(TextDelta("a"), event), Native()))
    assert events[0] == ServerSentEvent('{"text":"a"}', event="text")
    assert events[1] is event
    assert [event.event for event in events] == ["text", "y", "end"]


def test_each_stream_has_its_renderer() -> None:
    """Two streams of one dialect share no state, and differ in the run id that they render."""
    dialect = Loud()
    assert data(everything(render(source("a"), dialect)))[1] == "#1"
    assert data(everything(render(source("a"), dialect)))[1] == "#1"
    first, second = dialect.contexts
    assert len(first.run_id) == len(second.run_id) == 32
    assert first.run_id != second.run_id
    assert 0 < first.created_at <= second.created_at


# ── How it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("items", "end"),
    [
        (("a",), "completed None"),
        (("a", Finish("length")), "completed length"),
        (("a", ValueError("secret")), "failed error"),
        (("a", Finish("stop"), ValueError("secret")), "failed error"),
        (("a", END), "failed error"),
        (("a", ServerSentEvent("x", outcome=Outcome("cancelled", "user"))), "cancelled user"),
        (("a", Finish("stop"), ServerSentEvent("x", outcome=Outcome("completed"))), "completed stop"),
    ],
    ids=["returns", "finish", "raises", "finish, then raises", "terminal", "recognised", "reason ahead"],
)
@pytest.mark.parametrize(
    "guard", [guard_terminal, lambda source: guard_terminal(source, dialect=Loud())], ids=["native", "own"]
)
def test_guards_terminal_becomes_the_dialects(
    items: tuple[object, ...], end: str, guard: Callable[[Any], AsyncIterable[Any]]
) -> None:
    """B4, B5, B6: whatever ended the stream, in whatever dialect a guard said so, it is said once, with its reason."""
    events = everything(render(guard(source(*items)), Loud()))
    assert data(events) == ["HELLO", "#1", "a!", end, "BYE"]
    assert [event.outcome for event in events[:-1]] == [None] * 4
    outcome = events[-1].outcome
    assert f"{outcome.status} {outcome.reason}" == end


def test_native_terminal_of_the_source_is_rendered() -> None:
    """A source's own `end` becomes the dialect's; what comes after it is not read, and the source is closed."""

    async def main() -> None:
        probe = Probe(None)
        closed: list[bool] = []

        async def items() -> AsyncGenerator[object, None]:
            try:
                yield "a"
                yield END
                async for event in probe:
                    yield event
            finally:
                closed.append(True)

        seen: list[Any] = []
        await read_into(seen, render(items(), Loud()))
        assert data(seen) == ["HELLO", "#1", "a!", "failed error", "BYE"]
        assert closed
        assert probe.read == 0

    run_virtual(main())


def test_guard_outside_finds_one_terminal() -> None:
    """I2: a guard of the same dialect outside, as the HTTP edge has it, changes nothing."""
    inside = everything(render(guard_terminal(source("a", ValueError("secret"))), Loud()))
    outside = everything(
        guard_terminal(render(guard_terminal(source("a", ValueError("secret"))), Loud()), dialect=Loud())
    )
    assert data(outside) == data(inside)
    assert outside[-1].outcome.status == inside[-1].outcome.status == "failed"


def test_reserved_names_are_refused() -> None:
    """I7: a source that uses `gap` is an InvalidEventError, not a gap."""
    with pytest.raises(InvalidEventError, match="reserved"):
        everything(render(source("a", ServerSentEvent("{}", event="gap")), Loud()))


# ── Errors before the first event ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [ValueError("boom"), object()], ids=["raises", "no event"])
def test_error_before_the_first_item_comes_before_any_event(error: object) -> None:
    """Defect 10: no preamble hides an error that can still be an HTTP status."""
    seen: list[Any] = []
    with pytest.raises((ValueError, TypeError)):
        run_virtual(read_into(seen, render(source(error), Loud())))
    assert not seen


def test_item_that_cannot_be_rendered_comes_before_any_event() -> None:
    """Defect 10: neither does it hide a first item that the dialect cannot read."""
    seen: list[Any] = []
    with pytest.raises(InvalidEventError):
        run_virtual(read_into(seen, render(source(ServerSentEvent("no JSON", event="text")), Loud())))
    assert not seen


def test_failure_before_the_first_item_has_no_event_but_its_terminal() -> None:
    """Defect 10: under a guard all that comes is one terminal, the preamble included, which the edge may replace."""
    *ahead, last = everything(render(guard_terminal(source(ValueError("secret"))), Loud()))
    assert data(ahead) == ["HELLO", "failed error"]
    assert all(isinstance(event, TerminalPart) for event in ahead)
    assert last.outcome.error.code == "internal_error"


def test_error_after_items_passes() -> None:
    """Defect 5: what the source raises comes after what it yielded, as itself, and without an end."""
    error = ValueError("boom")
    seen: list[Any] = []
    with pytest.raises(ValueError, match="boom") as raised:
        run_virtual(read_into(seen, render(source("a", error), Loud())))
    assert raised.value is error
    assert data(seen) == ["HELLO", "#1", "a!"]


# ── Notes for the edge ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("items", "statuses"),
    [
        ([("a", 201), "b"], {"HELLO": 201}),
        (["a", ("b", 202)], {"HELLO": None, "#2": 202}),
        ([(Finish("stop"), 201), "a"], {"HELLO": 201}),
        (["a", (Finish("stop"), 201), "b"], {"#2": 201}),
        (["a", (Finish("stop"), 201)], {"completed stop": 201}),
        ([(END, 503)], {"HELLO": 503}),
        (["a", (END, 503)], {"failed error": 503}),
    ],
    ids=["first", "later", "first and unsaid", "unsaid", "last and unsaid", "only a terminal", "terminal"],
)
def test_status_is_on_the_first_event_of_its_item(items: list[Any], statuses: dict[str, int | None]) -> None:
    """F: an item's status is on the first event that comes of it, the preamble included, or on the next one; once."""
    events = everything(render(source(*items), Loud()))
    noted = {event.data: event.status for event in events if event.status is not None}
    assert noted == {name: status for name, status in statuses.items() if status is not None}
    assert len([event for event in events if event.status is not None]) == len(noted)
    assert events[-1].outcome is not None


def test_comments_pass() -> None:
    """A pure comment is no item: it passes as it is, also ahead of the preamble."""
    comment = ServerSentEvent(None, comment="ping")
    events = everything(render(source(comment, "a", comment), Loud()))
    assert data(events) == [None, "HELLO", "#1", "a!", None, "completed None", "BYE"]
    assert events[0] is comment


def test_beats_pass() -> None:
    """L4: a keepalive inside is heard outside, before the first item, too."""

    async def main() -> None:
        async def slow() -> AsyncGenerator[str, None]:
            await asyncio.sleep(25)
            yield "a"

        seen: list[Any] = []
        await read_into(seen, render(keepalive(slow(), interval=10), Loud()))
        assert seen[:2] == [PING, PING]
        assert data(seen[2:]) == ["HELLO", "#1", "a!", "completed None", "BYE"]

    run_virtual(main())


def test_outcome_is_seen_from_outside() -> None:
    """I2: a combinator outside learns the outcome from the last event."""
    outcomes: list[Outcome] = []
    stream = render(guard_terminal(source("a", Finish("length"))), Loud())
    everything(watch_outcome(stream, outcomes.append, dialect=Loud()))
    assert outcomes == [Outcome("completed", "length")]


# ── Closing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("law", combinator_laws, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "combinator",
    [
        lambda source: render(source, Native()),
        lambda source: render(guard_terminal(source), Native()),
        lambda source: keepalive(render(cancellable(source, CancelToken()), Native())),
    ],
    ids=["alone", "guarded", "composed"],
)
def test_laws(law: Law, combinator: Combinator) -> None:
    """B2, I9, L6, L7: rendering keeps every law of a combinator."""
    run_virtual(law(combinator))


def test_source_is_closed_when_rendering_fails() -> None:
    """B2: a dialect that cannot even start leaves no open source behind."""

    class Broken(Loud):
        def renderer(self, context: RenderContext) -> Renderer:
            raise ValueError(f"no renderer for {context.run_id}")

    probe = Probe(3)
    with pytest.raises(ValueError, match="no renderer"):
        everything(render(probe, Broken()))
    assert probe.closed


@pytest.mark.parametrize("dialect", [None, "native", Native, object()], ids=["None", "name", "class", "object"])
def test_bad_dialects_are_refused(dialect: Any) -> None:
    """What is no dialect is refused when `render` is called, with what to pass."""
    with pytest.raises(TypeError, match=r"dialect must be a Dialect such as Native\(\)"):
        render(source(), dialect)


def test_bad_sources_are_refused() -> None:
    """What is no async iterable is refused when `render` is called, with what to use."""
    with pytest.raises(TypeError, match="use from_thread"):
        render(["a"], Native())  # type: ignore[arg-type]


# ── OpenAI ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def chat(*items: object, **options: Any) -> Heard:
    """Tell what an OpenAI client hears of a source, under a guard of either kind: the same."""
    inside = everything(openai_chat(guard_terminal(source(*items)), model="m", **options))
    outside = everything(guard_terminal(openai_chat(source(*items), model="m", **options), dialect=OpenAIChat()))
    heard, again = (hear("openai-chat", [event.encode() for event in events]) for events in (inside, outside))
    assert heard == again
    for events in (inside, outside):
        assert [event.outcome is not None for event in events] == [*[False] * (len(events) - 1), True]
        assert sum(event.data == "[DONE]" for event in events) == heard.succeeded
    return heard


def chunk(text: str | None = None, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": reason}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "other", "choices": [choice]}


def sdk_chunk(text: str) -> Any:
    types: Any = pytest.importorskip("openai.types.chat")
    return types.ChatCompletionChunk.model_validate(chunk(text))


def sse(*said: Any) -> str:
    return "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in said)


@pytest.mark.parametrize(
    "items",
    [
        ["Hel", "lo"],
        [TextDelta("Hel"), TextDelta("lo")],
        [event_of(TextDelta("Hel")), "lo"],
        [chunk("Hel"), chunk("lo"), chunk(reason="stop")],
        [sdk_chunk, chunk("lo", "stop")],
        [sse(chunk("Hel")), sse(chunk("lo")), sse(chunk(reason="stop")), sse("[DONE]")],
        [sse(chunk("Hel"), chunk("lo"), chunk(reason="stop"), "[DONE]"), "never"],
        [chunk("Hel"), chunk("lo"), ServerSentEvent("[DONE]"), chunk("never")],
        [{"message_type": "assistant_message", "content": "Hel"}, {"message_type": "ping"}, "lo",
         {"message_type": "stop_reason", "stop_reason": "end_turn"}],
        [sse({"message_type": "assistant_message", "content": "Hello"}, {"message_type": "stop_reason",
         "stop_reason": "end_turn"}, "[DONE]")],
        ["Hel", TextDelta(""), "", TextDelta("lo", choice=0), ReasoningDelta("")],
    ],
    ids=range(11),
)  # fmt: skip
def test_whatever_a_source_yields_is_a_chat(items: list[Any]) -> None:
    """H1, H2, defect 13: strings, deltas, chunks, objects, SSE text and messages: the text, one finish, one [DONE]."""
    heard = chat(*(sdk_chunk("Hel") if item is sdk_chunk else item for item in items))
    assert (heard.text, heard.reason, heard.succeeded) == ("Hello", "stop", True)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_text_that_is_split_goes_through_from_sse(size: int) -> None:
    """H1, defect 13: an event stream that is split anywhere is read first; then it is the same chat."""
    text = ": ping\n\n" + sse(chunk("Hel"), chunk("lo", "length"), "[DONE]")
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    events = everything(openai_chat(from_sse(source(*pieces), dialect=OpenAIChat()), model="m"))
    heard = hear("openai-chat", [event.encode() for event in events])
    assert (heard.text, heard.reason) == ("Hello", "length")


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (ValueError("secret"), "internal_error"),
        ({"error": {"code": "rate_limit_exceeded", "message": "secret"}}, "llm_rate_limit"),
        (sse({"error": {"message": "secret"}}), "llm_error"),
        ({"message_type": "error_message", "error_type": "llm_timeout", "message": "secret"}, "llm_timeout"),
        ({"message_type": "stop_reason", "stop_reason": "insufficient_credits"}, "llm_error"),
        (ServerSentEvent("secret", event="end"), "invalid_event"),
        (object(), "internal_error"),
        (b"secret", "internal_error"),
    ],
    ids=range(8),
)
def test_a_chat_that_fails_never_finishes(last: Any, code: str) -> None:
    """H4, I13, defect 13: what was said stays, then one typed error, though the model had said why it stopped."""
    items = ["Hel", Finish("stop"), "lo", last]
    heard = chat(*items)
    assert (heard.text, heard.reason, heard.failed) == ("Hello", None, True)
    events = everything(openai_chat(guard_terminal(source(*items)), model="m"))
    assert json.loads(events[-1].data)["error"]["code"] == code
    assert "secret" not in "".join(event.data for event in events)


def test_a_chat_without_a_guard_raises() -> None:
    """Defect 5: what the source raises passes through, behind what it said."""
    seen: list[Any] = []
    with pytest.raises(ValueError, match="boom"):
        run_virtual(read_into(seen, openai_chat(source("a", "b", ValueError("boom")), model="m")))
    assert len(seen) == 3


def test_a_chat_says_everything_that_it_is_asked_for() -> None:
    """H3, H6: reasoning, calls and usage; the model and the id in every chunk; the reason in the outcome, too."""
    items = [
        ReasoningDelta("so"),
        ToolCallDelta("{", id="c", name="f"),
        chunk(tool_calls=[{"index": 0, "id": "c", "function": {"arguments": "}"}}]),
        chunk(reason="tool_calls"),
        Usage(1, 2),
    ]
    heard = chat(*items, include_usage=True)
    assert (heard.reasoning, heard.calls, heard.usage) == ("so", {"c": ["f", "{}"]}, (1, 2))
    events = everything(openai_chat(source(*items), model="m", completion_id="mine"))
    assert {json.loads(event.data)["id"] for event in events[:-1]} == {"mine"}
    assert events[-1].outcome == Outcome("completed", "tool_calls")


@pytest.mark.parametrize(
    "text", ['{"choices":[]}', "[DONE]", '{"error":"x"}', "[", "{", "a\n\n", ":\n\n", "data: x\n\n", "\r"]
)
def test_a_text_that_looks_like_more_is_text(text: str) -> None:
    """H2, defect 12: first or later, as a string or as a delta, it arrives as it was."""
    events = everything(openai_chat(source(text, "a", text, TextDelta(text)), model="m"))
    assert hear("openai-chat", [event.encode() for event in events]).text == f"{text}a{text}{text}"


@pytest.mark.parametrize("item", [TextDelta(1), TextDelta("a", choice="x")], ids=range(2))  # type: ignore[arg-type]
def test_a_delta_of_another_type_is_refused(item: TextDelta) -> None:
    """A field that is not of its type is an InvalidEventError on the fast way, too."""
    with pytest.raises(InvalidEventError):
        everything(openai_chat(source("a", item), model="m"))


@pytest.mark.parametrize("wrap", [lambda stream: stream, guard_terminal], ids=["alone", "guarded"])
def test_a_status_stays_with_its_text(wrap: Callable[[Any], Any]) -> None:
    """F: the status of an item that says nothing is on the next text, also where texts take the fast way."""
    events = everything(openai_chat(wrap(source("a", ("", 202), "b", "c")), model="m"))
    assert [event.status for event in events if "content" in event.data] == [None, None, 202, None]


@pytest.mark.parametrize(
    "law",
    [law for law in combinator_laws if law.__name__ not in {"keeps_order", "exceptions_pass", "waits_with_the_source"}],
    ids=lambda law: law.__name__,
)
@pytest.mark.parametrize(
    "combinator",
    [
        lambda source: openai_chat(source, model="m"),
        lambda source: openai_chat(guard_terminal(source), model="m"),
        lambda source: guard_terminal(openai_chat(source, model="m"), dialect=OpenAIChat()),
    ],
    ids=["alone", "of a guard", "guarded"],
)
def test_laws_of_a_chat(law: Law, combinator: Combinator) -> None:
    """B2, I9, L6, L7: a chat keeps every law but those that want the source's own items back."""
    run_virtual(law(combinator))


def test_texts_take_the_short_way() -> None:
    """A renderer that says what is around a text is not asked for one once the stream is open, and only for a text."""

    class Short(Loud):
        def renderer(self, context: RenderContext) -> Renderer:
            return ShortRenderer()

    class ShortRenderer(_LoudRenderer):
        around_text = "<", ">"

    items = ["a", "b", TextDelta("c\n"), TextDelta("d", choice=1), Finish("stop"), "{", "[", "", {"f": 1}]
    events = everything(render(source(*items, ("g", 202), "h"), Short()))
    assert data(events)[:5] == ["HELLO", "#1", "a!", '<"b">', '<"c\\n">']
    assert [said for said in data(events) if said and said[0] == "<"] == ['<"b">', '<"c\\n">', '<"h">']


def test_texts_may_be_told_in_several_lines() -> None:
    """What a renderer says is around a text may have line breaks: each is a line of data of its own."""

    class Long(Loud):
        def renderer(self, context: RenderContext) -> Renderer:
            return LongRenderer()

    class LongRenderer(_LoudRenderer):
        around_text = "<\n", "\n>"

    said = [event.encode() for event in everything(render(source("a", "b\n"), Long()))]
    assert b'data: <\ndata: "b\\n"\ndata: >\n\n' in said


@given(st.lists(st.tuples(st.booleans(), hostile_text()), max_size=8), st.booleans())
@examples(150)
def test_the_short_way_says_the_same(texts: list[tuple[bool, str]], chat: bool) -> None:
    """I3: whatever the texts, bare or as deltas, they are told to the byte as where each comes as an event."""
    plain = [TextDelta(text) if is_delta else text for is_delta, text in texts]
    as_events = [event_of(TextDelta(text)) if is_delta or chat else ServerSentEvent(text) for is_delta, text in texts]

    def told(items: Sequence[object]) -> bytes:
        stream = source("a", *items)
        shown = (
            openai_chat(stream, model="m", completion_id="c") if chat else render(stream, OpenAIChat(completion_id="c"))
        )
        events = everything(shown)
        told = b"".join(event.encode() for event in events)
        assert told == b"".join(event.replace().encode() for event in events)  # a copy is encoded field by field
        return re.sub(rb'"created":[0-9]+', b"", told)

    assert told(plain) == told(as_events)


def test_data_of_a_string_is_read_as_in_a_log() -> None:
    """Without `openai_chat` a string is data: a chunk or [DONE] in it is one, also where texts take the short way."""
    events = everything(render(source("Hel", json.dumps(chunk("lo")), "[DONE]", "!"), OpenAIChat()))
    assert hear("openai-chat", [event.encode() for event in events]).text == "Hello!"
