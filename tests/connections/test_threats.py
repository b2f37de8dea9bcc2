"""What somebody who means harm may try, by the name of the threat."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from inspect import signature
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import pytest

from sse_relay import ErrorCatalog, Relay, ServerSentEvent, StreamCancelledError, exceptions, render
from sse_relay.adapters.asgi import AccessRequest, EventStreamResponse, relay_app, respond, responses_app
from sse_relay.adapters.messages import Message
from sse_relay.adapters.routes import ROUTES
from sse_relay.dialects import (
    AISDK,
    Anthropic,
    Dialect,
    Letta,
    Native,
    OpenAIChat,
    OpenAIResponses,
    TextDelta,
    ToolCallDelta,
)
from sse_relay.testing import FaultyStore
from tests.adapters.relays import ask, memory, open_to_all
from tests.adapters.servers import App, Exchange, TwoParts, on_virtual_time, serve
from tests.adapters.sources import play, silence
from tests.connections.conftest import Parser, Run

LINES = ["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"]
HOSTILE = [f"a{line}id: 0123456789abcdef:9{line}event: end{line}data: forged{line}{line}" for line in LINES]
HOSTILE += ["a\x00b", "\x00", "\x1b[2J", "a\x85b", "a\u2028data: forged\u2029"]


# Injection


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@on_virtual_time
async def test_an_event_stream_is_not_injected(text: str) -> None:
    """I1, I10: data is one event whatever lines it has, of a run and without one; a tool's name is JSON."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(text, {"text": text}, ToolCallDelta(text, name=text)))
        await relay.wait(run.id)
        exchange = await ask(open_to_all(relay), f"/runs/{run.id}/events")
        alone = await Exchange().view(EventStreamResponse(play(text, {"text": text}, ToolCallDelta(text, name=text))))
        for told in (exchange, alone):
            assert [event.event for event in told.events] == [None, None, "tool_call", "end"]
            assert told.events[0].data == text.replace("\r\n", "\n").replace("\r", "\n")
        assert [event.id for event in exchange.events[:3]] == [f"{run.epoch}:{offset}" for offset in (1, 2, 3)]


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE if not text.isprintable() and "\u2028" not in text], ids=ascii
)
def test_names_and_ids_are_not_injected(text: str) -> None:
    """I10: a name or an id with a line, a NUL or a control character in it is refused, never trimmed in silence."""
    fields: list[dict[str, Any]] = [{"event": text}, {"id": text}]
    for named in fields:
        with pytest.raises(ValueError, match=next(iter(named))):
            ServerSentEvent("a", **named).encode()
        with pytest.raises(ValueError, match=next(iter(named))):
            ServerSentEvent.json({}, **named).encode()


@pytest.mark.parametrize("text", ["a\r\nset-cookie: a=b", "a\nb", "a\rb", "a\x00b", "a\x1bb"], ids=ascii)
@on_virtual_time
async def test_headers_are_not_injected(text: str) -> None:
    """F: neither the application's headers, nor a dialect's, nor what a client chose adds a header or breaks one."""

    class Forging(Native):
        headers: Mapping[str, str] = {"x-forged": text}

    forged: list[dict[str, Any]] = [{"headers": {"x-forged": text}}, {"headers": {text: "a"}}, {"dialect": Forging()}]
    for options in forged:
        with pytest.raises(ValueError, match="invalid header"):
            EventStreamResponse(play("a"), **options)
    async with Relay(memory()) as relay:
        scope = Exchange(path=f"/?after={quote(text)}", headers={"idempotency-key": text, "last-event-id": text}).scope
        answers = [await Exchange().view(await respond(relay, play("a"), scope=scope, key=text))]
        answers += [await Exchange().view(await respond(relay, play("a"), scope=Exchange().scope, key=text))]
        app = open_to_all(relay, listing=True)
        for route in ROUTES.values():
            path = route.path.format(run_id=quote(text, safe=""), key=quote(text, safe=""))
            answers += [await ask(app, f"{path}?dialect={quote(text)}", method=method) for method in ("GET", "OPTIONS")]
        for answer in answers:
            for name, value in answer.headers.items():
                assert re.fullmatch(r"[a-z-]+", name)
                assert re.fullmatch(r"[ -~]*", value)
                assert "set-cookie" not in name + value


