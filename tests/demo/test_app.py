"""The demo's app, in memory and on virtual time: the timings are those that users see."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ParamSpec

import pytest

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.adapters.messages import Message, Scope
from sse_relay.demo import DemoApp, Timings, app
from sse_relay.demo.modes import Mode
from sse_relay.demo.text import load_text
from sse_relay.testing import run_virtual

P = ParamSpec("P")
TIMINGS = Timings()
JSON = {"content-type": "application/json"}


def on_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on the virtual clock; a minute after it no task may be left (L7)."""

    async def settled(work: Coroutine[Any, Any, None]) -> None:
        await work
        await asyncio.sleep(60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(settled(test(*args, **kwargs)))

    return run


class Exchange:
    """
    One request and what came back so far.

    Attributes:
        gone: Set it for the client to go away.
    """

    def __init__(
        self,
        demo: DemoApp,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] = JSON,
        stalled: bool = False,
        root_path: str = "",
    ) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._scope: Scope = {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": raw}
        parts = [content[at : at + 7000] for at in range(0, len(content), 7000)] or [b""]
        self._parts = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        self._parts[-1]["more_body"] = stalled
        self._messages: list[Message] = []
        self._news = asyncio.Event()
        self.gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.task = asyncio.ensure_future(demo(self._scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._parts:
            return self._parts.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._messages.append(message)
        self._news.set()

    async def until(self, ready: Callable[["Exchange"], bool]) -> "Exchange":
        """Wait until the answer is as far as that."""
        while not ready(self):
            self._news.clear()
            await self._news.wait()
        return self

    async def done(self) -> "Exchange":
        """Wait for the whole answer."""
        await self.task
        return self

    @property
    def elapsed(self) -> float:
        """Seconds since the request."""
        return self._loop.time() - self._began

    @property
    def started(self) -> bool:
        """Whether the head of the answer is there."""
        return bool(self._messages)

    @property
    def status(self) -> int:
        """The answer's status."""
        return int(self._messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        return {name.decode(): value.decode() for name, value in self._messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return b"".join(message["body"] for message in self._messages[1:])

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def events(self) -> list[ServerSentEvent]:
        """The body as events."""
        return EventDecoder().feed(self.body)

    @property
    def text(self) -> str:
        """The text of its events."""
        return "".join(json.loads(event.data or "")["text"] for event in self.events if event.event == "text")

    @property
    def end(self) -> Any:
        """The outcome: of exactly one terminal, the last event."""
        assert [event.event for event in self.events].count("end") == 1
        assert self.events[-1].event == "end"
        return json.loads(self.events[-1].data or "")


def ask(demo: DemoApp, mode: str = "normal", **options: Any) -> Exchange:
    """Start a stream."""
    return Exchange(demo, "POST", "/streams", content=json.dumps({"prompt": "Why?", "mode": mode}).encode(), **options)


async def get(demo: DemoApp, path: str, method: str = "GET", **options: Any) -> Exchange:
    """Make a request without a body."""
    return await Exchange(demo, method, path, **options).done()


def begun(exchange: Exchange) -> bool:
    """Whether the text has begun."""
    return exchange.started and bool(exchange.events)


@on_virtual_time
async def test_the_whole_text_then_one_end() -> None:
    """A stream brings the whole text at a model's pace, then completes, and nothing of it is kept."""
    demo = DemoApp()
    exchange = await ask(demo).done()
    assert exchange.status == 200
    assert exchange.headers["content-type"].startswith("text/event-stream")
    assert exchange.text == load_text()
    assert exchange.end == {"status": "completed", "reason": None, "error": None}
    tokens = len(exchange.events) - 1
    assert tokens / TIMINGS.tokens_per_second == pytest.approx(exchange.elapsed - TIMINGS.first_token, rel=0.02)
    assert demo.live == 0


@on_virtual_time
async def test_the_id_comes_with_the_head() -> None:
    """Each stream has an id of 128 random bits in its first bytes, so that it can be stopped from then on."""
    demo = DemoApp()
    exchanges = [await ask(demo).until(begun) for _ in range(2)]
    ids = {exchange.headers["x-stream-id"] for exchange in exchanges}
    assert len(ids) == 2
    assert all(len(bytes.fromhex(each)) == 16 for each in ids)
    assert demo.live == 2
    demo.stop_all("test")
    for exchange in exchanges:
        await exchange.done()
    assert demo.live == 0


@on_virtual_time
async def test_a_failure_is_typed() -> None:
    """A source that raises in mid-run ends the stream failed, and no byte comes from the exception (I13)."""
    exchange = await ask(DemoApp(), "fail").done()
    assert len(exchange.events) == TIMINGS.trouble_after + 1
    assert exchange.end["status"] == "failed"
    assert exchange.end["error"]["code"] == "llm_error"
    assert len(exchange.end["error"]["error_id"]) == 32
    assert b"10.0.0.12" not in exchange.body


@on_virtual_time
async def test_silence_is_filled_then_ended() -> None:
    """A source that goes silent is covered by heartbeats, and timed out by its own silence, not by theirs."""
    exchange = await ask(DemoApp(), "silent").done()
    assert exchange.end["status"] == "timed_out"
    assert exchange.end["reason"] == "idle_timeout"
    assert exchange.body.count(b": ping\n") == 3
    spoke = TIMINGS.first_token + TIMINGS.trouble_after / TIMINGS.tokens_per_second
    assert exchange.elapsed == pytest.approx(spoke + TIMINGS.idle, abs=0.1)


@on_virtual_time
async def test_a_vanished_upstream_is_no_end() -> None:
    """An upstream that hangs up without its terminal makes the stream failed."""
    exchange = await ask(DemoApp(), "vanish").done()
    assert exchange.text
    assert exchange.end["error"]["code"] == "stream_incomplete"


@on_virtual_time
async def test_a_refusal_is_an_http_error() -> None:
    """A source that raises before its first token is a real HTTP error with a problem body."""
    demo = DemoApp()
    exchange = await ask(demo, "refuse").done()
    assert exchange.status == 429
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.json["code"] == "llm_rate_limit"
    assert exchange.json["status"] == 429
    assert b"1234" not in exchange.body
    assert demo.live == 0


@pytest.mark.parametrize("mode", ["normal", "fail", "silent", "vanish"])
@on_virtual_time
async def test_anyone_stops_a_stream(mode: Mode) -> None:
    """Another client that knows the id ends the stream at once: cancelled by the user."""
    demo = DemoApp()
    exchange = await ask(demo, mode).until(begun)
    path = f"/streams/{exchange.headers['x-stream-id']}/cancel"
    before = exchange.elapsed
    stopped = await get(demo, path, "POST")
    assert stopped.status == 202
    await exchange.done()
    assert exchange.elapsed == pytest.approx(before)
    assert exchange.end == {"status": "cancelled", "reason": "user", "error": None}
    assert (await get(demo, path, "POST")).status == 404


@on_virtual_time
async def test_a_source_that_ignores_stop_is_left_behind() -> None:
    """Stop ends also a stream whose source swallows its cancellation, once the grace is over."""
    demo = DemoApp()
    exchange = await ask(demo, "hang").until(begun)
    before = exchange.elapsed
    await get(demo, f"/streams/{exchange.headers['x-stream-id']}/cancel", "POST")
    await exchange.until(lambda each: each.events[-1].event == "end")
    assert exchange.elapsed - before == pytest.approx(TIMINGS.grace)
    assert exchange.end["status"] == "cancelled"
    await exchange.done()
    assert demo.live == 0


@on_virtual_time
async def test_stop_reaches_a_silent_source() -> None:
    """Stop does not wait for the next token."""
    demo = DemoApp()
    exchange = await ask(demo, "silent").until(lambda each: each.started and b": ping" in each.body)
    before = exchange.elapsed
    demo.stop_all("user")
    await exchange.done()
    assert exchange.elapsed == pytest.approx(before)


@on_virtual_time
async def test_a_client_that_leaves_ends_its_stream() -> None:
    """When the client goes away, the stream's source is closed and forgotten."""
    demo = DemoApp()
    exchange = await ask(demo).until(begun)
    exchange.gone.set()
    await exchange.done()
    assert demo.live == 0


@on_virtual_time
async def test_the_page_has_its_headers() -> None:
    """The page and its files are served as what they are, under a strict policy."""
    demo = DemoApp()
    page = await get(demo, "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-length"] == str(len(page.body))
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await get(demo, "/app.js")).headers["content-type"].startswith("text/javascript")
    assert (await get(demo, "/", "HEAD")).status == 200
    assert (await get(demo, "/demo/", root_path="/demo")).status == 200


@on_virtual_time
async def test_about_says_what_answers() -> None:
    """The page can tell honestly that no model is attached."""
    about = (await get(DemoApp(), "/about")).json
    assert about["source"] == "text"
    assert about["model"] is None
    assert about["idle_seconds"] == TIMINGS.idle


@pytest.mark.parametrize("path", ["/nothing", "/streams/x", "/page.py", "/../app.py", "//", "/index.html", "/about/"])
@on_virtual_time
async def test_unknown_paths(path: str) -> None:
    """What is not there is a 404 with a problem body."""
    exchange = await get(DemoApp(), path)
    assert exchange.status == 404
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.json["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/streams", "POST"),
        ("GET", "/streams/x/cancel", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/about", "GET, HEAD"),
    ],
)
@on_virtual_time
async def test_wrong_methods(method: str, path: str, allowed: str) -> None:
    """A method that a path does not take is a 405 that says which it takes; a cancel is never a GET."""
    exchange = await get(DemoApp(), path, method)
    assert exchange.status == 405
    assert exchange.headers["allow"] == allowed


@pytest.mark.parametrize("stream_id", ["", "0" * 32, "x" * 9000, "%00", "é"])
@on_virtual_time
async def test_cancelling_what_is_not_there(stream_id: str) -> None:
    """An id that no live stream has is a 404, whatever it looks like."""
    exchange = await get(DemoApp(), f"/streams/{stream_id}/cancel", "POST")
    assert exchange.status == 404
    assert exchange.json["code"] == "stream_not_found"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"prompt": ""}',
        b'{"prompt": 7}',
        b'{"mode": "normal"}',
        b'{"prompt": "x", "mode": "explode"}',
        b'{"prompt": "x", "more": 1}',
        json.dumps({"prompt": "x" * (app.MAX_PROMPT + 1)}).encode(),
    ],
    ids=lambda content: repr(content[:30]),
)
@on_virtual_time
async def test_bad_questions(content: bytes) -> None:
    """A body that is not a question is a 400 that says what is wrong."""
    exchange = await Exchange(DemoApp(), "POST", "/streams", content=content).done()
    assert exchange.status == 400
    assert exchange.json["code"] == "invalid_request"


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/jsonp"}])
@on_virtual_time
async def test_only_json_is_taken(headers: dict[str, str]) -> None:
    """A form of another site cannot start a stream: only JSON is taken, for which a browser asks first."""
    assert (await ask(DemoApp(), headers=headers).done()).status == 415


