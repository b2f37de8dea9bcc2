"""One response in memory: its status, its errors, its cadence, and what it refuses."""

import asyncio
import json
import re
from collections.abc import AsyncIterable, Callable
from contextlib import ExitStack
from typing import Any

import pytest

from sse_relay import (
    CancelToken,
    ErrorCatalog,
    Outcome,
    Relay,
    RunNotFoundError,
    ServerSentEvent,
    cancellable,
    guard_terminal,
    idle_timeout,
    keepalive,
    watch_outcome,
)
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Message, Send
from sse_relay.dialects import Dialect, Native
from sse_relay.testing import FaultyStore, Probe
from tests.adapters.relays import BEAT, memory
from tests.adapters.servers import Exchange, TwoParts, on_virtual_time
from tests.adapters.sources import Mode, Step, fail, hang, play, silence

SECRET = "password=hunter2"

modes = pytest.mark.parametrize("mode", ["close", "continue"])


async def answer(source: AsyncIterable[object], **options: Any) -> Exchange:
    """Answer one request to the end, with a client that stays."""
    return await Exchange().ask(EventStreamResponse(source, **options))


# Headers and status


@on_virtual_time
async def test_a_stream_is_answered() -> None:
    """F: the headers, the events, one terminal in the last part of the body; the source is closed."""
    probe = Probe(2)
    exchange = await answer(probe, headers={"Cache-Control": "private"}, dialect=TwoParts())
    assert exchange.status == 200
    assert exchange.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "private",
        "x-accel-buffering": "no",
        "x-two-parts": "v1",
    }
    assert exchange.body == b"data: 0\n\ndata: 1\n\nevent: why\ndata: completed\n\ndata: [DONE]\n\n"
    assert exchange.writes[-1].startswith(b"event: why")  # a terminal goes out whole
    assert exchange.complete
    assert probe.closed


@pytest.mark.parametrize(
    ("steps", "status", "said"),
    [
        ([], 200, ["completed"]),
        ([("a", 201), ("b", 202)], 201, ["a", "b", "completed"]),
        ([3.0, ("a", 201)], 201, ["a", "completed"]),
        ([("a", 429), "b"], 429, ["a", "failed"]),
        (["a", ("b", 503), "c"], 200, ["a", "b", "failed"]),
        (["a", ("b", 404), ValueError(SECRET)], 200, ["a", "b", "failed"]),
    ],
)
@on_virtual_time
async def test_the_first_item_sets_the_status(steps: list[Step], status: int, said: list[str]) -> None:
    """F: the first item's status is the response's; an item that is not 2xx is followed by one failed terminal."""
    exchange = await answer(play(*steps))
    assert exchange.status == status
    assert [*exchange.names[:-1], json.loads(exchange.events[-1].data or "")["status"]] == said
    assert exchange.names[-1] == "end"
    assert exchange.complete


@on_virtual_time
async def test_the_response_has_a_status_of_its_own() -> None:
    """F: `status_code` holds where the first item says nothing."""
    assert (await answer(play("a"), status_code=202)).status == 202


# Errors

wrappings: dict[str, Callable[[AsyncIterable[Any]], AsyncIterable[Any]]] = {
    "nothing": lambda source: source,
    "guard": guard_terminal,
    "keepalive": keepalive,
    "cancellable": lambda source: cancellable(source, CancelToken()),
    "idle_timeout": lambda source: idle_timeout(source, seconds=60),
    "watch_outcome": lambda source: watch_outcome(source, lambda _: None),
    "all": lambda source: keepalive(guard_terminal(cancellable(source, CancelToken()))),
    "guard outside": lambda source: guard_terminal(keepalive(cancellable(source, CancelToken()))),
    "two parts": lambda source: keepalive(guard_terminal(source, dialect=TwoParts())),
}