# Cursor abuse

CURSORS = [
    "9" * 19, "9" * 4301, "-1", "+1", "1_0", "0x1", "1e3", "1.0", "\u0661\u0662", "\uff11\uff12", "\xb2", "NaN",
    "\u221e", "abcdefgh:-1", "abcdefgh:\u0661", "abcdefgh:1_0", "abcdefgh:01", f"abcdefgh:{'9' * 19}", f"{'a' * 41}:1",
    "abcdefgh" * 100_000, ":", ":1", "abcdefgh:", "abcdefgh:1:1", "../../etc/passwd", "abcdefgh:1\x00",
    "abcdefgh:1\nid: 9", "{abcdefgh}:1", "abc*efgh:1", "%s%n",
]  # fmt: skip


@pytest.mark.parametrize("text", CURSORS, ids=lambda text: ascii(text)[:30])
@on_virtual_time
async def test_a_cursor_is_not_abused(text: str) -> None:
    """I11: huge, negative, in another script: 400 before the log is looked at, in the header and in the query."""
    handle = FaultyStore(memory())
    async with Relay(handle) as relay:
        run = await relay.start(play("a", silence()))
        await asyncio.sleep(1)
        app = open_to_all(relay)
        path = f"/runs/{run.id}/events"
        with handle.outage("read"):  # whoever reads gets 503
            for exchange in (
                await ask(app, path, last_id=text.encode()),
                await ask(app, f"{path}?after={quote(text)}"),
            ):
                assert exchange.status == 400
                assert exchange.json["code"] == "invalid_cursor"
                assert len(exchange.body) < 500
                assert text[:40].encode() not in exchange.body or len(text) < 4


# Slow readers


def test_readers_that_do_not_read_are_dropped(run: Run, http: Parser) -> None:
    """L4, L5, L6: they hold neither the run nor their places: at `send_timeout` each is dropped, and may come back."""

    async def main() -> None:
        big = "x" * 65_536
        async with Relay() as relay:
            app = relay_app(
                relay, authorize=lambda _: True, principal=lambda _: "ann", max_viewers=10, send_timeout=0.5
            )
            held = await relay.start(play(*[big] * 40), key="big")
            await relay.wait(held.id)  # it did not wait for anybody
            async with serve(app, http) as server, AsyncExitStack() as stack:
                path = f"/runs/{held.id}/events"
                for _ in range(10):
                    client = await stack.enter_async_context(server.connect(receive_buffer=4096))
                    assert (await client.get(path)).startswith(b"HTTP/1.1 200")
                async with server.connect() as client:
                    assert (await client.get(path)).startswith(b"HTTP/1.1 429")
                status = b""
                while not status.startswith(b"HTTP/1.1 200"):
                    async with server.connect() as client:
                        status = await client.get(path)
                        if status.startswith(b"HTTP/1.1 200"):
                            assert (await client.rest()).count(b"id: ") == 41

    run(main())


# Canary secrets

ASKING = httpx2.Request("GET", "http://upstream")

ASKED, SAID, OWN, KEY, RAISED = (f"canary-{name}-7f3a" for name in ("asked", "said", "own", "key", "raised"))
"""In what a client asks with, in the payload, in the metadata, in keys, and in exceptions."""


class Leaky(ErrorCatalog):
    """A catalog as applications write it."""

    def __init__(self) -> None:
        super().__init__()
        self.register(LookupError, "missing", "It is not there.", status=404)


