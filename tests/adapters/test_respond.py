"""One call that starts a run or joins one, and answers: when it starts, when it must not, and what it refuses."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from sse_relay import ErrorCatalog, ErrorInfo, Relay, RunConflictError
from sse_relay.adapters.asgi import EventStreamResponse, ProblemResponse, respond
from sse_relay.runs.source import RunContext
from sse_relay.testing import FaultyStore, cancel_at_every_await
from tests.adapters.relays import Totals, memory
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play, silence

SECRET = "password=hunter2"


class Watch:
    """
    A source by its script that knows what became of it.

    Attributes:
        started: Whether any of it ran.
        closed: Whether it was closed.
    """

    def __init__(self, *steps: object) -> None:
        self.started = False
        self.closed = False
        self._items = self._play(steps)

    def __aiter__(self) -> Any:
        return self._items

    async def aclose(self) -> None:
        """Close it."""
        await self._items.aclose()
        self.closed = True

    async def _play(self, steps: tuple[object, ...]) -> AsyncGenerator[object, None]:
        self.started = True
        async for item in play(*steps):
            yield item


async def ask(
    relay: Relay,
    source: Any,
    *,
    method: Any = "GET",
    last_id: Any = None,
    after: Any = None,
    idempotency: Any = None,
    seconds: Any = 1000,
    **options: Any,
) -> Exchange:
    """Answer one request by `respond`, of a client that stays for so long."""
    sent = {"last-event-id": last_id, "idempotency-key": idempotency}
    headers = {name: str(said) for name, said in sent.items() if said is not None}
    exchange = Exchange(method, path="/" if after is None else f"/?after={after}", headers=headers)
    leaving = asyncio.get_running_loop().call_later(seconds, exchange.gone.set)
    response = await respond(relay, source, scope=exchange.scope, **options)
    await exchange.view(response)
    leaving.cancel()
    return exchange


async def count(relay: Relay) -> int:
    """Tell how many runs there are."""
    return len([run async for run in relay.runs()])


def refused(exchange: Exchange) -> tuple[int, str]:
    """Tell a problem's status and code."""
    assert exchange.complete
    return exchange.status, exchange.json["code"]


# Starting and joining


@on_virtual_time
async def test_a_request_starts_a_run() -> None:
    """B, F: without a key each request starts a run, and gets its stream; the header names it."""
    async with Relay(memory()) as relay:
        first, second = [await ask(relay, play("a", 1.0, "b"), status_code=201) for _ in range(2)]
        assert first.names == second.names == ["a", "b", "end"]
        assert first.status == 201
        assert first.headers["x-run-id"] != second.headers["x-run-id"]
        assert (await relay.info(first.headers["x-run-id"])).status == "completed"


@on_virtual_time
async def test_a_run_goes_on_without_its_client() -> None:
    """B: the client that started it leaves; the run, and who else views it, go on."""
    async with Relay(memory()) as relay:
        starting = ask(relay, play("a", 10.0, "b"), key="chat", seconds=5)
        other = asyncio.create_task(ask(relay, Watch(), key="chat"))
        assert (await starting).names == ["a"]
        assert (await other).names == ["a", "b", "end"]


@on_virtual_time
async def test_a_second_request_joins() -> None:
    """G1: a key has one run: who comes later gets all of it, and brings a source that is closed unstarted."""
    async with Relay(memory()) as relay:
        first = asyncio.create_task(ask(relay, play("a", 10.0, "b"), key="chat"))
        await asyncio.sleep(5)
        source = Watch("other")
        second = await ask(relay, source, key="chat")
        assert second.names == (await first).names == ["a", "b", "end"]
        assert second.headers["x-run-id"] == (await first).headers["x-run-id"]
        assert source.closed
        assert not source.started
        assert (await ask(relay, play("new"), key="chat")).names == ["new", "end"]  # the first one has ended


@on_virtual_time
async def test_a_second_request_is_rejected() -> None:
    """G1: a conflict is a 409 that no model SDK repeats; the source is closed unstarted, the first run goes on."""
    async with Relay(memory()) as relay:
        first = asyncio.create_task(ask(relay, play("a", 10.0, "b"), key="chat", on_conflict="reject"))
        await asyncio.sleep(5)
        source = Watch("other")
        exchange = await ask(relay, source, key="chat", on_conflict="reject")
        assert refused(exchange) == (409, "run_conflict")
        assert exchange.headers["x-should-retry"] == "false"
        assert "x-run-id" not in exchange.headers
        assert source.closed
        assert not source.started
        assert (await first).names == ["a", "b", "end"]


