"""A whole stream, and how that went: rows I1 to I8 of a resuming client."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from sse_relay import CancelToken, MemoryStore, Outcome, Relay, RunNotFoundError, ServerSentEvent, StreamIncompleteError
from sse_relay.adapters.messages import Receive, Scope, Send, start
from sse_relay.client import FindRun, PendingCall, collect, connect
from sse_relay.dialects import ToolCallDelta, event_of
from tests.adapters.relays import open_to_all
from tests.adapters.servers import on_virtual_time, serve
from tests.adapters.sources import play
from tests.client.peers import EPOCH, NO_PAUSE, Peer, Reply, frame, log, offset_of

URL = "http://peer/runs/run-1/events"
POST: dict[str, Any] = {"method": "POST", "json": {"prompt": "Hi"}}
COMPLETED = Outcome("completed", "stop")
CUT = httpx2.ReadError("cut")


async def run(peer: Peer, **options: Any) -> Any:
    return await collect(URL, client=peer.client, **options)


@on_virtual_time
async def test_a_stream_that_ends() -> None:
    """I1, I5: outcome, cursor, times and count of a stream that was read to its end."""
    result = await run(Peer(Reply(2.0, *log(3)[:2], 5.0, log(3)[2])))
    assert (result.outcome, result.last_cursor, result.events, result.resumes) == (COMPLETED, f"{EPOCH}:3", 3, 0)
    assert (result.ttft, result.duration) == (pytest.approx(2), pytest.approx(7))
    assert (result.error, result.resume_error, result.not_resumed) == (None, None, None)


@on_virtual_time
async def test_resumed_as_often_as_needed() -> None:
    """I2, defect 20: each cut is resumed after the last id; the result is that of an unbroken stream."""

    def answer(request: httpx2.Request) -> Reply:
        return Reply(*log(30)[offset_of(request.headers.get("last-event-id")) :][:1], CUT)

    result = await run(Peer(answer))
    assert (result.outcome, result.events, result.resumes, result.error) == (COMPLETED, 30, 29, None)


@on_virtual_time
async def test_a_lost_request_is_found_again() -> None:
    """I3: a POST that dies before its first event is found by its key, and read from the start of its run."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> Reply:
        asked.append(f"{request.method} {request.url.path}")
        match request.url.path:
            case "/relay/keys/chat/active":
                return Reply(b'{"id":"run-2"}')
            case "/relay/runs/run-2/events":
                return Reply(*log(3))
            case "/runs/run-1/events":
                return Reply(CUT)
            case _:
                return Reply(status=404)

    result = await run(Peer(answer), find=FindRun("http://peer/relay", "chat"), **POST)
    assert (result.outcome, result.events, result.resumes, result.error) == (COMPLETED, 3, 1, None)
    assert asked == [
        "GET /relay/keys/chat/latest",
        "POST /runs/run-1/events",
        "GET /relay/keys/chat/active",
        "GET /relay/runs/run-2/events",
    ]


@on_virtual_time
async def test_a_lost_request_that_is_not_found() -> None:
    """I3, I7: without a place to look, and where there is nothing, the reason is told with the first error."""
    result = await run(Peer(Reply(CUT)), **POST)
    assert (result.error, result.resume_error, result.not_resumed) == (CUT, None, "not_repeatable")
    assert (result.outcome.status, result.outcome.error.code) == ("failed", "connection_lost")
    nothing = [Reply(status=404), Reply(CUT), Reply(status=404), Reply(status=404)]
    result = await run(Peer(*nothing), find=FindRun("http://peer/relay", "chat"), **POST)
    assert (result.error, result.not_resumed) == (CUT, "run_not_found")
    found = [Reply(status=404), Reply(CUT), Reply(b'{"id":"r"}'), Reply(status=410)]
    result = await run(Peer(*found), find=FindRun("http://peer/relay", "chat"), **POST)
    assert (result.error, str(result.resume_error)[:11]) == (CUT, "run 'r' has")


@on_virtual_time
async def test_a_lost_request_with_an_idempotency_key() -> None:
    """I3: with an idempotency key the request itself finds its run again."""
    result = await run(Peer(Reply(CUT), Reply(*log(2))), headers={"Idempotency-Key": "k"}, **POST)
    assert (result.outcome, result.events, result.resumes) == (COMPLETED, 2, 1)


