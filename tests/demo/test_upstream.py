"""An OpenAI-compatible server as the source: a small fake one, on a real socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterable, Callable
from typing import Any

import httpx2
import pytest
import uvicorn

from sse_relay import ErrorCatalog, EventDecoder, StreamIncompleteError
from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.demo import DemoApp, Timings
from sse_relay.demo.upstream import (
    Upstream,
    UpstreamAuthenticationError,
    UpstreamEmptyError,
    UpstreamError,
    UpstreamRateLimitError,
    completions_url,
    register_errors,
)
from sse_relay.dialects import Delta, Finish, ReasoningDelta, TextDelta
from tests.demo.conftest import Serve

SECRET = "sk-very-secret"
HEAD = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(finish: str | None = None, **delta: str) -> bytes:
    """One chunk of a completion."""
    said = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return f"data: {json.dumps(said)}\n\n".encode()


ANSWERS = {
    "good": [
        b": OPENROUTER PROCESSING\n\n",
        HEAD,
        chunk(reasoning_content="Hm."),
        chunk(content="Hé"),
        chunk(content="llo"),
        chunk("stop"),
        b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
        DONE,
    ],
    "no-done": [HEAD, chunk(content="Hi"), chunk("length")],
    "crlf": [HEAD.replace(b"\n", b"\r\n"), chunk(content="Hi").replace(b"\n", b"\r\n"), b"data:[DONE]\r\n\r\n"],
    "cut": [HEAD, chunk(content="Hi")],
    "empty": [HEAD, chunk("stop"), DONE],
    "nothing": [],
    "html": [b"<html>It works!</html>"],
    "garbage": [HEAD, b"data: {]\n\n", DONE],
    "error": [HEAD, chunk(content="Hi"), b'data: {"error":{"message":"' + SECRET.encode() + b'","code":500}}\n\n'],
}


class FakeServer:
    """
    Speaks chat completions; the model's name says how.

    Attributes:
        asked: The last request: its path, headers and body.
        left: Set once a client has hung up on an endless answer.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        content = b""
        more = True
        while more:
            message = await receive()
            content += message["body"]
            more = message["more_body"]
        said = json.loads(content)
        self.asked = {"path": scope["path"], "headers": dict(scope["headers"]), **said}
        model = said["model"]
        if model.isdigit():
            await send(start(int(model), {b"content-type": b"application/json"}))
            await send(body(json.dumps({"error": {"message": SECRET}}).encode() * 100, more=False))
            return
        await send(start(200, {b"content-type": b"text/event-stream"}))
        if model == "endless":
            await self._talk(receive, send)
            return
        whole = b"".join(ANSWERS[model])
        for at in range(0, len(whole), 7):  # cuts lines, and characters
            await send(body(whole[at : at + 7]))
        await send(body(b"", more=False))

    async def _talk(self, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send(body(chunk(content="on ")))
            await asyncio.sleep(0.01)
        self.left += 1


@pytest.fixture(scope="module")
def fake() -> FakeServer:
    """The fake server's own memory."""
    return FakeServer()


@pytest.fixture(scope="module")
def url(fake: FakeServer, serve: Serve) -> str:
    """Where the fake server listens."""
    config = uvicorn.Config(fake, log_config=None, ws="none", lifespan="off", timeout_graceful_shutdown=1)
    return serve(uvicorn.Server(config))


@pytest.fixture(scope="module")
def demo_url(url: str, serve_demo: Callable[[DemoApp], str]) -> Callable[[str], str]:
    """Serve a demo in front of the fake server, with this model."""
    timings = Timings(trouble_after=2, heartbeat=0.1, grace=0.2, idle=0.3, lease=0.6, drain=0.1)
    return lambda model: serve_demo(DemoApp(upstream=Upstream(url, model), timings=timings))


async def read(source: AsyncIterable[Delta], into: list[Delta]) -> None:
    """Read a source; what came before an error counts."""
    async for delta in source:
        into.append(delta)  # noqa: PERF401


def ask(url: str, model: str, *, key: str | None = None) -> list[Delta]:
    """Ask once."""

    async def once() -> list[Delta]:
        upstream = Upstream(url, model, key=key)
        deltas: list[Delta] = []
        try:
            await read(upstream.answer("Why?"), deltas)
        finally:
            await upstream.aclose()
        return deltas

    return asyncio.run(once())


def begin(demo: str, mode: str = "normal") -> str:
    """Start a run of a demo; gives its address."""
    answer = httpx2.post(f"{demo}/runs", json={"prompt": "Why?", "mode": mode}, timeout=10)
    return f"{demo}/runs/{answer.json()['id']}"


def stream(demo: str, mode: str = "normal") -> httpx2.Response:
    """Read one run of a demo to its end."""
    return httpx2.get(f"{begin(demo, mode)}/events", timeout=10)


def end_of(response: httpx2.Response) -> Any:
    """What the last event of a stream says."""
    events = EventDecoder().feed(response.content)
    assert [event.event for event in events].count("end") == 1
    return json.loads(events[-1].data or "")


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1/chat/completions"),
        ("http://localhost:11434/", "http://localhost:11434/v1/chat/completions"),
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
        ("https://example.com/api/openai", "https://example.com/api/openai/chat/completions"),
        ("https://example.com/v1/chat/completions", "https://example.com/v1/chat/completions"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_a_base_url_is_what_openai_clients_take(base_url: str, expected: str) -> None:
    """A base URL ends before `/chat/completions`; a bare host means `/v1`."""
    assert completions_url(base_url) == expected


@pytest.mark.parametrize(
    "base_url", ["", "localhost:11434", "ftp://x", "http://", "http://[", "http://x:99999", "http://x?y"]
)
def test_what_is_no_base_url_is_refused(base_url: str) -> None:
    """Anything else is refused with a sentence that shows how to write one."""
    with pytest.raises(ValueError, match="write it as http://host:port/v1"):
        Upstream(base_url, "m")


def test_an_answer_becomes_deltas(url: str, fake: FakeServer) -> None:
    """Text, reasoning and the stop reason come as deltas, however the bytes are split; comments and usage do not."""
    assert ask(url, "good") == [ReasoningDelta("Hm."), TextDelta("Hé"), TextDelta("llo"), Finish("stop")]
    assert fake.asked["path"] == "/v1/chat/completions"
    assert fake.asked["stream"] is True
    assert fake.asked["messages"] == [{"role": "user", "content": "Why?"}]
    assert b"authorization" not in fake.asked["headers"]


def test_the_key_goes_along(url: str, fake: FakeServer) -> None:
    """A key is sent as a bearer token."""
    ask(f"{url}/v1", "good", key="sk-1")
    assert fake.asked["headers"][b"authorization"] == b"Bearer sk-1"
    assert fake.asked["path"] == "/v1/chat/completions"


@pytest.mark.parametrize("model", ["no-done", "crlf"])
def test_other_servers_end_otherwise(url: str, model: str) -> None:
    """A stop reason without `[DONE]` is an end, and so is `[DONE]` without a stop reason."""
    assert TextDelta("Hi") in ask(url, model)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("cut", StreamIncompleteError),
        ("nothing", StreamIncompleteError),
        ("html", StreamIncompleteError),
        ("empty", UpstreamEmptyError),
        ("garbage", UpstreamError),
        ("error", UpstreamError),
        ("400", UpstreamError),
        ("401", UpstreamAuthenticationError),
        ("403", UpstreamAuthenticationError),
        ("404", UpstreamError),
        ("429", UpstreamRateLimitError),
        ("500", UpstreamError),
    ],
)
def test_a_bad_answer_raises(url: str, model: str, error: type[Exception]) -> None:
    """Every way in which an upstream can fail is an error of its own kind."""
    with pytest.raises(error):
        ask(url, model)