@pytest.mark.parametrize("dialect", [Native(), TwoParts()], ids=["native", "two parts"])
@pytest.mark.parametrize("wrap", wrappings.values(), ids=wrappings)
@on_virtual_time
async def test_an_error_before_the_first_event_is_an_http_error(
    wrap: Callable[[AsyncIterable[Any]], AsyncIterable[Any]],
    dialect: Dialect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Defect 10, I13: it has its status and a problem body, which says nothing of the exception; the log does."""
    exchange = await answer(wrap(play(1.0, ValueError(SECRET))), dialect=dialect)
    assert exchange.status == 500
    assert exchange.headers["content-type"] == "application/problem+json"
    said = json.loads(exchange.body)
    error_id = said.pop("error_id")
    assert said == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "An internal error occurred.",
        "code": "internal_error",
    }
    assert SECRET.encode() not in exchange.body
    assert error_id in caplog.text
    assert SECRET in caplog.text


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        (lambda: play(ConnectionError(SECRET)), 503, "model_down"),
        (lambda: play(SystemExit(SECRET)), 500, "internal_error"),
        (lambda: play(asyncio.CancelledError()), 500, "task_cancelled"),
        (lambda: play(b"bytes"), 500, "internal_error"),
        (lambda: play(ServerSentEvent(event="a\nb")), 500, "invalid_event"),
        (lambda: idle_timeout(play(silence()), seconds=2), 504, "idle_timeout"),
    ],
    ids=["registered", "SystemExit", "CancelledError", "bytes", "bad event", "silence"],
)
@on_virtual_time
async def test_the_catalog_says_which_http_error(
    source: Callable[[], AsyncIterable[Any]], status: int, code: str
) -> None:
    """Defect 10: whatever goes wrong before the first event has the status and the code of its catalog entry."""
    errors = ErrorCatalog()
    errors.register(ConnectionError, "model_down", "The model is down.", status=503)
    exchange = await answer(source(), errors=errors)
    assert exchange.status == status
    assert json.loads(exchange.body)["code"] == code
    assert SECRET.encode() not in exchange.body


@pytest.mark.parametrize("wrap", wrappings.values(), ids=wrappings)
@on_virtual_time
async def test_an_error_in_mid_stream_is_a_terminal(wrap: Callable[[AsyncIterable[Any]], AsyncIterable[Any]]) -> None:
    """F, defect 5, I13: the events before it, one failed terminal without the exception's words, a clean end."""
    exchange = await answer(wrap(play("a", 1.0, "b", ValueError(SECRET))))
    assert exchange.status == 200
    assert exchange.names[:2] == ["a", "b"]
    assert exchange.body.count(b"failed") == 1
    assert exchange.complete
    assert SECRET.encode() not in exchange.body


@pytest.mark.parametrize("before", [[], ["a"]], ids=["before the first event", "in mid-stream"])
@on_virtual_time
async def test_an_explicit_cancel_is_a_terminal(before: list[Step]) -> None:
    """E, F, defect 4: a silent stream that is cancelled says so at once, and the body ends as it should."""
    token = CancelToken()
    asyncio.get_running_loop().call_later(3, token.cancel, "user")
    exchange = await answer(cancellable(play(*before, silence()), token))
    assert exchange.status == 200
    assert exchange.names == [*before, "end"]
    assert json.loads(exchange.events[-1].data or "") == {"status": "cancelled", "reason": "user", "error": None}
    assert exchange.times[-1] == 3
    assert exchange.complete


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        ("end", "completed", None),
        ("error", "failed", "error"),
        ("token", "cancelled", "user"),
        ("client", "cancelled", None),
    ],
    ids=["end", "error", "token", "client"],
)
@on_virtual_time
async def test_a_stream_without_a_run_has_the_same_word(ending: str, status: str, reason: str | None) -> None:
    """E, I2: no relay, no store: whatever ends the stream, the application is told its outcome, once, as the client."""
    outcomes: list[Outcome] = []
    token = CancelToken()
    lasts: dict[str, list[Step]] = {"end": [], "error": [ValueError(SECRET)]}
    last = lasts.get(ending, [silence()])
    source = watch_outcome(cancellable(play("a", 3.0, *last), token), outcomes.append)
    exchange = Exchange()
    loop = asyncio.get_running_loop()
    if ending == "token":
        loop.call_later(5, token.cancel, "user")
    if ending == "client":
        loop.call_later(5, exchange.gone.set)
    await exchange.ask(EventStreamResponse(source))
    assert [outcome.status for outcome in outcomes] == [status]
    if ending == "client":
        assert exchange.names == ["a"]
        return
    assert outcomes[0].reason == reason
    said = json.loads(exchange.events[-1].data or "")
    assert (said["status"], said["reason"]) == (status, reason)