def test_a_lost_request_at_a_real_relay() -> None:
    """I3: over real sockets, the run of a POST whose answer was lost is found by its key, and read whole."""

    async def main() -> None:
        async with Relay() as relay:
            runs = open_to_all(relay)

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                if scope["method"] == "GET":
                    return await runs(scope, receive, send)
                await relay.start(play("a", 0.05, "b"), key="chat/7")
                await send(start(200, {b"content-type": b"text/event-stream"}))
                raise ConnectionResetError

            async with serve(app) as server:
                url = f"http://127.0.0.1:{server._port}"
                for _ in range(2):  # the second one has a predecessor, which is not its run
                    seen: list[str | None] = []
                    result = await collect(
                        f"{url}/chat",
                        find=FindRun(url, "chat/7"),
                        on_event=lambda event, seen=seen: seen.append(event.data),  # type: ignore[misc]
                        **POST,
                    )
                    assert (seen[:-1], result.outcome) == (["a", "b"], Outcome("completed"))

    asyncio.run(main())


@on_virtual_time
async def test_abort_while_nothing_comes() -> None:
    """I4: an abort closes the connection at once, also of a silent stream, or while it waits to connect again."""
    for steps in ([frame(1), 1e6], [frame(1), CUT], [1e6]):
        began = asyncio.get_running_loop().time()
        token = CancelToken()
        asyncio.get_running_loop().call_later(1.0, token.cancel, "user")
        peer = Peer(Reply(*steps))
        result = await run(peer, abort=token, read_timeout=1e7)
        assert (result.outcome, result.not_resumed) == (Outcome("cancelled", "user"), "aborted")
        assert asyncio.get_running_loop().time() - began == pytest.approx(1)
        assert peer.replies[0].closed
        assert not token._watchers


@on_virtual_time
async def test_abort_before_and_after_each_event() -> None:
    """I4: a stream is not read after an abort, nor is a hook called, whatever has come already."""
    token = CancelToken()
    seen: list[str | None] = []

    def stop_at_two(event: ServerSentEvent) -> None:
        seen.append(event.data)
        if event.data == "2":
            token.cancel("user")

    result = await run(Peer(Reply(b"".join(log(9)))), abort=token, on_event=stop_at_two)
    assert (seen, result.events, result.outcome) == (["1", "2"], 2, Outcome("cancelled", "user"))
    peer = Peer(Reply(*log(2)))
    result = await run(peer, abort=token, on_event=stop_at_two)
    assert (peer.requests, result.outcome, result.events) == ([], Outcome("cancelled", "user"), 0)


@on_virtual_time
async def test_hooks() -> None:
    """I5: a hook sees each event, another one the first, sync or async; the hook's outcome is the result's."""
    calls: list[object] = []

    async def on_event(event: ServerSentEvent) -> Outcome | None:
        await asyncio.sleep(0)
        calls.append(event.data)
        return Outcome("completed", "requires_approval") if event.data == "1" else None

    async def on_first_event(event: ServerSentEvent) -> None:
        await asyncio.sleep(0)
        calls.append(("first", event.data))

    result = await run(Peer(Reply(*log(2))), on_event=on_event, on_first_event=on_first_event)
    assert calls[:2] == [("first", "1"), "1"]
    assert (len(calls), result.outcome) == (3, Outcome("completed", "requires_approval"))
    calls.clear()
    await run(Peer(Reply(*log(2))), on_event=lambda event: calls.append(event.data), on_first_event=calls.append)
    assert len(calls) == 3


@on_virtual_time
async def test_a_hook_that_raises() -> None:
    """I5: what a hook raises is the caller's, also a timeout; the connection is closed."""
    for error in (ValueError("hook"), TimeoutError("hook")):

        def raising(_: ServerSentEvent, error: Exception = error) -> None:
            raise error

        peer = Peer(Reply(frame(1), 1e6))
        with pytest.raises(type(error), match="hook"):
            await run(peer, on_event=raising, abort=CancelToken())
        assert peer.replies[0].closed