def test_nobody_listens() -> None:
    """An address where nobody listens is an httpx2 error, registered for clients."""
    with pytest.raises(httpx2.ConnectError) as caught:
        ask("http://127.0.0.1:1", "good")
    errors = ErrorCatalog()
    register_errors(errors)
    assert errors.resolve(caught.value).code == "llm_unreachable"
    assert errors.resolve(httpx2.ReadTimeout("x")).code == "llm_timeout"


def test_the_demo_streams_an_upstream(demo_url: Callable[[str], str]) -> None:
    """The demo's wire is the same with a model: text, then one end that has the model's stop reason."""
    demo = demo_url("good")
    response = stream(demo)
    assert [event.event for event in EventDecoder().feed(response.content)][-4:] == ["text", "text", "finish", "end"]
    assert end_of(response) == {"status": "completed", "reason": "stop", "error": None}
    assert httpx2.get(f"{demo}/about").json()["model"] == "good"


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("401", "llm_authentication"),
        ("429", "llm_rate_limit"),
        ("500", "llm_error"),
        ("empty", "llm_empty_response"),
        ("cut", "stream_incomplete"),
        ("error", "llm_error"),
    ],
)
def test_an_upstreams_error_is_typed(demo_url: Callable[[str], str], model: str, code: str) -> None:
    """Whatever the upstream does wrong ends the run with a code; its own words stay in the log (I13)."""
    response = stream(demo_url(model))
    assert end_of(response)["error"]["code"] == code
    assert SECRET not in response.text


@pytest.mark.parametrize(("mode", "status"), [("fail", "failed"), ("vanish", "failed"), ("silent", "timed_out")])
def test_modes_work_over_an_upstream(demo_url: Callable[[str], str], fake: FakeServer, mode: str, status: str) -> None:
    """A model's answer can be made to go wrong as well, and the upstream is let go."""
    left = fake.left
    response = stream(demo_url("endless"), mode)
    assert end_of(response)["status"] == status
    wait_until(lambda: fake.left == left + 1)


def test_stop_lets_the_upstream_go(demo_url: Callable[[str], str], fake: FakeServer) -> None:
    """Stop reaches the model server: it is hung up on."""
    left = fake.left
    run = begin(demo_url("endless"))
    with httpx2.stream("GET", f"{run}/events", timeout=10) as response:
        parts = response.iter_bytes()
        next(parts)
        httpx2.post(f"{run}/cancel")
        rest = b"".join(parts)
    assert json.loads(EventDecoder().feed(rest)[-1].data or "")["status"] == "cancelled"
    wait_until(lambda: fake.left == left + 1)


def test_a_crash_lets_the_upstream_go(demo_url: Callable[[str], str], fake: FakeServer) -> None:
    """A worker that dies has no connection to the model server any more."""
    left = fake.left
    demo = demo_url("endless")
    run = begin(demo)
    httpx2.post(f"{demo}/workers/crash", json={})
    assert end_of(httpx2.get(f"{run}/events", timeout=10))["status"] == "lost"
    wait_until(lambda: fake.left == left + 1)


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for another thread, five seconds at most."""
    until = time.monotonic() + 5
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)