@on_virtual_time
async def test_a_body_is_bounded() -> None:
    """A body that is too large, too slow or cut off starts nothing."""
    demo = DemoApp()
    large = await Exchange(demo, "POST", "/streams", content=b" " * (app.MAX_BODY + 1)).done()
    assert large.status == 413
    slow = await ask(demo, stalled=True).done()
    assert slow.status == 408
    assert slow.elapsed == app.BODY_TIMEOUT
    cut = ask(demo, stalled=True)
    cut.gone.set()
    assert (await cut.done()).status == 400


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream too many is refused with a 503 that says when to come again."""
    monkeypatch.setattr(app, "MAX_STREAMS", 1)

    @on_virtual_time
    async def fill() -> None:
        demo = DemoApp()
        first = await ask(demo).until(begun)
        second = await ask(demo).done()
        assert second.status == 503
        assert second.headers["retry-after"] == "5"
        demo.stop_all("test")
        await first.done()
        third = await ask(demo, "refuse").done()
        assert third.status == 429

    fill()


@on_virtual_time
async def test_lifespan_is_answered() -> None:
    """A server that announces its start and end gets its answers."""
    asked = ["lifespan.startup", "lifespan.shutdown"]
    answers: list[str] = []

    async def receive() -> Message:
        return {"type": asked.pop(0)}

    async def send(message: Message) -> None:
        answers.append(message["type"])

    await DemoApp()({"type": "lifespan"}, receive, send)
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@on_virtual_time
async def test_a_websocket_is_refused() -> None:
    """What is not HTTP is an error that says so."""

    async def never(*_: object) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="not websocket"):
        await DemoApp()({"type": "websocket"}, never, never)