@on_virtual_time
async def test_arguments_that_are_split_by_a_cut() -> None:
    """I6, defect 20: a tool call whose arguments came over several connections is whole, and pending."""
    parts = ['{"mes', 'sage":', '"Hi"', "}"]
    deltas = [ToolCallDelta(parts[0], id="call-1", name="send", index=0), *map(ToolCallDelta, parts[1:])]
    records = [event_of(delta).replace(id=f"{EPOCH}:{offset}").encode() for offset, delta in enumerate(deltas, 1)]
    records.append(log(5)[-1])

    def answer(request: httpx2.Request) -> Reply:
        after = offset_of(request.headers.get("last-event-id"))
        again = records[after - 1] if after else b""  # the last one, as some servers do
        return Reply(again + b"".join(records[after:])[: len(records[after]) + 9], CUT)

    result = await run(Peer(answer), backoff=NO_PAUSE)
    assert result.outcome == COMPLETED
    assert result.pending == (PendingCall("call-1", "send", "".join(parts)),)
    assert json.loads(result.pending[0].arguments) == {"message": "Hi"}
    assert result.resumes >= 3


@on_virtual_time
async def test_why_it_was_not_resumed() -> None:
    """I7: the first error, what resuming failed with, or why it was not tried."""
    later = httpx2.ConnectError("later")
    rows: list[tuple[list[Any], dict[str, Any], tuple[Any, Any, Any]]] = [
        ([Reply(frame(1), CUT)], {"max_retries": 0}, (CUT, None, "max_retries")),
        ([Reply(frame(1), CUT), later], {"max_retries": 1}, (CUT, later, None)),
    ]
    for answers, options, expected in rows:
        result = await run(Peer(*answers), **options)
        assert (result.error, result.resume_error, result.not_resumed) == expected
        assert (result.outcome.status, result.last_cursor) == ("failed", f"{EPOCH}:1")
    result = await run(Peer(Reply(frame(1), CUT), Reply(status=404)))
    assert (result.error, type(result.resume_error), result.not_resumed) == (CUT, RunNotFoundError, None)
    result = await run(Peer(later), fail_fast=True)
    assert (result.error, result.resume_error, result.not_resumed) == (later, None, "fail_fast")
    result = await run(Peer(Reply(status=403)))
    assert (result.error.status, result.resume_error, result.not_resumed) == (403, None, "refused")
    assert result.outcome.error.code == "refused"


@on_virtual_time
async def test_the_diary() -> None:
    """I8: the result has the last hundred events; a diary that cannot be written does not break the stream."""

    def full(_: object) -> None:
        raise OSError("disk full")

    result = await run(Peer(Reply(*log(300))), write_diary=full)
    assert (result.outcome, result.events, len(result.diary)) == (COMPLETED, 300, 100)
    assert result.diary[-1].id == f"{EPOCH}:300"


@on_virtual_time
async def test_a_stream_that_has_ended_before() -> None:
    """I1: after 204 the relay is asked for the outcome; another server may not tell it."""
    state = Reply(b'{"outcome":{"status":"cancelled","reason":"user","error":null}}')
    result = await run(Peer(Reply(status=204), state), after=f"{EPOCH}:9")
    assert (result.outcome, result.events, result.last_cursor) == (Outcome("cancelled", "user"), 0, f"{EPOCH}:9")
    assert (await run(Peer(Reply(status=204), Reply(status=404)))).outcome is None


@on_virtual_time
async def test_other_events() -> None:
    """I1: events of `connect`, and of a relay in this process, are collected, too; what just stops is incomplete."""
    peer = Peer(Reply(*log(2)))
    result = await collect(connect(URL, client=peer.client))
    assert (result.outcome, result.events) == (COMPLETED, 2)
    with pytest.raises(TypeError, match="URL"):
        await collect(connect(URL, client=peer.client), after=1)
    async with Relay(MemoryStore(clock=asyncio.get_running_loop().time)) as relay:
        started = await relay.start(play("a", 1.0, "b"))
        async with relay.subscribe(started.id) as events:
            result = await collect(events)
        assert (result.outcome, result.events) == (Outcome("completed"), 3)

    async def stops() -> AsyncGenerator[ServerSentEvent]:
        yield ServerSentEvent("a")

    result = await collect(stops())
    assert (result.outcome and result.outcome.status, type(result.error)) == ("failed", StreamIncompleteError)
