"""The demo's app, in memory and on virtual time: the timings are those that users see."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ParamSpec

import pytest

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.adapters.messages import Message, Scope
from sse_relay.demo import DemoApp, Timings, app, requests
from sse_relay.demo.modes import Mode
from sse_relay.demo.text import load_text, tokens_of
from sse_relay.testing import run_virtual

P = ParamSpec("P")
TIMINGS = Timings()
JSON = {"content-type": "application/json"}
CANCELLED = {"status": "cancelled", "reason": "user", "error": None}


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


def ask(demo: DemoApp, mode: str = "normal", prompt: str = "Why?", **options: Any) -> Exchange:
    """Ask for a run."""
    return Exchange(demo, "POST", "/runs", content=json.dumps({"prompt": prompt, "mode": mode}).encode(), **options)


async def begin(demo: DemoApp, mode: str = "normal", prompt: str = "Why?") -> str:
    """Start a run; gives its id."""
    answer = await ask(demo, mode, prompt).done()
    assert answer.status == 201
    run_id: str = answer.json["id"]
    return run_id


def view(demo: DemoApp, run_id: str, *, after: str | None = None) -> Exchange:
    """View a run."""
    headers = {} if after is None else {"last-event-id": after}
    return Exchange(demo, "GET", f"/runs/{run_id}/events", headers=headers)


async def get(demo: DemoApp, path: str, method: str = "GET", **options: Any) -> Exchange:
    """Make a request without a body."""
    return await Exchange(demo, method, path, **options).done()


async def stop(demo: DemoApp, run_id: str) -> Exchange:
    """Stop a run."""
    return await get(demo, f"/runs/{run_id}/cancel", "POST")


async def crash(demo: DemoApp) -> Exchange:
    """Let the worker die."""
    return await Exchange(demo, "POST", "/workers/crash", content=b"{}").done()


def begun(exchange: Exchange) -> bool:
    """Whether the text has begun."""
    return exchange.started and bool(exchange.events)


def has(count: int) -> Callable[[Exchange], bool]:
    """Whether there are so many events."""
    return lambda exchange: exchange.started and len(exchange.events) >= count


def prefix(exchange: Exchange) -> str:
    """Tell what the text is up to the end that an exchange has: by the offset of it, dense from 1."""
    offsets = [int((event.id or "").partition(":")[2]) for event in exchange.events]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    return "".join(list(tokens_of(load_text()))[: offsets[-1] - 1])


# A run, and its viewers


@on_virtual_time
async def test_the_whole_text_then_one_end() -> None:
    """A run brings the whole text at a model's pace, then completes."""
    async with DemoApp() as demo:
        exchange = await view(demo, await begin(demo)).done()
        assert exchange.status == 200
        assert exchange.headers["content-type"].startswith("text/event-stream")
        assert exchange.text == load_text() == prefix(exchange)
        assert exchange.end == {"status": "completed", "reason": None, "error": None}
        tokens = len(exchange.events) - 1
        assert tokens / TIMINGS.tokens_per_second == pytest.approx(exchange.elapsed - TIMINGS.first_token, rel=0.02)
        assert await demo.live() == 0


@on_virtual_time
async def test_a_run_needs_no_viewer() -> None:
    """A run goes on when its viewer leaves, and while nobody looks; who comes late gets all of it (I3)."""
    async with DemoApp() as demo:
        run_id = await begin(demo)
        first = await view(demo, run_id).until(begun)
        first.gone.set()
        await first.done()
        assert await demo.live() == 1
        await asyncio.sleep(60)
        assert await demo.live() == 0
        late = await view(demo, run_id).done()
        assert late.text == load_text()
        assert late.end["status"] == "completed"
        assert late.elapsed == 0


