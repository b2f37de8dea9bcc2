"""A provider's stream → deltas, and how it ended."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import (
    Outcome,
    Relay,
    ServerSentEvent,
    from_anthropic,
    from_openai_chat,
    from_openai_responses,
    guard_terminal,
    keepalive,
    render,
)
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.combinators.stage import Stage, one_to_one
from sse_relay.dialects import (
    Anthropic,
    Delta,
    Dialect,
    OpenAIChat,
    OpenAIResponses,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    delta_of,
)
from sse_relay.testing import Combinator, Law, combinator_laws, run_virtual
from tests.adapters.servers import serve
from tests.combinators import recorded
from tests.properties import examples, hostile_text

Ingest = Callable[..., Stage[ServerSentEvent]]


@dataclass(frozen=True)
class Provider:
    """One kind of provider: how it is read, and what it streams."""

    ingest: Ingest
    stream: bytes
    objects: list[dict[str, Any]]
    deltas: list[Delta]
    reason: str


CHAT = Provider(from_openai_chat, recorded.CHAT, recorded.CHAT_CHUNKS, recorded.CHAT_DELTAS, "tool_calls")
RESPONSES = Provider(
    from_openai_responses, recorded.RESPONSE, recorded.RESPONSE_EVENTS, recorded.RESPONSE_DELTAS, "tool_calls"
)
ANTHROPIC = Provider(from_anthropic, recorded.MESSAGE, recorded.MESSAGE_EVENTS, recorded.MESSAGE_DELTAS, "tool_use")
every_provider = pytest.mark.parametrize(
    "provider", [CHAT, RESPONSES, ANTHROPIC], ids=["chat", "responses", "anthropic"]
)


async def source(*items: Any) -> AsyncGenerator[Any, None]:
    for item in items:
        await asyncio.sleep(0)
        if isinstance(item, BaseException):
            raise item
        yield item


async def everything(stream: AsyncIterable[ServerSentEvent]) -> tuple[list[Delta], Outcome]:
    """Read a stream: its deltas, and its outcome, which is in the last event and in no other."""
    *events, last = [event async for event in stream]
    deltas = [delta for event in events if (delta := delta_of(event)) is not None]
    assert len(deltas) == len(events)
    assert last.event == "end"
    assert last.outcome is not None
    return deltas, last.outcome


def read(ingest: Ingest, *items: Any) -> tuple[list[Delta], Outcome]:
    """Ingest a stream of these items, in a loop of its own."""
    return run_virtual(everything(guard_terminal(ingest(source(*items)))))


def code(outcome: Outcome) -> str | None:
    assert outcome.status == "failed"
    assert outcome.error is not None
    return outcome.error.code


def chunk(text: str, finish: str | None = None, *, choice: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": choice, "delta": {"content": text}, "finish_reason": finish}]}


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


@every_provider
def test_whole_streams(provider: Provider) -> None:
    """H1: text, reasoning, parallel calls, the reason and the usage come through, as bytes and as dicts."""
    for items in ([provider.stream], [provider.stream.decode()], provider.objects):
        assert read(provider.ingest, *items) == (provider.deltas, Outcome("completed", provider.reason))


@every_provider
@given(cuts=st.lists(st.integers(0, 6000), max_size=12))
@examples(25)
def test_any_split(provider: Provider, cuts: list[int]) -> None:
    """I10: wherever the bytes are split, the deltas and the outcome are the same."""
    places = [0, *sorted(cuts), len(provider.stream)]
    pieces = [provider.stream[start:end] for start, end in pairwise(places)]
    assert read(provider.ingest, *pieces) == (provider.deltas, Outcome("completed", provider.reason))


@every_provider
def test_nothing_after_the_terminal(provider: Provider) -> None:
    """I2: what a provider says behind its terminal is not read, and the source is closed there."""
    closed: list[str] = []

    async def chatty() -> AsyncGenerator[Any, None]:
        try:
            yield provider.stream + recorded.sse([chunk("more")], named=False)
            yield chunk("and more")
        finally:
            closed.append("closed")

    assert run_virtual(everything(provider.ingest(chatty())))[0] == provider.deltas
    assert closed == ["closed"]


def test_events_are_taken_as_they_are() -> None:
    """B1: events that are parsed already are read like their bytes; a name does for a type."""
    events = [ServerSentEvent.json(chunk("Hi", "stop")), ServerSentEvent("[DONE]")]
    assert read(from_openai_chat, *events)[1] == Outcome("completed", "stop")
    error = ServerSentEvent('{"code":"rate_limit_exceeded"}', event="error")
    assert code(read(from_openai_chat, error)[1]) == "llm_rate_limit"


def test_a_body_that_is_no_stream() -> None:
    """B1: an answer that was not streamed is one object, however it is laid out and split."""
    body = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}, indent=2).encode()
    for size in (1, 7, len(body)):
        pieces = [b"\r\n ", *(body[at : at + size] for at in range(0, len(body), size))]
        deltas, outcome = read(from_openai_chat, *pieces)
        assert deltas[0] == TextDelta("Hi")
        assert outcome == Outcome("completed", "stop")


# ── How it ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

INSTEAD: list[tuple[Ingest, list[Any], str]] = [
    (from_openai_chat, [b'{"error": {"type":\n"overloaded_error"}}'], "llm_overloaded"),
    (from_openai_responses, [b'{"error": {"code":"invalid_api_key"}}'], "llm_authentication"),
    (from_anthropic, [b'{"type":"error",', b'"error":{"type":"authentication_error"}}'], "llm_authentication"),
    (from_openai_chat, [b"<!doctype html>\n<p>data</p>\n\n"], "llm_empty_response"),
    (from_openai_chat, [b'{"detail": "Not Found"}'], "llm_empty_response"),
    (from_openai_chat, [b"{", *[b'"a":' * 1000] * 1000], "event_too_large"),
]
AMID: list[tuple[Ingest, list[Any], str]] = [
    (from_openai_chat, [{"error": {"code": "rate_limit_exceeded"}}], "llm_rate_limit"),
    (from_openai_chat, [b'data: {"error":"broken"}\n\n'], "llm_error"),
    (from_openai_responses, [b'data: {"type":"error","code":"rate_limit_exceeded"}\n\n'], "llm_rate_limit"),
    (
        from_openai_responses,
        [{"type": "response.failed", "response": {"error": {"code": "context_length_exceeded"}}}],
        "llm_context_length",
    ),
    (from_anthropic, [b'event: error\ndata: {"error":{"type":"overloaded_error"}}\n\n'], "llm_overloaded"),
    (from_anthropic, [b"event: error\ndata: {}\n\n"], "llm_error"),
    (from_openai_chat, [b"data: <html>\n\n"], "invalid_event"),
    (from_openai_chat, ["data: " + "[" * 100_000 + "\n\n"], "invalid_event"),
    (from_openai_chat, ["data: {" + "1" * 5000 + "}\n\n"], "invalid_event"),
    (from_openai_chat, [b"\xff\x00garbage" * 200_000], "event_too_large"),
]
PREFIXES: dict[Ingest, bytes] = {
    from_openai_chat: recorded.sse([chunk("Hi")], named=False),
    from_openai_responses: recorded.sse([{"type": "response.output_text.delta", "delta": "Hi"}], named=True),
    from_anthropic: recorded.sse(
        [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}], named=True
    ),
}


@pytest.mark.parametrize(("ingest", "items", "expected"), [*AMID, *INSTEAD])
def test_what_a_provider_says_of_its_failure(ingest: Ingest, items: list[Any], expected: str) -> None:
    """G6: an error in place of a chunk or of the whole stream, and what is no stream, is a failure with its code."""
    deltas, outcome = read(ingest, *items)
    assert deltas == []
    assert code(outcome) == expected


@pytest.mark.parametrize(("ingest", "items", "expected"), AMID)
def test_earlier_deltas_are_kept(ingest: Ingest, items: list[Any], expected: str) -> None:
    """I7: what was said ahead of a failure stays, also if both come at once."""
    for together in ([PREFIXES[ingest], *items], _joined(PREFIXES[ingest], items)):
        deltas, outcome = read(ingest, *together)
        assert deltas == [TextDelta("Hi")]
        assert code(outcome) == expected


def _joined(prefix: bytes, items: list[Any]) -> list[Any]:
    first = items[0].encode() if isinstance(items[0], str) else items[0]
    return [prefix + first] if isinstance(first, bytes) else [prefix, *items]


@every_provider
def test_no_words_of_the_provider(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """I13: what a provider says in words is in the log, under the id that the client gets, and nowhere else."""
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "key sk-secret of /srv/app"}}

    async def main() -> list[ServerSentEvent]:
        return [event async for event in provider.ingest(source(error))]

    (end,) = run_virtual(main())
    assert b"sk-secret" not in end.encode()
    assert end.outcome is not None
    assert end.outcome.error is not None
    assert end.outcome.error.error_id
    assert end.outcome.error.error_id in caplog.text
    assert "sk-secret" in caplog.text


@every_provider
def test_a_stream_that_is_cut_off(provider: Provider) -> None:
    """B5: a stream without its terminal is incomplete, wherever it is cut, and what came of it stays."""
    for count in range(len(provider.objects) - 2):
        deltas, outcome = read(provider.ingest, *provider.objects[:count])
        assert deltas == provider.deltas[: len(deltas)]
        assert code(outcome) == ("stream_incomplete" if deltas else "llm_empty_response")


def test_where_a_chat_may_end() -> None:
    """B5: a chat is complete once each choice has finished, or at [DONE]; one choice does not speak for another."""
    assert read(from_openai_chat, chunk("Hi", "length"))[1] == Outcome("completed", "length")
    assert (
        read(from_openai_chat, b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]')[1].status
        == "completed"
    )
    half = [chunk("Hi", choice=1), chunk("Ho", "stop")]
    assert code(read(from_openai_chat, *half)[1]) == "stream_incomplete"
    assert read(from_openai_chat, *half, chunk("", "length", choice=1))[1] == Outcome("completed", "stop")


def test_a_message_that_says_why_but_not_that_it_stops() -> None:
    """B5: an Anthropic message without its message_stop is incomplete, although its reason came."""
    assert code(read(from_anthropic, *recorded.MESSAGE_EVENTS[:-1])[1]) == "stream_incomplete"


def test_a_response_that_was_cancelled() -> None:
    """B7: a response that somebody cancelled is cancelled here, too."""
    assert read(from_openai_responses, {"type": "response.incomplete", "response": {"status": "cancelled"}}) == (
        [],
        Outcome("cancelled", "cancelled"),
    )


@pytest.mark.parametrize(
    "items",
    [[], [b""], [b": ping\n\n"], [b"data: [DONE]\n\n"], [{"choices": []}], [{"choices": [{"delta": {"role": "a"}}]}]],
    ids=["no item", "no byte", "comment", "DONE", "no choice", "role"],
)
def test_an_answer_without_a_word(items: list[Any]) -> None:
    """G6: where nothing at all was said, the response was empty."""
    outcome = read(from_openai_chat, *items)[1]
    assert (code(outcome), outcome.reason) == ("llm_empty_response", "invalid_llm_response")


def test_what_the_source_raises_passes() -> None:
    """B6: an exception of the source is the guard's business, after the deltas ahead of it."""

    async def main() -> None:
        seen: list[str | None] = []
        with pytest.raises(OSError, match="gone"):
            async for event in from_openai_chat(source(chunk("Hi"), OSError("gone"))):
                seen.append(event.event)  # noqa: PERF401 - what came before the error counts
        assert seen == ["text"]

    run_virtual(main())


