"""What a model says by calling a tool comes as text, and nothing else is touched."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import (
    CancelToken,
    ErrorInfo,
    InvalidEventError,
    Outcome,
    ServerSentEvent,
    as_events,
    cancellable,
    guard_terminal,
    keepalive,
    tool_argument_text,
)
from sse_relay.dialects import Finish, TextDelta, ToolCallDelta, ToolResult, Usage, delta_of, event_of
from sse_relay.dialects.protocol import TerminalPart
from sse_relay.testing import Combinator, Law, Probe, combinator_laws, run_virtual
from tests.dialects.json_texts import Pairs, any_fragments, write
from tests.properties import examples, hostile_text, received

END = ServerSentEvent('{"status":"completed","reason":null,"error":null}', event="end")


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


def said(*items: object, **options: Any) -> list[Any]:
    """Run items through the combinator; a text delta comes back as its text, everything else as its event."""
    events = everything(tool_argument_text(source(*items), **options))
    return [delta.text if isinstance(delta := delta_of(event), TextDelta) else event for event in events]


def call(
    arguments: str = "",
    index: int | None = None,
    id: str | None = None,  # noqa: A002 - as the delta has it
    name: str | None = "send_message",
    choice: int = 0,
) -> ToolCallDelta:
    return ToolCallDelta(arguments, index=index, id=id, name=name, choice=choice)


def more(arguments: str, index: int | None = None) -> ToolCallDelta:
    return ToolCallDelta(arguments, index=index)


def other(delta: ToolCallDelta) -> ServerSentEvent:
    return event_of(delta)


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_argument_comes_as_text() -> None:
    """H6: the decoded text of the argument, as it grows; no raw JSON, and nothing of the call itself."""
    deltas = [
        call('{"to":"Ann","mess', id="c1"),
        more('age": "Hel'),
        more("lo"),
        more("\\u00e"),
        more('9\\n"'),
        more("}"),
    ]
    assert said(*deltas) == ["Hel", "lo", "é\n"]
    events = everything(tool_argument_text(source(*deltas)))
    assert events[0] == ServerSentEvent('{"text":"Hel"}', event="text")


@examples(60)
@given(st.data(), hostile_text(), hostile_text(4), st.randoms(use_true_random=False))
def test_any_fragments_give_the_text(data: st.DataObject, message: str, else_: str, how: Random) -> None:
    """H6, defect 14: the argument's text, whatever it is and however its JSON is written and cut."""
    text = write(Pairs([("a", else_), ("message", message), ("b", [1])]), how)
    fragments = data.draw(any_fragments(text))
    texts = said(call(), *[more(fragment) for fragment in fragments])
    assert "".join(texts) == received(message)
    assert "" not in texts


_ODD: list[dict[str, Any]] = [
    *[{"arguments": text} for text in ("", "\n", '"', '"}', "\\", "u00e9", '{"message":"b')],
    *[{"id": text} for text in ("", "1", "2")],
    *[{"name": text} for text in ("", "send_message", "search")],
    *[{"index": index} for index in (None, 0, 1)],
    {"choice": 1},
    {"id": "2", "name": "send_message", "arguments": '{"message":"b'},
    {"id": "2", "name": "send_message", "arguments": '{"message":"b', "index": 1},
]  # fmt: skip


@pytest.mark.parametrize("index", [None, 0])
@pytest.mark.parametrize("opening_id", [None, "1"])
def test_more_of_a_text_is_told_as_if_its_call_were_looked_up(opening_id: str | None, index: int | None) -> None:
    """H6: whatever comes between deltas of a text, they are told as where each is an event, whose call is looked up."""
    plain: dict[str, Any] = {"arguments": "a", "index": index}
    between: list[Any] = [ToolCallDelta(**{**plain, **odd}) for odd in _ODD]
    between += [TextDelta("t"), Finish("stop"), (TextDelta("t"), 201), (ToolCallDelta(index=index), 202)]
    opening = [call('{"message":"', index, opening_id), ToolCallDelta(**plain)]
    for first, second in product(between, repeat=2):
        more_of_it = ToolCallDelta(**plain)
        items = [*opening, first, second, more_of_it, more_of_it, call('{"message":"c', 1, "3"), more_of_it]
        events = [(event_of(item[0]), item[1]) if isinstance(item, tuple) else event_of(item) for item in items]
        shown, expected = (everything(tool_argument_text(source(*told))) for told in (items, events))
        assert shown == expected, items
        assert [event.status for event in shown] == [event.status for event in expected], items