@on_virtual_time
async def test_a_viewer_comes_back_at_its_cursor() -> None:
    """A viewer that was cut off, again and again, gets what it has not seen, and nothing twice (I1)."""
    async with DemoApp() as demo:
        run_id = await begin(demo)
        text, after = "", None
        for count in (1, 50, 200):
            exchange = await view(demo, run_id, after=after).until(has(count))
            exchange.gone.set()
            await exchange.done()
            text += exchange.text
            after = exchange.events[-1].id
            await asyncio.sleep(2)
        last = await view(demo, run_id, after=after).done()
        assert text + last.text == load_text()
        assert (await view(demo, run_id, after=last.events[-1].id).done()).status == 204


@on_virtual_time
async def test_viewers_see_the_same() -> None:
    """A second viewer that joins in mid-run gets the same records, with the same cursors, to the same end."""
    async with DemoApp() as demo:
        run_id = await begin(demo)
        first = await view(demo, run_id).until(begun)
        await asyncio.sleep(3)
        second = view(demo, run_id)
        await asyncio.gather(first.done(), second.done())
        assert first.events == second.events
        assert first.end == second.end


@pytest.mark.parametrize(
    ("mode", "status", "code", "count"),
    [
        ("fail", "failed", "llm_error", TIMINGS.trouble_after),
        ("vanish", "failed", "stream_incomplete", TIMINGS.trouble_after),
        ("silent", "timed_out", "idle_timeout", TIMINGS.trouble_after),
        ("refuse", "failed", "llm_rate_limit", 0),
    ],
)
@on_virtual_time
async def test_a_failure_is_typed(mode: Mode, status: str, code: str, count: int) -> None:
    """However a source fails, the run ends with a type and a code, and no byte comes from the exception (I13)."""
    async with DemoApp() as demo:
        exchange = await view(demo, await begin(demo, mode)).done()
        assert len(exchange.events) == count + 1
        assert exchange.end["status"] == status
        assert exchange.end["error"]["code"] == code
        assert len(exchange.end["error"]["error_id"]) == 32
        assert b"10.0.0.12" not in exchange.body
        assert b"1234" not in exchange.body


@on_virtual_time
async def test_silence_is_filled_then_ended() -> None:
    """A source that goes silent is covered by heartbeats, and timed out by its own silence, not by theirs (L4)."""
    async with DemoApp() as demo:
        exchange = await view(demo, await begin(demo, "silent")).done()
        assert exchange.end["reason"] == "idle_timeout"
        assert exchange.body.startswith(b": ping\n")
        assert exchange.body.count(b": ping\n") >= 1 + 3
        spoke = TIMINGS.first_token + TIMINGS.trouble_after / TIMINGS.tokens_per_second
        assert exchange.elapsed == pytest.approx(spoke + TIMINGS.idle, abs=0.1)


# Stop


@pytest.mark.parametrize("mode", ["normal", "fail", "silent", "vanish"])
@on_virtual_time
async def test_anyone_stops_a_run(mode: Mode) -> None:
    """Another client that knows the id ends the run at once; asked again, it stays as it is (L3)."""
    async with DemoApp() as demo:
        run_id = await begin(demo, mode)
        exchange = await view(demo, run_id).until(begun)
        before = exchange.elapsed
        for _ in range(2):
            stopped = await stop(demo, run_id)
            assert stopped.status == 200
            assert stopped.json["outcome"] == CANCELLED
        await exchange.done()
        assert exchange.elapsed == pytest.approx(before)
        assert exchange.end == CANCELLED
        assert exchange.text == prefix(exchange)


@on_virtual_time
async def test_a_source_that_ignores_stop_is_left_behind() -> None:
    """Stop ends also a run whose source swallows its cancellation, once the grace is over; then it answers."""
    async with DemoApp() as demo:
        run_id = await begin(demo, "hang")
        exchange = await view(demo, run_id).until(begun)
        before = exchange.elapsed
        assert (await stop(demo, run_id)).json["status"] == "cancelled"
        await exchange.done()
        assert exchange.elapsed - before == pytest.approx(TIMINGS.grace)
        assert exchange.end["status"] == "cancelled"