@on_virtual_time
async def test_no_error_tells_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """I13: by no error path do clients learn a word of an exception, or the log one of payload, header or metadata."""
    caplog.set_level(logging.DEBUG)
    handle = FaultyStore(memory())
    answers: list[Exchange] = []
    calls = 0

    def authorize(request: AccessRequest) -> bool:
        nonlocal calls
        calls += 1
        if request.scope["path"].endswith("latest") or (request.action == "events" and calls > 1):
            raise OSError(RAISED)
        return True

    async def visit(app: App, path: str, method: str = "GET", **headers: str) -> Exchange:
        exchange = Exchange(method, path=path, headers={"authorization": ASKED, "cookie": ASKED, **headers})
        asyncio.get_running_loop().call_later(60, exchange.gone.set)
        answers.append(await exchange.view(app))
        return exchange

    async def start(source: AsyncIterator[object], **options: Any) -> None:
        scope = Exchange(headers={"authorization": ASKED, "idempotency-key": ASKED}).scope
        exchange = Exchange()
        asyncio.get_running_loop().call_later(60, exchange.gone.set)
        answers.append(await exchange.view(await respond(relay, source, scope=scope, **options)))

    async with Relay(handle) as relay:
        own = {"secret": OWN}
        failed = await relay.start(play(SAID, 5.0, ValueError(RAISED)), key=f"{KEY}-failed", metadata=own)
        missing = await relay.start(play(LookupError(RAISED)), metadata=own)
        stuck = await relay.start(play(SAID, silence()), metadata=own, idle_timeout=5)
        await asyncio.gather(*[relay.wait(run.id) for run in (failed, missing, stuck)])
        live = await relay.start(play(SAID, silence()), key=f"{KEY}-live", metadata=own)
        await asyncio.sleep(1)
        app = relay_app(relay, authorize=lambda _: True, errors=Leaky(), dialects=[Native(), TwoParts()], listing=True)
        for run in (failed, missing, stuck, live):
            for query in ("", f"?after={ASKED}", f"?dialect={ASKED}", "?dialect=two_parts", "?after=999"):
                await visit(app, f"/runs/{run.id}/events{query}")
            await visit(app, f"/runs/{run.id}/events", **{"last-event-id": ASKED})
        for path in (
            f"/{ASKED}",
            f"/runs/{ASKED}",
            f"/keys/{ASKED}/active",
            f"/runs?status={ASKED}",
            f"/runs/{live.id}/events",
        ):
            for method in ("GET", "POST", "DELETE"):
                await visit(app, path, method)
        strict = relay_app(relay, authorize=authorize, reauthorize=10, errors=Leaky())
        await visit(strict, f"/runs/{live.id}/events")
        await visit(strict, f"/keys/{KEY}-live/latest")
        for operation in ("info", "read", "lookup", "cancel", "open"):
            with handle.outage(operation):
                for path in (f"/runs/{live.id}", f"/runs/{live.id}/events", f"/keys/{KEY}-live/active"):
                    await visit(app, path)
                await visit(app, f"/runs/{live.id}/cancel", "POST")
                await start(play(SAID, RuntimeError(RAISED)), metadata=own, key=f"{KEY}-new")
        await relay.start(play(silence()), key=f"{KEY}-busy")
        await start(play(SAID), key=f"{KEY}-busy", on_conflict="reject")
        for secret in (OWN, RAISED):  # one Idempotency-Key, two requests
            await start(play(SAID), key=f"{KEY}-twice", metadata={"secret": secret})
        scripts: list[list[object]] = [
            [ValueError(RAISED)],
            [SAID, ValueError(RAISED)],
            [SAID, 5.0, LookupError(RAISED)],
        ]
        streams = [EventStreamResponse(play(*script), errors=Leaky()) for script in scripts]
        answers.extend([await Exchange().view(stream) for stream in streams])
    statuses = {exchange.status for exchange in answers}
    assert {200, 400, 404, 405, 409, 500, 503} <= statuses
    told = b"".join(repr(exchange.messages).encode() for exchange in answers)
    assert [secret for secret in (ASKED, OWN, RAISED) if secret.encode() in told] == []
    assert SAID.encode() in told  # it is looked for in the right place
    states = [exchange for exchange in answers if exchange.headers.get("content-type") == "application/json"]
    assert [exchange.messages for exchange in answers if exchange not in states and KEY in str(exchange.messages)] == []
    assert {exchange.json["code"] for exchange in answers if exchange.status == 409} >= {
        "cursor_mismatch", "run_conflict", "idempotency_conflict",
    }  # fmt: skip
    assert [secret for secret in (ASKED, SAID, OWN, KEY) if secret in caplog.text] == []
    assert RAISED in caplog.text  # under its id