@on_virtual_time
async def test_a_second_request_replaces() -> None:
    """G1: the first run is cancelled, its viewer told; the second one takes the key."""
    async with Relay(memory()) as relay:
        first = asyncio.create_task(ask(relay, play("a", silence()), key="chat"))
        await asyncio.sleep(5)
        second = await ask(relay, play("b"), key="chat", on_conflict="replace")
        assert second.names == ["b", "end"]
        assert (await first).names == ["a", "end"]
        assert b'"cancelled","reason":"replaced"' in (await first).body


@on_virtual_time
async def test_a_run_is_started_as_it_is_asked_for() -> None:
    """B, G: id, key, metadata, time limits, both dialects and the response's options reach where they belong."""

    def source(context: RunContext) -> Any:
        assert (context.run_id, context.key, context.metadata) == ("my-run", "chat", {"scope": "ada"})
        return play("1", 500.0)

    options: dict[str, Any] = {"dialect": Totals(), "source_dialect": Totals("spoken"), "headers": {"x-own": "1"}}
    async with Relay(memory()) as relay:
        exchange = await ask(
            relay,
            source,
            run_id="my-run",
            key="chat",
            metadata={"scope": "ada"},
            idle_timeout=9,
            keepalive=5,
            **options,
        )
        assert exchange.headers["x-run-id"] == "my-run"
        assert exchange.headers["x-own"] == "1"
        assert [event.event for event in exchange.events] == ["run", None, "total", "sum", "over"]
        assert exchange.events[-1].data == "timed_out idle_timeout"
        assert Totals.heartbeat in exchange.writes
        info = await relay.info("my-run")
        assert (info.dialect, info.metadata) == ("spoken", {"scope": "ada"})
        exchange = await ask(relay, play(500.0), timeout=3)
        assert exchange.times[-1] == 3


# Coming back


@on_virtual_time
async def test_a_cursor_resumes() -> None:
    """C, I3: a request with a cursor gets the rest of its key's run, live and ended, and starts nothing."""
    async with Relay(memory()) as relay:
        cut = await ask(relay, play("a", "b", 10.0, "c"), key="chat", seconds=5)
        assert cut.names == ["a", "b"]
        for seen in ({"last_id": cut.events[1].id}, {"after": cut.events[1].id}, {"after": 2}) * 2:
            source = Watch("new")
            exchange = await ask(relay, source, key="chat", **seen)
            assert exchange.names == ["c", "end"]
            assert exchange.headers["x-run-id"] == cut.headers["x-run-id"]
            assert source.closed
            assert not source.started
        assert await count(relay) == 1


@pytest.mark.parametrize("on_conflict", ["join", "reject", "replace"])
@on_virtual_time
async def test_a_cursor_never_starts_a_run(on_conflict: str) -> None:
    """C, I11: after the end 204, elsewhere its row of the table, whatever the policy; every source unstarted."""
    async with Relay(memory(retention=100)) as relay:
        run = await relay.start(play("a"), key="chat", run_id="run")
        await relay.wait(run.id)
        rows: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
            ({"key": "chat"}, {"last_id": f"{run.epoch}:2"}, 204),
            ({"key": "chat"}, {"after": 2}, 204),
            ({"run_id": "run"}, {"last_id": f"{run.epoch}:2"}, 204),
            ({"key": "chat"}, {"last_id": f"{run.epoch}:3"}, (409, "cursor_mismatch")),
            ({"key": "chat"}, {"last_id": "0123456789abcdef:1"}, (409, "cursor_mismatch")),
            ({"key": "chat"}, {"last_id": "nonsense"}, (400, "invalid_cursor")),
            ({"key": "chat"}, {"after": "-1"}, (400, "invalid_cursor")),
            ({"key": "other"}, {"last_id": f"{run.epoch}:1"}, (404, "run_not_found")),
            ({"key": ""}, {"last_id": f"{run.epoch}:1"}, (404, "run_not_found")),
            ({"run_id": "unknown"}, {"last_id": f"{run.epoch}:1"}, (404, "run_not_found")),
            ({}, {"last_id": f"{run.epoch}:1"}, (404, "run_not_found")),
            ({}, {"after": 1}, (404, "run_not_found")),
            ({"idempotency": "1"}, {"last_id": f"{run.epoch}:1"}, (404, "run_not_found")),
        ]
        for names, seen, answer in rows:
            source = Watch("new")
            exchange = await ask(relay, source, on_conflict=on_conflict, **names, **seen)
            assert (exchange.status if exchange.status == 204 else refused(exchange)) == answer
            assert source.closed
            assert not source.started
        assert await count(relay) == 1
        await asyncio.sleep(150)
        source = Watch("new")
        assert refused(await ask(relay, source, key="chat", last_id=f"{run.epoch}:2")) == (404, "run_not_found")
        assert refused(await ask(relay, source, run_id="run", last_id=f"{run.epoch}:2")) == (410, "run_expired")
        assert source.closed
        assert not source.started