@on_virtual_time
async def test_stop_reaches_a_silent_source() -> None:
    """Stop does not wait for the next token."""
    async with DemoApp() as demo:
        run_id = await begin(demo, "silent")
        exchange = await view(demo, run_id).until(lambda each: each.started and each.body.endswith(b": ping\n" * 2))
        before = exchange.elapsed
        await stop(demo, run_id)
        await exchange.done()
        assert exchange.elapsed == pytest.approx(before)


# A crash


@on_virtual_time
async def test_a_crash_is_noticed_in_time() -> None:
    """When the worker dies, its runs end `lost` within the lease and two seconds, with heartbeats till then (L2)."""
    async with DemoApp() as demo:
        runs = [await begin(demo), await begin(demo, "silent")]
        viewers = [await view(demo, run_id).until(begun) for run_id in runs]
        unseen = await begin(demo)
        before = viewers[0].elapsed
        answer = await crash(demo)
        assert (answer.status, answer.json) == (202, {"lease_seconds": TIMINGS.lease})
        assert await demo.live() == 3
        said = [viewer.text for viewer in viewers]
        for viewer, text in zip(viewers, said, strict=True):
            await viewer.done()
            assert viewer.text == text == prefix(viewer)
            assert viewer.end["status"] == "lost"
            assert viewer.end["reason"] == "lease_expired"
            assert b": ping\n" in viewer.body.partition(b"event: text")[2]
        assert viewers[0].elapsed - before <= TIMINGS.lease + 2
        assert (await get(demo, f"/runs/{unseen}")).json["status"] == "lost"
        assert await demo.live() == 0


@on_virtual_time
async def test_the_next_worker_takes_over_new_runs() -> None:
    """A new run starts right after a crash, and what the dead worker had does not concern it."""
    async with DemoApp() as demo:
        old = await begin(demo)
        await crash(demo)
        new = view(demo, await begin(demo))
        assert (await view(demo, old).done()).end["status"] == "lost"
        await new.done()
        assert new.end["status"] == "completed"
        assert new.text == load_text()


@on_virtual_time
async def test_stop_ends_a_run_of_the_dead() -> None:
    """A run whose producer is dead can be stopped: nobody has to be alive for that (L3)."""
    async with DemoApp() as demo:
        run_id = await begin(demo)
        await asyncio.sleep(1)
        await crash(demo)
        before = asyncio.get_running_loop().time()
        assert (await stop(demo, run_id)).json["status"] == "cancelled"
        assert asyncio.get_running_loop().time() - before == pytest.approx(TIMINGS.grace)


@on_virtual_time
async def test_crashes_in_a_row() -> None:
    """Worker after worker may die."""
    async with DemoApp() as demo:
        runs = []
        for _ in range(3):
            runs.append(await begin(demo))
            await crash(demo)
        assert [(await view(demo, run_id).done()).end["status"] for run_id in runs] == ["lost"] * 3
        assert (await view(demo, await begin(demo)).done()).end["status"] == "completed"


@on_virtual_time
async def test_only_json_crashes_a_worker() -> None:
    """A form of another site cannot crash the worker, nor can a link."""
    async with DemoApp() as demo:
        assert (await get(demo, "/workers/crash", "POST", headers={"content-type": "text/plain"})).status == 415
        assert (await get(demo, "/workers/crash")).status == 405
        assert (await view(demo, await begin(demo)).done()).end["status"] == "completed"


# The list