# Cadence


@pytest.mark.parametrize("options", [{}, {"keepalive": None}], ids=["keepalive", "no keepalive"])
@on_virtual_time
async def test_headers_wait_for_the_first_item_for_so_long(options: dict[str, Any]) -> None:
    """F: after `first_item_wait` the headers and a heartbeat go out; what fails then is a terminal."""
    exchange = await answer(play(7.0, ValueError(SECRET)), first_item_wait=5, **options)
    assert exchange.status == 200
    assert exchange.times == [5, 5, 7]
    assert exchange.writes[0] == BEAT
    assert exchange.names == ["end"]


@on_virtual_time
async def test_a_beat_may_come_first() -> None:
    """D: `keepalive(first=True)` sends headers and a beat at once, ahead of the first item."""
    exchange = await answer(keepalive(play(2.0, ("a", 201)), first=True))
    assert exchange.status == 200
    assert exchange.times == [0, 0, 2, 2]
    assert exchange.body.startswith(BEAT + b"data: a\n\nevent: end")


@on_virtual_time
async def test_heartbeats_are_the_dialects() -> None:
    """D: a silence has a heartbeat of exactly the dialect's bytes, also where the application asked for comments."""
    for source in (play("a", 25.0, "b"), keepalive(play("a", 25.0, "b"), interval=10)):
        exchange = await answer(source, dialect=TwoParts(), keepalive=10)
        assert exchange.writes[1:3] == [TwoParts.heartbeat] * 2
        assert exchange.times[1:5] == [0, 10, 20, 25]


@on_virtual_time
async def test_a_beat_of_the_application_replaces_the_comment() -> None:
    """D: a data event as ping, where clients want one."""
    exchange = await answer(keepalive(play("a", 15.0), interval=10, beat={"message_type": "ping"}))
    assert exchange.writes[1] == b'data: {"message_type":"ping"}\n\n'


@pytest.mark.parametrize("interval", [1, 15])
@on_virtual_time
async def test_a_client_hears_something_at_least_every_keepalive(interval: int) -> None:
    """L4: whatever the source's rhythm, no two writes are further apart than `keepalive`."""
    rhythm = [0.5, "a", 14.9, "b", "c", 15.1, "d", 40.0, "e", 0.9, "f", 100.0]
    exchange = await answer(play(*rhythm), keepalive=interval, first_item_wait=60)
    gaps = [later - earlier for earlier, later in zip([0, *exchange.times], exchange.times, strict=False)]
    assert max(gaps) <= interval + 1e-6
    assert exchange.names == [*"abcdef", "end"]


@on_virtual_time
async def test_ready_events_share_a_write() -> None:
    """G: a burst goes out in writes of up to 64 events, not one by one."""
    exchange = await answer(Probe(640))
    assert exchange.names == [*map(str, range(640)), "end"]
    assert len(exchange.writes) <= 640 / 64 + 2


@on_virtual_time
async def test_what_came_during_a_write_shares_the_next() -> None:
    """L4: a client that is slower than the source gets everything that is ready in each write."""

    async def slow(message: Message) -> None:
        del message
        await asyncio.sleep(1)

    exchange = await Exchange(on_send=slow).ask(EventStreamResponse(Probe(100, waits=True)))
    assert exchange.names == [*map(str, range(100)), "end"]
    assert len(exchange.writes) <= 6