def exceptions_with_a_secret() -> list[Exception]:
    """Make every error of the library, and some of others, with a secret wherever there is room for one."""
    made: list[Exception] = [
        ValueError(RAISED),
        KeyError(RAISED),
        OSError(5, RAISED, RAISED),
        UnicodeDecodeError("utf-8", RAISED.encode(), 0, 1, RAISED),
        ExceptionGroup(RAISED, [ValueError(RAISED)]),
        openai.RateLimitError(
            RAISED, response=httpx2.Response(429, request=ASKING), body={"message": RAISED, "code": RAISED}
        ),
        openai.APIConnectionError(message=RAISED, request=ASKING),
        httpx2.ConnectError(RAISED, request=ASKING),
    ]
    kinds = [kind for name in exceptions.__all__ if issubclass(kind := getattr(exceptions, name), Exception)]
    for kind in kinds:
        if kind is StreamCancelledError:
            continue  # its reason is for clients
        fields = signature(kind.__init__).parameters.values()
        wanted = [field for field in fields if field.name not in {"self", "args", "kwargs"}]
        values = {field.name: 7 if field.annotation in {int, float} else RAISED for field in wanted}
        named = {field.name: values.pop(field.name) for field in wanted if field.kind is field.KEYWORD_ONLY}
        made.append(kind(*values.values(), **named))
    return made


@pytest.mark.parametrize(
    "dialect",
    [Native(), OpenAIChat(), OpenAIResponses(), Anthropic(), AISDK(), Letta(), TwoParts()],
    ids=lambda dialect: dialect.name,
)
@on_virtual_time
async def test_no_exception_tells_a_secret(dialect: Dialect) -> None:
    """I13: whatever a source raises, before its first item and after it, in no dialect is a word of it told."""
    cases = exceptions_with_a_secret()
    assert len(cases) > 20
    async with Relay(memory()) as relay:
        app, whole = open_to_all(relay, dialects=[dialect]), responses_app(relay, authorize=lambda _: True)
        for error in cases:
            for steps in ([error], [TextDelta(SAID), error]):
                answers = [await Exchange().view(EventStreamResponse(render(play(*steps), dialect), dialect=dialect))]
                started = await respond(relay, play(*steps), scope=Exchange().scope, dialect=dialect)
                answers.append(await Exchange().view(started))
                run_id = answers[-1].headers["x-run-id"]
                paths = [f"/runs/{run_id}", f"/runs/{run_id}/events", f"/runs/{run_id}/events?after=99"]
                answers += [await ask(app, path) for path in paths]
                paths = [f"/v1/responses/resp_{run_id}", f"/v1/responses/resp_{run_id}?stream=true"]
                answers += [await ask(whole, path) for path in paths]
                told = repr([exchange.messages for exchange in answers])
                assert RAISED not in told, error
                assert answers[0].status >= (200 if len(steps) > 1 else 400), error
                assert (SAID in told) == (len(steps) > 1)


# Slow readers of another kind


@on_virtual_time
async def test_a_reader_that_trickles_is_sent_away() -> None:
    """L5, L6: whoever takes each write just in time has a place for `max_age`, and one write more; the run goes on."""

    async def just_in_time(message: Message) -> None:
        del message
        await asyncio.sleep(29)

    async with Relay(memory()) as relay:
        app = open_to_all(relay, max_age=120, principal=lambda _: "ann", max_viewers=1)
        run = await relay.start(play(*[step for number in range(1000) for step in (1.0, str(number))]))
        exchange = Exchange(path=f"/runs/{run.id}/events", on_send=just_in_time)
        await exchange.view(app)
        assert exchange.complete
        assert asyncio.get_running_loop().time() <= 120 + 2 * 29
        assert (await relay.info(run.id)).status == "running"
        assert (await ask(app, f"/runs/{run.id}/events", method="HEAD")).status == 200
        resumed = await ask(app, f"/runs/{run.id}/events", last_id=exchange.events[-1].id)
        assert resumed.status == 200  # its place is free