@on_virtual_time
async def test_runs_are_listed() -> None:
    """The newest 50 runs are listed, newest first, with what was asked and how they ended."""
    async with DemoApp() as demo:
        failed = await begin(demo, "fail", "A" * 1000)
        await asyncio.sleep(10)
        for _ in range(app.LISTED - 2):
            await begin(demo, "refuse")
        live = await begin(demo, "silent")
        await asyncio.sleep(5)
        listed = (await get(demo, "/runs")).json
        assert len(listed["runs"]) == app.LISTED
        first, last = listed["runs"][0], listed["runs"][-1]
        assert (first["id"], last["id"]) == (live, failed)
        assert first == {
            "id": live,
            "status": "running",
            "outcome": None,
            "prompt": "Why?",
            "mode": "silent",
            "created_at": pytest.approx(listed["now"] - 5),
            "updated_at": pytest.approx(listed["now"], abs=TIMINGS.lease),
            "last_offset": TIMINGS.trouble_after,
        }
        assert last["outcome"]["error"]["code"] == "llm_error"
        assert last["prompt"] == "A" * app.LISTED_PROMPT
        assert last["last_offset"] == TIMINGS.trouble_after + 1
        assert listed["now"] == pytest.approx(time.time(), abs=60)  # by the time of day, and fifteen virtual seconds
        await begin(demo, "refuse")
        assert failed not in {run["id"] for run in (await get(demo, "/runs")).json["runs"]}
        await stop(demo, live)


@on_virtual_time
async def test_runs_are_forgotten() -> None:
    """A run is kept for an hour after its end, and is gone then; its tombstone says so."""
    async with DemoApp() as demo:
        run_id = await begin(demo, "refuse")
        await asyncio.sleep(app.RETENTION - 1)
        assert (await view(demo, run_id).done()).status == 200
        await asyncio.sleep(2)
        assert (await view(demo, run_id).done()).status == 410
        assert (await get(demo, "/runs")).json["runs"] == []


def test_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One live run too many is refused with a 503 that says when to come again; also of those that ask at once."""
    monkeypatch.setattr(app, "MAX_LIVE", 2)

    @on_virtual_time
    async def fill() -> None:
        async with DemoApp() as demo:
            answers = [ask(demo) for _ in range(4)]
            assert [(await answer.done()).status for answer in answers] == [201, 201, 503, 503]
            assert answers[2].json["code"] == "too_many_runs"
            assert answers[2].headers["retry-after"] == "1"
            await stop(demo, answers[0].json["id"])
            await begin(demo, "refuse")

    fill()


# Leaving


@on_virtual_time
async def test_leaving_lets_runs_end() -> None:
    """A demo that leaves takes no new runs, and lets the live ones end within its grace (L8)."""
    async with DemoApp(text="So short.") as demo:
        exchange = await view(demo, await begin(demo)).until(lambda each: each.started)
        leaving = asyncio.ensure_future(demo.drain())
        await asyncio.sleep(0)
        for refused in (await ask(demo).done(), await crash(demo)):
            assert refused.status == 503
            assert refused.json["code"] == "draining"
        await exchange.done()
        assert exchange.end["status"] == "completed"
        await leaving


@on_virtual_time
async def test_leaving_ends_what_goes_on() -> None:
    """What does not end within the grace is sealed, and every viewer gets that end (L8)."""
    async with DemoApp() as demo:
        exchange = await view(demo, await begin(demo)).until(begun)
        before = exchange.elapsed
        await demo.drain()
        await exchange.done()
        assert exchange.end == {"status": "lost", "reason": "shutdown", "error": None}
        assert exchange.elapsed - before <= TIMINGS.drain
        assert exchange.text == prefix(exchange)


@on_virtual_time
async def test_leaving_after_a_crash() -> None:
    """A demo can leave while a dead worker's run is not noticed yet; its viewer is let go without an end."""
    async with DemoApp() as demo:
        exchange = await view(demo, await begin(demo)).until(begun)
        await crash(demo)
        await demo.drain(0)
        await exchange.done()
        assert "end" not in {event.event for event in exchange.events}