@on_virtual_time
async def test_a_write_is_bounded() -> None:
    """L6: large events are not joined without bound."""
    exchange = await answer(play(*["x" * 40_000] * 20))
    assert max(map(len, exchange.writes)) < 64 * 1024 + 41_000
    assert len(exchange.events) == 21


# Other requests


@modes
@pytest.mark.parametrize("on_send", [None, fail, hang])
@on_virtual_time
async def test_head_has_no_body(mode: Mode, on_send: Send | None) -> None:
    """F: a HEAD is answered with the headers; the source is closed unread, also when the client is gone."""
    await asyncio.sleep(11)
    probe = Probe(3)
    response = EventStreamResponse(probe, status_code=202, headers={"x-own": "1"}, on_disconnect=mode)
    exchange = await Exchange("HEAD", on_send).ask(response)
    if on_send is None:
        assert exchange.status == 202
        assert exchange.headers["x-own"] == "1"
        assert exchange.headers["content-type"].startswith("text/event-stream")
        assert exchange.body == b""
        assert exchange.complete
    assert probe.read == 0
    assert probe.closed


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
@on_virtual_time
async def test_only_http_is_answered(kind: str) -> None:
    """F: another scope is a clear error."""
    exchange = Exchange()
    with pytest.raises(RuntimeError, match=f"answers http requests, not {kind}"):
        await EventStreamResponse(play("a"))({"type": kind}, exchange.receive, exchange.send)
    assert not exchange.messages


@on_virtual_time
async def test_a_response_answers_once() -> None:
    """I7: a second request is refused; it would get an empty stream that looks complete."""
    response = EventStreamResponse(play("a"))
    await Exchange().ask(response)
    with pytest.raises(RuntimeError, match="answers one request"):
        await Exchange().ask(response)


# Of a subscription: what cursors lead to is in tests/connections/test_cursors.py


@on_virtual_time
async def test_a_silent_run_says_something_at_once() -> None:
    """C, L4: headers and a heartbeat come before any record, then a heartbeat in each silence."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(silence()))
        exchange = Exchange()
        asyncio.get_running_loop().call_later(50, exchange.gone.set)
        await exchange.view(EventStreamResponse(relay.subscribe(run.id), keepalive=20))
        assert exchange.status == 200
        assert exchange.headers["x-run-id"] == run.id
        assert exchange.writes == [BEAT] * 3
        assert exchange.times == [0, 0, 20, 40]
        assert not exchange.complete
        assert (await relay.info(run.id)).status == "running"


@on_virtual_time
async def test_a_run_has_the_headers_of_its_response() -> None:
    """C: status and headers are the application's where it says so, the dialect's, and ours."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"))
        options: dict[str, Any] = {"status_code": 201, "headers": {"X-Own": "1", "X-Two-Parts": "v2"}}
        response = EventStreamResponse(relay.subscribe(run.id), dialect=TwoParts(), **options)
        exchange = await Exchange().view(response)
        assert exchange.status == 201
        assert exchange.headers == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-two-parts": "v2",
            "x-own": "1",
            "x-run-id": run.id,
        }


@pytest.mark.parametrize("run_id", ["x\r\nset-cookie: admin=1", "x\n", "\0", "\N{SNOWMAN}", "a" * 10_000])
@on_virtual_time
async def test_a_run_id_brings_no_header(run_id: str) -> None:
    """I12: the id of a run that is not there, which a client may have chosen, is in no byte of the answer."""
    async with Relay(memory()) as relay:
        exchange = await Exchange().view(EventStreamResponse(relay.subscribe(run_id)))
        assert exchange.status == 404
        assert "x-run-id" not in exchange.headers
        assert run_id.encode() not in repr(exchange.messages).encode()
        assert exchange.json["code"] == "run_not_found"