def test_tool_and_argument_are_chosen() -> None:
    """H6: any tool, and any place in its arguments."""
    assert said(call('{"messages":[{"text":"yes"}]}', name="say"), tool="say", argument=("messages", 0, "text")) == [
        "yes"
    ]
    assert said(call('{"text":"yes","message":"no"}', name="say"), tool="say", argument="text") == ["yes"]


def test_deltas_may_come_as_events() -> None:
    """H6: deltas that were stored or sent, with a status or without, are read as those that were not."""
    assert said(other(call('{"message":"Hi')), (more(' there"}'), 200)) == ["Hi", " there"]


def test_answers_are_kept_apart() -> None:
    """H6: the text belongs to the answer that the call belongs to."""
    events = everything(
        tool_argument_text(
            source(call('{"message":"a', 0, "c"), call('{"message":"b', 0, "c", choice=1), more('A"}', 0))
        )
    )
    assert [delta_of(event) for event in events] == [TextDelta("a"), TextDelta("b", choice=1), TextDelta("A")]


# ── What passes through ──────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_else_passes() -> None:
    """H6: other tools' calls, other deltas, results, events and comments are as they would be without it."""
    items: list[object] = [
        call('{"message":"no"}', 0, "a", name="search"), more("", 0), ToolCallDelta("{", id="b", index=1),
        TextDelta("text"), ServerSentEvent("x", event="y", id="z", retry=5), ServerSentEvent(None, comment="ping"),
        "plain", {"a": 1}, ToolResult("a", "no"), Usage(1, 2), Finish("stop"), ServerSentEvent("data", event="message"),
        END,
    ]  # fmt: skip
    passed = everything(tool_argument_text(source(*items)))
    assert passed == everything(as_events(source(*items)))
    assert passed[4] is items[4]


def test_other_calls_pass_among_those_of_the_tool() -> None:
    """H6: calls of two tools may be mixed; those of the other come unchanged, in their place."""
    search = call('{"message":"no', 1, "b", name="search")
    assert said(call('{"message":"a', 0, "a"), search, more('b"', 0), more('x"}', 1), more("}", 0)) == [
        "a",
        other(search),
        "b",
        other(more('x"}', 1)),
    ]


@pytest.mark.parametrize("arguments", ["", "{}", '{"message":5}', '{"other":"x"}', "nonsense", '{"message', "[]", "\0"])
def test_call_without_the_argument_gives_nothing(arguments: str) -> None:
    """H6: arguments that are empty, other, cut off or no JSON make no text and no error."""
    assert said("a", call(arguments), "b") == [ServerSentEvent("a"), ServerSentEvent("b")]


def test_broken_arguments_keep_their_text() -> None:
    """H6: what came ahead of a flaw stays; the next call begins after it."""
    assert said(call('{"message":"a\\x', id="1"), more('no"}'), call('{"message":"b"}', id="2")) == ["a", "\n\nb"]


# ── Parallel calls ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_call_speaks_at_a_time() -> None:
    """H6: of interleaved calls the text that began first is given at once, the others' after it, each as a whole."""
    deltas = [
        call('{"message":"on', 0, "1"), call('{"message":"tw', 1, "2"), call('{"message":"thr', 2, "3"),
        more("e ", 0), more("o ", 1), more('ee"}', 2), more('more"}', 0), more("more", 1), more('!"}', 1),
    ]  # fmt: skip
    assert said(*deltas) == ["on", "e ", "more", "\n\ntwo ", "more", "!", "\n\nthree"]
    assert said(*deltas, separator="") == ["on", "e ", "more", "two ", "more", "!", "three"]