@on_virtual_time
async def test_lifespan_opens_and_closes() -> None:
    """A server that announces its start and end gets its answers, and between them the demo is open."""
    demo = DemoApp()
    announced: asyncio.Queue[str] = asyncio.Queue()
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def receive() -> Message:
        return {"type": await announced.get()}

    async def send(message: Message) -> None:
        await answers.put(message["type"])

    with pytest.raises(RuntimeError, match="enter the relay first"):
        await ask(demo).done()
    life = asyncio.ensure_future(demo({"type": "lifespan"}, receive, send))
    await announced.put("lifespan.startup")
    assert await answers.get() == "lifespan.startup.complete"
    exchange = await view(demo, await begin(demo)).until(begun)
    await announced.put("lifespan.shutdown")
    assert await answers.get() == "lifespan.shutdown.complete"
    await life
    assert (await exchange.done()).end["status"] == "lost"
    assert (await ask(demo).done()).status == 503


@on_virtual_time
async def test_a_websocket_is_refused() -> None:
    """What is not HTTP is an error that says so."""

    async def never(*_: object) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="not websocket"):
        await DemoApp()({"type": "websocket"}, never, never)


# The page, and what is refused


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
async def test_the_routes_may_be_mounted() -> None:
    """Below another path, all of it works the same."""
    async with DemoApp() as demo:
        answer = await Exchange(demo, "POST", "/demo/runs", content=b'{"prompt": "x"}', root_path="/demo").done()
        run = await get(demo, f"/demo/runs/{answer.json['id']}", root_path="/demo")
        assert run.json["status"] == "running"


@on_virtual_time
async def test_about_says_what_answers() -> None:
    """The page can tell honestly that no model is attached, and how long things take."""
    about = (await get(DemoApp(), "/about")).json
    assert about["source"] == "text"
    assert about["model"] is None
    assert about["idle_seconds"] == TIMINGS.idle
    assert about["lease_seconds"] == TIMINGS.lease


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/streams",
        "/runs/",
        "/runs/x/y",
        "/workers",
        "/page.py",
        "/../app.py",
        "//",
        "/index.html",
        "/about/",
    ],
)
@on_virtual_time
async def test_unknown_paths(path: str) -> None:
    """What is not there is a 404 with a problem body."""
    async with DemoApp() as demo:
        exchange = await get(demo, path)
        assert exchange.status == 404
        assert exchange.headers["content-type"] == "application/problem+json"
        assert exchange.json["code"] in {"not_found", "run_not_found"}


@pytest.mark.parametrize("path", ["/runs/x", "/runs/x/events", f"/runs/{'0' * 32}/events"])
@on_virtual_time
async def test_unknown_runs(path: str) -> None:
    """An id that no run has is a 404 that says so."""
    async with DemoApp() as demo:
        assert (await get(demo, path)).json["code"] == "run_not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/runs", "GET, HEAD, POST"),
        ("GET", "/runs/x/cancel", "POST, OPTIONS"),
        ("GET", "/workers/crash", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/about", "GET, HEAD"),
    ],
)
@on_virtual_time
async def test_wrong_methods(method: str, path: str, allowed: str) -> None:
    """A method that a path does not take is a 405 that says which it takes; a cancel is never a GET."""
    async with DemoApp() as demo:
        exchange = await get(demo, path, method)
        assert exchange.status == 405
        assert exchange.headers["allow"] == allowed


@on_virtual_time
async def test_a_bad_question_starts_nothing() -> None:
    """What is refused is answered with a problem body, and no run comes of it."""
    async with DemoApp() as demo:
        exchange = await Exchange(demo, "POST", "/runs", content=b'{"prompt": ""}').done()
        assert exchange.status == 400
        assert exchange.json["code"] == "invalid_request"
        assert exchange.headers["cache-control"] == "no-store"
        slow = await ask(demo, stalled=True).done()
        assert slow.status == 408
        assert slow.elapsed == requests.BODY_TIMEOUT
        assert (await get(demo, "/runs")).json["runs"] == []