def test_what_is_no_providers_item() -> None:
    """B1: an item that no provider streams is refused with what to yield; so is what is no source."""
    with pytest.raises(TypeError, match="objects of its SDK, dicts, events, text or bytes, not int"):
        run_virtual(everything(from_openai_chat(source(1))))
    for ingest in (from_openai_chat, from_openai_responses, from_anthropic):
        with pytest.raises(TypeError, match="use from_thread"):
            ingest([])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_event_bytes"):
            ingest(source(), max_event_bytes=0)


# ── Through the SDKs ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Clients:
    """The unmodified SDKs, asked as their users do."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic

    def chat(self) -> Awaitable[AsyncIterable[Any]]:
        return self.openai.chat.completions.create(model="m", messages=[], stream=True)

    def responses(self) -> Awaitable[AsyncIterable[Any]]:
        return self.openai.responses.create(model="m", input="Hi", stream=True)

    def messages(self) -> Awaitable[AsyncIterable[Any]]:
        return self.anthropic.messages.create(model="m", max_tokens=9, messages=[], stream=True)

    def chat_helper(self) -> AbstractAsyncContextManager[AsyncIterable[Any]]:
        return self.openai.chat.completions.stream(model="m", messages=[])

    def responses_helper(self) -> AbstractAsyncContextManager[AsyncIterable[Any]]:
        return self.openai.responses.stream(model="m", input="Hi")

    def messages_helper(self) -> AbstractAsyncContextManager[AsyncIterable[Any]]:
        return self.anthropic.messages.stream(model="m", max_tokens=9, messages=[])


@asynccontextmanager
async def upstream(answer: bytes, *, status: int = 200, cut: bool = False) -> AsyncGenerator[Clients]:
    """Serve what a provider says on a real socket; `cut`: the connection breaks behind it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        while (await receive()).get("more_body"):
            pass
        kind = b"text/event-stream" if status == 200 else b"application/json"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": answer, "more_body": cut})
        if cut:
            raise ConnectionAbortedError

    async with serve(app) as server:
        base_url = f"http://127.0.0.1:{server._port}"
        async with (
            openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as client,
            anthropic.AsyncAnthropic(base_url=base_url, api_key="x", max_retries=0) as other,
        ):
            yield Clients(client, other)