@on_virtual_time
async def test_having_seen_nothing_is_no_cursor() -> None:
    """``?after=0`` and an empty header come from a client at its beginning: it starts or joins."""
    async with Relay(memory()) as relay:
        for seen in ({"after": 0}, {"after": ""}, {"last_id": ""}):
            assert (await ask(relay, play("a"), key="chat", **seen)).names == ["a", "end"]
        assert await count(relay) == 3


@on_virtual_time
async def test_a_page_that_reconnects_generates_once() -> None:
    """C: what an EventSource does, start, cut, come back, end, come back: one run, and then 204."""
    async with Relay(memory()) as relay:
        names: list[str | None] = []
        last_id = None
        for _ in range(10):
            exchange = await ask(relay, play("a", 3.0, "b", 3.0, "c"), key="chat", last_id=last_id, seconds=2)
            if exchange.status == 204:
                break
            names += exchange.names
            last_id = exchange.events[-1].id if exchange.events else last_id
        assert names == ["a", "b", "c", "end"]
        assert await count(relay) == 1


@on_virtual_time
async def test_an_idempotency_key_finds_its_run() -> None:
    """The same request again, by header or argument, gets the run of the first; with other metadata it is 409."""
    async with Relay(memory()) as relay:
        first = await ask(relay, play("a"), idempotency="1", metadata={"scope": "ada"})
        source = Watch("b")
        again = await ask(relay, source, idempotency="1", metadata={"scope": "ada"})
        assert again.names == ["a", "end"]
        assert again.headers["x-run-id"] == first.headers["x-run-id"]
        assert source.closed
        assert not source.started
        argument = await ask(relay, play("b"), idempotency_key="1", idempotency="2", metadata={"scope": "ada"})
        assert argument.headers["x-run-id"] == first.headers["x-run-id"]
        assert (await ask(relay, play("b"), idempotency="1", metadata={"scope": "bob"})).names == ["b", "end"]
        exchange = await ask(relay, play("b"), idempotency="1", metadata={"scope": "ada", "model": "other"})
        assert refused(exchange) == (409, "idempotency_conflict")
        assert exchange.headers["x-should-retry"] == "false"


@on_virtual_time
async def test_an_idempotency_key_counts_within_a_scope() -> None:
    """I12: two clients that chose the same key do not get each other's run, unless they share a scope."""
    async with Relay(memory()) as relay:
        ada = await ask(relay, play("for ada"), idempotency="1")
        bob = await ask(relay, play("for bob"), idempotency="1")
        assert (ada.names, bob.names) == (["for ada", "end"], ["for bob", "end"])
        key = await ask(relay, play("for eve"), idempotency="1", key="eve")
        again = await ask(relay, play("again"), idempotency="1", key="eve")
        assert again.names == key.names == ["for eve", "end"]


@on_virtual_time
async def test_a_head_starts_nothing() -> None:
    """HEAD: the headers of a stream and no body; nothing is generated for it. With a cursor it is as GET."""
    async with Relay(memory()) as relay:
        source = Watch("a")
        exchange = await ask(relay, source, method="HEAD", key="chat", headers={"x-own": "1"})
        assert exchange.status == 200
        assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert exchange.headers["x-own"] == "1"
        assert exchange.complete
        assert source.closed
        assert not source.started
        assert await count(relay) == 0
        run = await relay.start(play("a"), key="chat")
        await relay.wait(run.id)
        assert (await ask(relay, Watch(), method="HEAD", key="chat", last_id=f"{run.epoch}:2")).status == 204
        exchange = await ask(relay, Watch(), method="HEAD", key="chat", last_id=f"{run.epoch}:3")
        assert (exchange.status, exchange.body) == (409, b"")


# What is refused, and what fails


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"keepalive": 0}, ValueError, "keepalive"),
        ({"headers": {"x-a": "1\r\n"}}, ValueError, "invalid header"),
        ({"end_status": 500}, ValueError, "end_status"),
        ({"unknown": 1}, TypeError, "unknown"),
        ({"on_conflict": "ask"}, ValueError, "on_conflict must be"),
        ({"run_id": "a b"}, ValueError, "run_id must be"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"key": 5}, TypeError, "key must be text"),
        ({"source_dialect": "native"}, TypeError, "dialect must be"),
    ],
    ids=str,
)
@on_virtual_time
async def test_bad_options_are_refused_before_anything_is_started(
    options: dict[str, Any], error: type[Exception], problem: str
) -> None:
    """A mistake of the application's is its exception; no run is left, and the source is closed unstarted."""
    async with Relay(memory()) as relay:
        source = Watch("a")
        with pytest.raises(error, match=problem):
            await respond(relay, source, scope=Exchange().scope, **options)
        assert source.closed
        assert not source.started
        assert await count(relay) == 0