def test_call_without_text_yet_does_not_hold_up_others() -> None:
    """H6: the turns are those of texts, not of calls."""
    deltas = [call('{"to":"', 0, "1"), call('{"message":"b', 1, "2"), more('a","message":"a"}', 0), more('B"}', 1)]
    assert said(*deltas) == ["b", "B", "\n\na"]


def test_empty_texts_have_no_separator() -> None:
    """H6: a call that says nothing leaves no trace between those that do."""
    deltas = [call(f'{{"message":"{text}"}}', 0, str(number)) for number, text in enumerate(["", "a", "", "b", ""])]
    assert said(*deltas) == ["a", "\n\nb"]


@pytest.mark.parametrize(
    "last",
    [
        Finish("tool_calls"),
        END,
        ServerSentEvent("[DONE]", outcome=Outcome("completed")),
        TerminalPart("part of an end"),
        None,
    ],
    ids=["finish", "end", "recognised", "part", "nothing"],
)
def test_nothing_is_left_undelivered(last: object) -> None:
    """Defect 14: what waits for a call that was cut off comes ahead of the finish, the terminal or the end."""
    deltas = [call('{"message":"a', 0, "1"), call('{"message":"b"}', 1, "2"), call('{"message":"c', 2, "3")]
    seen = said(*deltas, *[last] * (last is not None))
    assert seen[:3] == ["a", "\n\nb", "\n\nc"]
    assert len(seen) == 3 + (last is not None)


def test_finish_lets_out_its_own_answer_only() -> None:
    """H6: another answer's finish is no reason to give up waiting."""
    deltas = [call('{"message":"a', 0, "1"), call('{"message":"b', 1, "2"), Finish("stop", choice=1), more('A"}', 0)]
    assert said(*deltas) == ["a", event_of(Finish("stop", choice=1)), "A", "\n\nb"]


def test_call_that_goes_on_after_all_is_kept_apart() -> None:
    """H6: a call that was taken for over, and is not, speaks again behind a separator."""
    deltas = [call('{"message":"a', 0, "1"), call('{"message":"b"', 1, "2"), Finish("stop"), more('A"}', 0)]
    assert said(*deltas) == ["a", "\n\nb", event_of(Finish("stop")), "\n\nA"]


@examples(50)
@given(st.data(), st.lists(st.text("ab", min_size=1), max_size=4), st.randoms(use_true_random=False))
def test_parallel_texts_never_mix(data: st.DataObject, messages: list[str], how: Random) -> None:
    """H6, defect 14: calls that are mixed in any way come as their texts, one after the other."""
    waiting = [
        [
            call(fragment, data.draw(st.sampled_from([0, None])), f"c{number}")
            for fragment in data.draw(any_fragments(write(Pairs([("message", message)]), how)))
        ]
        for number, message in enumerate(messages)
    ]
    deltas: list[ToolCallDelta] = []
    while any(waiting):
        deltas.append(how.choice([calls for calls in waiting if calls]).pop(0))
    assert sorted("".join(said(*deltas, separator="|")).split("|")) == sorted(messages or [""])


# ── Errors, statuses, closing ────────────────────────────────────────────────────────────────────────────────────────