@on_virtual_time
async def test_a_response_enters_and_leaves_its_subscription() -> None:
    """L7: a subscription is entered by the response, or was before; either way it is left, and nothing of it stays."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a", 1.0, "b"))
        entered = relay.subscribe(run.id)
        async with entered:
            exchange = await Exchange().view(EventStreamResponse(entered))
        assert exchange.names == ["a", "b", "end"]
        left = relay.subscribe(run.id)
        exchange = await Exchange().view(EventStreamResponse(left))
        assert exchange.names == ["a", "b", "end"]
        assert not relay._tail._windows
        with pytest.raises(RuntimeError, match="was left already"):
            await Exchange().view(EventStreamResponse(left))


@on_virtual_time
async def test_a_relay_that_was_never_opened_is_said_so() -> None:
    """F: a forgotten ``async with`` is an exception that says so, and no HTTP status."""
    exchange = Exchange()
    with pytest.raises(RuntimeError, match="enter the relay first"):
        await exchange.view(EventStreamResponse(Relay(memory()).subscribe("run")))
    assert not exchange.messages


@pytest.mark.parametrize("operation", ["end", "read"])
@on_virtual_time
async def test_a_store_that_does_not_answer_is_an_http_error(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    """Defect 10: an outage in the beginning is a 503 with when to come back, logged under its id; nobody stays."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await relay.start(play("a", silence()))
        await asyncio.sleep(1)
        with store.outage(operation):
            exchange = await Exchange().view(EventStreamResponse(relay.subscribe(run.id)))
        assert exchange.status == 503
        assert exchange.headers["content-type"] == "application/problem+json"
        assert exchange.headers["retry-after"] == "1"
        assert exchange.json["code"] == "store_unavailable"
        assert exchange.json["error_id"] in caplog.text
        assert not relay._tail._windows


@on_virtual_time
async def test_a_relay_that_has_drained_is_an_http_error() -> None:
    """L8: a closed relay answers 503 with when to come back; a client then finds another process."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"))
        await relay.wait(run.id)
    exchange = await Exchange().view(EventStreamResponse(relay.subscribe(run.id)))
    assert exchange.status == 503
    assert exchange.headers["retry-after"] == "1"
    assert exchange.json["code"] == "draining"


@on_virtual_time
async def test_the_applications_advice_counts() -> None:
    """A header of the application replaces what the response would advise; the catalog says what is told."""
    errors = ErrorCatalog()
    errors.register(RunNotFoundError, "moved", "It has moved.", status=503)
    async with Relay(memory()) as relay:
        response = EventStreamResponse(relay.subscribe("run"), errors=errors, headers={"Retry-After": "60"})
        exchange = await Exchange().view(response)
    assert exchange.status == 503
    assert exchange.headers["retry-after"] == "60"
    assert exchange.json["code"] == "moved"


@on_virtual_time
async def test_what_goes_wrong_in_the_store_is_not_told() -> None:
    """I13: a store that breaks its contract is no byte of the answer: the exception is the server's to log."""

    class Broken(FaultyStore):
        async def read(self, *_: Any, **__: Any) -> Any:
            raise ValueError(SECRET)

    async with Relay(Broken(memory())) as relay:
        run = await relay.start(play("a"))
        exchange = Exchange()
        with pytest.raises(ValueError, match=SECRET):
            await exchange.view(EventStreamResponse(relay.subscribe(run.id)))
        assert not exchange.messages
        assert not relay._tail._windows