RAW = [(CHAT, Clients.chat), (RESPONSES, Clients.responses), (ANTHROPIC, Clients.messages)]
HELPERS = [
    (CHAT, Clients.chat_helper),
    (RESPONSES, Clients.responses_helper),
    (ANTHROPIC, Clients.messages_helper),
]
IDS = ["chat", "responses", "anthropic"]


@pytest.mark.parametrize(("provider", "ask"), RAW, ids=IDS)
def test_sdk_objects(provider: Provider, ask: Callable[[Clients], Awaitable[AsyncIterable[Any]]]) -> None:
    """H1, L7: what the SDKs make of the bytes says the same as the bytes; afterwards no task is left."""

    async def main() -> None:
        async with upstream(provider.stream) as clients:
            read = everything(provider.ingest(await ask(clients)))
            assert await read == (provider.deltas, Outcome("completed", provider.reason))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize(("provider", "ask"), HELPERS, ids=IDS)
def test_helpers_of_the_sdks(
    provider: Provider, ask: Callable[[Clients], AbstractAsyncContextManager[AsyncIterable[Any]]]
) -> None:
    """H1: the SDKs' stream helpers, which add snapshots and events of their own, say nothing twice."""

    async def main() -> None:
        async with upstream(provider.stream) as clients, ask(clients) as stream:
            assert await everything(provider.ingest(stream)) == (provider.deltas, Outcome("completed", provider.reason))

    asyncio.run(main())