def test_error_comes_after_what_waits() -> None:
    """Defect 14: what the source raises comes as itself, after all the text that came before it."""
    error = ValueError("boom")
    seen: list[Any] = []
    with pytest.raises(ValueError, match="boom") as raised:
        run_virtual(
            read_into(
                seen, tool_argument_text(source(call('{"message":"a', 0, "1"), call('{"message":"b', 1, "2"), error))
            )
        )
    assert raised.value is error
    assert [delta_of(event) for event in seen] == [TextDelta("a"), TextDelta("\n\nb")]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (ServerSentEvent("no JSON", event="tool_call"), InvalidEventError),
        (ToolCallDelta(None, name="send_message"), InvalidEventError),  # type: ignore[arg-type]
        (object(), TypeError),
        (b"x", TypeError),
    ],
    ids=["data", "field", "object", "bytes"],
)
def test_what_is_no_item_is_an_error(item: object, error: type[Exception]) -> None:
    """What is neither an item nor the delta that it says it is raises as everywhere."""
    with pytest.raises(error):
        said(item)


@pytest.mark.parametrize(
    ("items", "statuses"),
    [
        ([(call('{"message":"a'), 201), more('b"}')], [201, None]),
        ([(call('{"mess'), 201), more('age":"b"}')], [201]),
        ([(call("{"), 201), "x"], [201]),
        ([(call("{"), 201)], [201]),
        ([call('{"message":"a', 0, "1"), call('{"message":"b', 1, "2"), (Finish("stop"), 503)], [None, 503, None]),
        ([("x", 404)], [404]),
    ],
)
def test_status_is_on_the_first_event_of_its_item(items: Sequence[object], statuses: list[int | None]) -> None:
    """F: an item's status is on the first event that comes of it, or on the next one; once."""
    assert [event.status for event in everything(tool_argument_text(source(*items)))] == statuses


def test_outcome_of_a_guard_passes() -> None:
    """I2: a guard inside or outside makes one terminal, last, with its outcome."""
    items = [call('{"message":"a'), ValueError("secret")]
    failed = Outcome("failed", "error", ErrorInfo("internal_error", "", None))
    for stream in (
        tool_argument_text(guard_terminal(source(*items))),
        guard_terminal(tool_argument_text(source(*items))),
    ):
        text, last = everything(stream)
        assert text.data == '{"text":"a"}'
        assert (last.event, last.outcome.status, last.outcome.error.code) == ("end", failed.status, "internal_error")


@pytest.mark.parametrize("law", combinator_laws, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "combinator",
    [
        tool_argument_text,
        lambda source: tool_argument_text(guard_terminal(source)),
        lambda source: keepalive(tool_argument_text(cancellable(source, CancelToken()))),
    ],
    ids=["alone", "guarded", "composed"],
)
def test_laws(law: Law, combinator: Combinator) -> None:
    """B2, I9, L6, L7: taking text out of calls keeps every law of a combinator."""
    run_virtual(law(combinator))


def test_reader_that_leaves_gets_nothing_more() -> None:
    """I9: a reader that closes the stream closes the source; what waits is dropped."""

    async def main() -> None:
        probe = Probe(None)

        async def items() -> AsyncGenerator[object, None]:
            try:
                yield call('{"message":"a', 0, "1")
                yield call('{"message":"b', 1, "2")
                async for event in probe:
                    yield event
            finally:
                await probe.aclose()

        stream = tool_argument_text(items())
        async for event in stream:
            if event.event is None:
                break
        await stream.aclose()
        assert probe.closed
        assert [event async for event in stream] == []

    run_virtual(main())


def test_source_is_closed_by_an_error_of_its_items() -> None:
    """B2: an item that is none closes the source that goes on, before the error is read."""

    async def main() -> None:
        probe = Probe(None)

        async def items() -> AsyncGenerator[object, None]:
            try:
                yield b"x"
                async for event in probe:
                    yield event
            finally:
                await probe.aclose()

        stream = items()
        with pytest.raises(TypeError):
            await anext(aiter(tool_argument_text(stream)))
        assert probe.closed
        await stream.aclose()

    run_virtual(main())


def test_bad_sources_are_refused() -> None:
    """What is no async iterable is refused when the stage is made, with what to use."""
    with pytest.raises(TypeError, match="use from_thread"):
        tool_argument_text(["a"])  # type: ignore[arg-type]