@on_virtual_time
async def test_a_run_is_answered_once() -> None:
    """I7: a response of a subscription answers one request, as any other."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a"))
        response = EventStreamResponse(relay.subscribe(run.id))
        await Exchange().view(response)
        with pytest.raises(RuntimeError, match="answers one request"):
            await Exchange().view(response)


@on_virtual_time
async def test_a_drained_relay_ends_the_body() -> None:
    """L8: at the drain a viewer gets what there is; the body ends, and says ``lost`` only if the run does."""
    store = memory()
    async with Relay(store) as elsewhere:
        run = await elsewhere.start(play("a", 10.0, "b"))
        async with Relay(store) as relay:
            local = await relay.start(play("c", silence()))
            apps = [EventStreamResponse(relay.subscribe(run_id)) for run_id in (run.id, local.id)]
            viewers = [asyncio.create_task(Exchange().view(app)) for app in apps]
            await asyncio.sleep(1)
            await relay.drain(1)
        far, near = [await viewer for viewer in viewers]
        assert far.names == ["a"]
        assert re.search(rb"\n\nretry: [123]\d{3}\n$", far.body)  # a time of its own
        assert b"retry:" not in near.body
        assert far.complete  # a clean end of the body, without an end of the run: an EventSource comes back
        assert near.names == ["c", "end"]
        assert json.loads(near.events[-1].data or "")["status"] == "lost"
        resumed = await Exchange().view(EventStreamResponse(elsewhere.subscribe(run.id, far.events[-1].id)))
        assert resumed.names == ["b", "end"]


@on_virtual_time
async def test_a_store_that_fails_in_mid_stream_ends_the_body(caplog: pytest.LogCaptureFixture) -> None:
    """C, I7: the viewer got what was read, the body ends without an end, and coming back continues it."""
    store = memory()
    handle = FaultyStore(store)
    async with Relay(store) as elsewhere, Relay(handle) as relay:
        run = await elsewhere.start(play(*map(str, range(3600)), 20.0, "last"))
        await asyncio.sleep(1)
        with ExitStack() as faults:

            async def fail_after_a_page(message: Message) -> None:
                if b"id: " in message.get("body", b""):
                    faults.enter_context(handle.outage("read"))

            exchange = await Exchange(on_send=fail_after_a_page).view(EventStreamResponse(relay.subscribe(run.id)))
        assert exchange.complete
        assert exchange.names == list(map(str, range(3000)))
        assert "may resume" in caplog.text
        resumed = await Exchange().view(EventStreamResponse(relay.subscribe(run.id, exchange.events[-1].id)))
        assert exchange.names + resumed.names == [*map(str, range(3600)), "last", "end"]


# Arguments


@pytest.mark.parametrize("name", ["keepalive", "send_timeout", "first_item_wait", "retry"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5", True])
def test_durations_are_positive_numbers(name: str, value: Any) -> None:
    """A duration that is none is refused at once, by its name."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(TypeError if isinstance(value, (str, bool)) else ValueError, match=f"^{name} must be "):
        EventStreamResponse(play(), **options)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (["a"], r"from_thread\(iterable\)"),
        ("text", "yield it from an async generator"),
        (play, r"pass generator\(\), not generator"),
        (None, "pass an async generator"),
        (42, "pass an async generator"),
    ],
)
def test_a_source_is_an_async_iterable(source: Any, advice: str) -> None:
    """What cannot be streamed is refused at once, with what to do instead."""
    with pytest.raises(TypeError, match=advice):
        EventStreamResponse(source)


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"on_disconnect": "stop"}, ValueError, '"close" or "continue"'),
        ({"on_disconnect": None}, ValueError, '"close" or "continue"'),
        ({"status_code": 99}, ValueError, "200 to 599"),
        ({"status_code": "200"}, TypeError, "must be an int"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, ValueError, "invalid header 'x-a'"),
        ({"headers": {"x-a": 1}}, TypeError, "must be str"),
        ({"end_status": 404}, ValueError, "end_status must be 204 or 200"),
        ({"gap_status": 204}, ValueError, "gap_status 200 or 410"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], problem: str) -> None:
    """An option that makes no sense is refused at once, and the message says what would."""
    with pytest.raises(error, match=problem):
        EventStreamResponse(play(), **options)