@pytest.mark.parametrize(("provider", "ask"), RAW, ids=IDS)
def test_errors_of_the_sdks(provider: Provider, ask: Callable[[Clients], Awaitable[AsyncIterable[Any]]]) -> None:
    """G6: an error in mid-stream, a refusal and a cut connection have their codes, behind the deltas that came."""
    named = provider is not CHAT
    error = {"type": "error", "error": {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow"}}
    begun = PREFIXES[provider.ingest]

    async def outcome_of(answer: bytes, **options: Any) -> tuple[list[TextDelta], str | None]:
        async with upstream(answer, **options) as clients, Relay() as relay:

            async def reading(_: object) -> AsyncIterable[Any]:
                return provider.ingest(await ask(clients))

            run = await relay.start(reading)
            async with relay.subscribe(run.id) as events:
                said = [delta_of(event) async for event in events if event.outcome is None]
            assert events.outcome is not None
            return [delta for delta in said if isinstance(delta, TextDelta)], code(events.outcome)

    async def main() -> None:
        told = await outcome_of(begun + recorded.sse([error], named=named))
        assert told == ([TextDelta("Hi")], "llm_rate_limit")
        assert await outcome_of(json.dumps(error).encode(), status=429) == ([], "llm_rate_limit")
        assert await outcome_of(begun, cut=True) == ([TextDelta("Hi")], "llm_connection")
        assert await outcome_of(begun) == ([TextDelta("Hi")], "stream_incomplete")

    logging.getLogger("uvicorn.error").disabled = True  # of the connection that is cut
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("uvicorn.error").disabled = False


@pytest.mark.parametrize(("provider", "ask"), RAW, ids=IDS)
def test_a_reader_that_leaves_closes_the_connection(
    provider: Provider, ask: Callable[[Clients], Awaitable[AsyncIterable[Any]]]
) -> None:
    """B2, L7: a reader that leaves an SDK's stream in the middle closes its response."""

    async def main() -> None:
        async with upstream(provider.stream[:-40], cut=False) as clients:
            stream: Any = await ask(clients)
            async with provider.ingest(stream) as events:
                async for _ in events:
                    break
            assert stream.response.is_closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# ── In company ───────────────────────────────────────────────────────────────────────────────────────────────────────


DIALECTS: dict[Ingest, Dialect] = {
    from_openai_chat: OpenAIChat(include_usage=True),
    from_openai_responses: OpenAIResponses(),
    from_anthropic: Anthropic(),
}


def said_by(deltas: Iterable[Delta]) -> tuple[str, str, list[tuple[str | None, str | None, str]], Usage | None]:
    """Tell what deltas say, however they are cut: text, reasoning, calls and usage."""
    calls: dict[int | None, list[str | None]] = {}
    texts = {TextDelta: "", ReasoningDelta: ""}
    usage = None
    for delta in deltas:
        if isinstance(delta, (TextDelta, ReasoningDelta)):
            texts[type(delta)] += delta.text
        elif isinstance(delta, ToolCallDelta):
            call = calls.setdefault(delta.index, [None, None, ""])
            calls[delta.index] = [call[0] or delta.id, call[1] or delta.name, f"{call[2]}{delta.arguments}"]
        elif isinstance(delta, Usage):
            usage = delta
    told = [(call_id, name, arguments or "") for call_id, name, arguments in calls.values()]
    return texts[TextDelta], texts[ReasoningDelta], told, usage


@every_provider
@pytest.mark.parametrize("ingest", DIALECTS, ids=["chat", "responses", "anthropic"])
def test_one_provider_in_the_dialect_of_another(provider: Provider, ingest: Ingest) -> None:
    """H3, I3: what one provider streams, rendered in the dialect of any and read back, is the same; failures, too."""

    async def main(*items: Any) -> tuple[list[Delta], Outcome]:
        rendered = render(guard_terminal(provider.ingest(source(*items))), DIALECTS[ingest])
        return await everything(ingest(rendered))

    deltas, outcome = run_virtual(main(*provider.objects))
    assert said_by(deltas) == said_by(provider.deltas)
    assert outcome.status == "completed"
    assert outcome.reason in {"tool_calls", "tool_use"}
    deltas, outcome = run_virtual(main(PREFIXES[provider.ingest]))
    assert said_by(deltas) == ("Hi", "", [], None)
    assert outcome.status == "failed"
    deltas, outcome = run_virtual(main(PREFIXES[provider.ingest], {"error": {"code": "rate_limit_exceeded"}}))
    assert code(outcome) == "llm_rate_limit"


def _chunked(below: AsyncIterable[ServerSentEvent]) -> Stage[Any]:
    async def items() -> AsyncGenerator[Any, None]:
        async for event in below:
            yield chunk(event.data or "")

    return Stage(items(), below)


def _plain(stream: Stage[ServerSentEvent]) -> Stage[ServerSentEvent]:
    async def items() -> AsyncGenerator[ServerSentEvent, None]:
        async for event in stream:
            delta = delta_of(event)
            yield ServerSentEvent(delta.text) if isinstance(delta, TextDelta) else event

    return one_to_one(items(), stream)


@pytest.mark.parametrize("law", combinator_laws, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "combinator",
    [
        lambda source: _plain(from_openai_chat(_chunked(source))),
        lambda source: keepalive(guard_terminal(_plain(from_openai_chat(_chunked(source))))),
    ],
    ids=["alone", "composed"],
)
def test_laws(law: Law, combinator: Combinator) -> None:
    """B2, I9, L6, L7: reading a provider keeps every law of a combinator."""
    run_virtual(law(combinator))


def test_a_source_that_only_has_close() -> None:
    """B2: a stream is closed by its `close` where it has no `aclose`, like anthropic's."""

    class Stream:
        closed = False

        def __aiter__(self) -> AsyncIterator[Any]:
            return source(chunk("Hi", "stop"))

        async def close(self) -> None:
            self.closed = True

    stream = Stream()
    assert run_virtual(everything(from_openai_chat(stream)))[1].status == "completed"
    assert stream.closed


# ── Hostile input ────────────────────────────────────────────────────────────────────────────────────────────────────

_WORDS = [
    "choices", "delta", "message", "content", "tool_calls", "function", "arguments", "index", "finish_reason", "usage",
    "prompt_tokens", "completion_tokens", "type", "error", "code", "response", "item", "output", "output_index",
    "content_block", "content_block_start", "content_block_delta", "text_delta", "text", "partial_json", "stop_reason",
    "message_start", "message_delta", "message_stop", "response.completed", "response.failed", "response.incomplete",
    "response.output_text.delta", "response.output_item.done", "function_call", "object", "status", "id", "name",
    "custom", "input", "custom_tool_call", "response.custom_tool_call_input.delta", "response.output_item.added",
]  # fmt: skip
_word = st.sampled_from(_WORDS)
_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | _word | hostile_text(4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_word, inner, max_size=5),
    max_leaves=15,
)
_said: st.SearchStrategy[Mapping[str, Any]] = st.dictionaries(_word, _value, max_size=6)
_bytes = st.binary(max_size=40) | _said.map(lambda said: b"data: " + json.dumps(said).encode() + b"\n\n")
_item = _said | _bytes | hostile_text() | st.builds(ServerSentEvent, hostile_text(), event=_word)


@every_provider
@given(items=st.lists(_item, max_size=6))
@examples(120)
def test_hostile_input(provider: Provider, items: list[Any]) -> None:
    """I2, I7: whatever comes, what was said ahead of it stays, and one typed outcome is last; nothing is raised."""
    deltas, outcome = run_virtual(everything(provider.ingest(source(PREFIXES[provider.ingest], *items))))
    assert deltas[0] == TextDelta("Hi")
    assert outcome.status in {"completed", "failed", "cancelled"}
    assert (outcome.error is None) == (outcome.status != "failed")
    assert all(delta.index is None or delta.index >= 0 for delta in deltas if isinstance(delta, ToolCallDelta))


@every_provider
@given(place=st.integers(0, 6000), flaw=st.binary(max_size=8), gone=st.integers(0, 40))
@examples(100)
def test_a_flaw_in_a_stream(provider: Provider, place: int, flaw: bytes, gone: int) -> None:
    """I2, I7: bytes that are lost, added or other ones leave what came ahead of them, and one typed outcome."""
    place = min(place, len(provider.stream))
    ahead, _ = read(provider.ingest, provider.stream[: provider.stream.rfind(b"\n\n", 0, place) + 2])
    deltas, outcome = read(provider.ingest, provider.stream[:place] + flaw + provider.stream[place + gone :])
    assert deltas[: len(ahead)] == ahead
    assert outcome.status in {"completed", "failed"}
    assert (outcome.error is None) == (outcome.status == "completed")