@on_virtual_time
async def test_what_is_no_source_is_refused() -> None:
    """A source that cannot be one is a TypeError that says what to pass."""
    async with Relay(memory()) as relay:
        source: Any = ["a"]
        with pytest.raises(TypeError, match="from_thread"):
            await respond(relay, source, scope=Exchange().scope)


@pytest.mark.parametrize("cursor", [False, True], ids=["start", "resume"])
@on_virtual_time
async def test_a_store_that_does_not_answer_is_a_503(cursor: bool) -> None:
    """Defect 10: an outage is a problem with when to come back; the source is closed unstarted."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        source = Watch("a")
        with store.outage():
            exchange = await ask(relay, source, key="chat", last_id="0123456789abcdef:1" if cursor else None)
        assert refused(exchange) == (503, "store_unavailable")
        assert exchange.headers["retry-after"] == "1"
        assert source.closed
        assert not source.started


@on_virtual_time
async def test_a_relay_that_drains_is_a_503() -> None:
    """L8: a draining relay starts nothing; the client is sent elsewhere; what runs is viewed to its end."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("a", 5.0, "b"), key="chat")
        draining = asyncio.create_task(relay.drain(10))
        await asyncio.sleep(1)
        source = Watch("a")
        assert refused(await ask(relay, source, key="new")) == (503, "draining")
        assert source.closed
        assert not source.started
        assert (await ask(relay, Watch(), key="chat", last_id=f"{run.epoch}:1")).names == ["b", "end"]
        await draining


@on_virtual_time
async def test_a_source_that_fails_says_so_in_its_stream() -> None:
    """B6, I13: 200 was said at once, so a failure of the source is the end of the stream, in the catalog's words."""

    async def awaited() -> Any:
        raise ValueError(SECRET)

    async with Relay(memory()) as relay:
        for source in (play(ValueError(SECRET)), awaited(), lambda _: 5):
            exchange = await ask(relay, source)
            assert exchange.status == 200
            assert exchange.names == ["end"]
            assert b"internal_error" in exchange.body
            assert SECRET.encode() not in exchange.body


@on_virtual_time
async def test_the_catalog_has_the_words() -> None:
    """I13: what a client learns of a conflict is the application's to say."""
    errors = ErrorCatalog()
    errors.register(RunConflictError, "busy", "One at a time.", status=429)
    async with Relay(memory()) as relay:
        await relay.start(play(silence()), key="chat")
        exchange = await ask(relay, play("a"), key="chat", on_conflict="reject", errors=errors)
        assert refused(exchange) == (429, "busy")


@pytest.mark.parametrize("again", [0, 1, 2])
@pytest.mark.parametrize("cursor", [False, True], ids=["start", "resume"])
@on_virtual_time
async def test_a_call_that_is_cancelled_leaves_a_run_or_none(cursor: bool, again: int) -> None:
    """I9: cancelled at any await, once and twice, a source is started by a run, or closed."""
    sources: list[Watch] = []
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        with store.delays(0.1, "open", "lookup"):

            def make() -> Any:
                sources.append(Watch("a"))
                key = f"chat-{len(sources)}"
                exchange = Exchange(headers={"last-event-id": "0123456789abcdef:1"} if cursor else {})
                return respond(relay, sources[-1], scope=exchange.scope, key=key)

            async def check(step: int) -> None:
                await asyncio.sleep(5)
                assert sources[-1].closed, step
                assert not (cursor and sources[-1].started)

            assert await cancel_at_every_await(make, check, again=again) >= 1


# The response


@on_virtual_time
async def test_the_answer_is_an_application() -> None:
    """What `respond` returns is called with the request: a stream or a problem, whose status is told."""
    async with Relay(memory()) as relay:
        assert isinstance(await respond(relay, play("a"), scope=Exchange().scope), EventStreamResponse)
        scope = Exchange(headers={"last-event-id": "x"}).scope
        problem = await respond(relay, play("a"), scope=scope)
        assert isinstance(problem, ProblemResponse)
        assert problem.status_code == 400


@on_virtual_time
async def test_a_problem_is_answered_as_often_as_asked() -> None:
    """A problem has the headers that it was given, is cached by nobody, and has no body for a HEAD."""
    problem = ProblemResponse(ErrorInfo("too_fast", "Slow down.", "id1", 429), {b"retry-after": b"9"})
    for method in ("GET", "HEAD", "POST"):
        exchange = await Exchange(method).view(problem)
        assert exchange.status == 429
        assert exchange.headers == {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            "retry-after": "9",
        }
        assert exchange.complete
        assert (b'"detail":"Slow down."' in exchange.body) is (method != "HEAD")
        assert (exchange.body == b"") is (method == "HEAD")
