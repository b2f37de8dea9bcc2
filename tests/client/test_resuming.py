"""One stream over many connections, on virtual time: nothing lost, nothing doubled, and only the server ends it."""

import asyncio
import gc
import logging
import tracemalloc
from typing import Any

import httpx2
import pytest

from sse_relay import EventTooLargeError, Outcome, RunNotFoundError, ServerSentEvent, StreamIncompleteError
from sse_relay.client import Backoff, ConnectionLostError, ResponseRefusedError, connect
from tests.adapters.servers import TwoParts, on_virtual_time
from tests.client.peers import EPOCH, NO_PAUSE, Peer, Reply, frame, log, offset_of, read

URL = "http://peer/events"


def stream(peer: Peer, **options: Any) -> Any:
    return connect(URL, client=peer.client, **options)


@on_virtual_time
async def test_a_stream_is_read_to_its_end() -> None:
    """I1: every event, then the server's outcome; one connection, which is closed although the server goes on."""
    peer = Peer(Reply(*log(4)[:3], log(4)[3] + frame(5) + b"id: x\n\n", 3600.0))
    events = stream(peer)
    assert (await read(events))[:-1] == ["1", "2", "3"]
    assert (events.outcome, events.ended, events.resumes) == (Outcome("completed", "stop"), True, 0)
    assert events.last_id == f"{EPOCH}:4"
    assert peer.replies[0].closed
    assert asyncio.get_running_loop().time() < 1
    assert peer.requests[0].headers["accept"] == "text/event-stream"


@on_virtual_time
async def test_cut_at_every_byte() -> None:
    """I1, I2, I3: cut after any byte, and again at another, in order or not: nothing lost, nothing doubled."""
    records = log(6)
    for cut in range(len(b"".join(records))):
        lengths = [cut, cut % 97]
        broken = [httpx2.ReadError("cut")] if cut % 2 else []

        def answer(request: httpx2.Request, lengths: list[int] = lengths, broken: list[Any] = broken) -> Reply:
            rest = b"".join(records[offset_of(request.headers.get("last-event-id")) :])
            return Reply(rest[: lengths.pop(0)], *broken) if lengths else Reply(rest)

        events = stream(Peer(answer), backoff=NO_PAUSE)
        assert [data for data in await read(events) if data and data.isdigit()] == ["1", "2", "3", "4", "5"], cut
        assert events.outcome == Outcome("completed", "stop")


@on_virtual_time
async def test_the_pauses_of_a_server_that_is_away() -> None:
    """I2: 3 s, then twice as long each time, to 30 s; an event begins anew."""
    away = httpx2.ConnectError("refused")
    peer = Peer(*[away] * 6, Reply(frame(1)), Reply(*log(2)[1:]))
    await read(stream(peer))
    pauses = [later - sooner for sooner, later in zip(peer.times, peer.times[1:], strict=False)]
    for pause, nominal in zip(pauses, [3, 6, 12, 24, 24, 24, 3], strict=True):
        assert nominal <= pause <= nominal * 1.25
    assert max(pauses) <= 30


@on_virtual_time
async def test_what_the_server_wishes() -> None:
    """I2: `retry:` takes the place of the first pause, and no client comes back before `Retry-After`."""
    busy = Reply(status=503, headers={"retry-after": "120"})
    peer = Peer(Reply(b"retry: 500\n" + frame(1)), busy, Reply(*log(2)[1:]))
    await read(stream(peer))
    first, second = peer.times[1] - peer.times[0], peer.times[2] - peer.times[1]
    assert 0.5 <= first <= 0.625
    assert 120 <= second <= 121


@on_virtual_time
async def test_silence_is_found() -> None:
    """Defect 20: a half-open connection, and one that never answers, are left after `read_timeout`."""

    async def never(request: httpx2.Request) -> Reply:
        await asyncio.sleep(1e6)
        raise AssertionError(request)

    calls = 0

    def answer(request: httpx2.Request) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            return never(request)
        return Reply(frame(1), 1e6) if calls == 1 else Reply(frame(2), 40.0, b": ping\n", 40.0, log(3)[2])

    peer = Peer(answer)
    assert (await read(stream(peer, read_timeout=45)))[:2] == ["1", "2"]
    assert 48 <= peer.times[1] - peer.times[0] <= 49
    assert 51 <= peer.times[2] - peer.times[1] <= 53
    assert len(peer.times) == 3


@on_virtual_time
async def test_the_limit_of_retries() -> None:
    """I7: past `max_retries` connections without an event the first error is told, and what broke it last."""
    first, last = httpx2.ReadError("first"), httpx2.ConnectError("last")
    peer = Peer(Reply(frame(1), first), last, last)
    async with stream(peer, max_retries=2) as events:
        assert (await anext(events)).data == "1"
        with pytest.raises(ConnectionLostError) as caught:
            await anext(events)
        assert (caught.value.reason, caught.value.original, caught.value.__cause__) == ("max_retries", first, last)
        assert events.last_id == f"{EPOCH}:1"
        with pytest.raises(StopAsyncIteration):
            await anext(events)


@on_virtual_time
async def test_what_is_told_of_a_retry() -> None:
    """I2: ahead of each pause the caller is told what broke the connection, and how long the pause is."""
    told: list[tuple[float, Exception, float]] = []
    loop = asyncio.get_running_loop()
    cut, away = httpx2.ReadError("cut"), httpx2.ConnectError("away")
    peer = Peer(Reply(frame(1), cut), away, Reply(*log(2)[1:]))
    await read(stream(peer, on_retry=lambda error, pause: told.append((loop.time(), error, pause))))
    assert [error for _, error, _ in told] == [cut, away]
    assert [at + pause for at, _, pause in told] == pytest.approx(peer.times[1:])


@on_virtual_time
async def test_a_caller_who_gives_up() -> None:
    """I7: what `on_retry` raises is the reader's; everything is closed, and nothing is asked again."""

    def give_up(error: Exception, _: float) -> None:
        raise LookupError from error

    peer = Peer(Reply(frame(1)))
    async with stream(peer, on_retry=give_up) as events:
        assert (await anext(events)).data == "1"
        with pytest.raises(LookupError) as caught:
            await anext(events)
        assert isinstance(caught.value.__cause__, StreamIncompleteError)
        assert [event async for event in events] == []
    assert (len(peer.requests), peer.replies[0].closed) == (1, True)


@on_virtual_time
async def test_a_first_connection_that_must_be() -> None:
    """I7: with `fail_fast` a server that is away, busy or silent at first is an error, and later it is waited for."""

    async def silent(_: httpx2.Request) -> Reply:
        await asyncio.sleep(1e6)
        return Reply()

    for answer in (httpx2.ConnectError("away"), Reply(status=503), silent):
        with pytest.raises(ConnectionLostError) as caught:
            await read(stream(Peer(answer), fail_fast=True))
        assert caught.value.reason == "fail_fast"
    peer = Peer(Reply(), httpx2.ConnectError("away"), Reply(*log(2)))
    assert (await read(stream(peer, fail_fast=True)))[:1] == ["1"]


@on_virtual_time
async def test_closed_while_it_is_read() -> None:
    """L7: a reader that waits ends when another task closes the stream; nobody is told of a retry."""

    async def silent(_: httpx2.Request) -> Reply:
        await asyncio.sleep(1e6)
        return Reply()

    loop = asyncio.get_running_loop()
    for answer, seen in ((Reply(frame(1), frame(2), 1e6), ["1", "2"]), (silent, []), (httpx2.ConnectError("away"), [])):
        began = loop.time()
        told: list[Exception] = []
        peer = Peer(answer)
        events = stream(peer, on_retry=lambda error, _, told=told: told.append(error))
        reading = asyncio.create_task(read(events))
        await asyncio.sleep(1)
        await events.aclose()
        assert await reading == seen
        assert len(told) == isinstance(answer, Exception)
        assert all(reply.closed for reply in peer.replies)
        assert loop.time() - began < 2


@on_virtual_time
async def test_an_error_of_the_server_is_no_transport_end() -> None:
    """I2: a refusal is raised at once, also in the middle; nobody asks again."""
    for status, error in [(404, RunNotFoundError), (500, ResponseRefusedError), (403, ResponseRefusedError)]:
        peer = Peer(Reply(frame(1)), Reply(status=status))
        with pytest.raises(error):
            await read(stream(peer))
        assert len(peer.requests) == 2


@on_virtual_time
async def test_nothing_more() -> None:
    """204: the stream has ended; the outcome is not known here."""
    peer = Peer(Reply(status=204))
    events = stream(peer, after=f"{EPOCH}:9")
    assert await read(events) == []
    assert (events.ended, events.outcome, events.last_id) == (True, None, f"{EPOCH}:9")
    assert peer.last_ids == [f"{EPOCH}:9"]


@on_virtual_time
async def test_a_post() -> None:
    """I2: a POST is repeated once an id was seen, refused, or unsent; and with an Idempotency-Key in any case."""
    cut = httpx2.ReadError("cut")
    post: dict[str, Any] = {"method": "post", "json": {"prompt": "Hi"}}
    with pytest.raises(ConnectionLostError, match="no id was seen") as caught:
        await read(stream(Peer(Reply(b": hi\n", cut)), **post))
    assert (caught.value.reason, caught.value.original) == ("not_repeatable", cut)
    with pytest.raises(ConnectionLostError, match="no id was seen"):
        await read(stream(Peer(cut), after=f"{EPOCH}:1", **post))
    peer = Peer(httpx2.ConnectError("no"), Reply(status=429), Reply(frame(1), cut), Reply(*log(2)[1:]))
    assert (await read(stream(peer, **post)))[0] == "1"
    assert [(request.method, request.content) for request in peer.requests] == [("POST", b'{"prompt":"Hi"}')] * 4
    assert peer.last_ids == [None, None, None, f"{EPOCH}:1"]
    peer = Peer(Reply(cut), Reply(*log(1)))
    await read(stream(peer, **post, headers={"idempotency-key": "k"}))
    assert [request.headers["idempotency-key"] for request in peer.requests] == ["k", "k"]


@on_virtual_time
async def test_a_redirect_is_followed_each_time() -> None:
    """WHATWG: redirects are followed, and a reconnect begins at the first address."""

    def answer(request: httpx2.Request) -> Reply:
        if request.url.path == "/events":
            return Reply(status=307, headers={"location": "/moved"})
        return Reply(*log(3)[offset_of(request.headers.get("last-event-id")) :][:2])

    peer = Peer(answer)
    assert (await read(stream(peer)))[:2] == ["1", "2"]
    assert [request.url.path for request in peer.requests] == ["/events", "/moved"] * 2
    with pytest.raises(httpx2.TooManyRedirects):
        await read(stream(Peer(lambda _: Reply(status=302, headers={"location": "/events"}))))


@on_virtual_time
async def test_an_event_without_end() -> None:
    """L6: an event past the bound is an error, after all that was whole before it; nobody asks for it again."""
    peer = Peer(Reply(frame(1) + b"data: ", *[b"x" * 1000] * 3))
    async with stream(peer, max_event_bytes=2000) as events:
        assert (await anext(events)).data == "1"
        with pytest.raises(EventTooLargeError):
            await anext(events)
    assert len(peer.requests) == 1


@on_virtual_time
async def test_other_servers() -> None:
    """Any SSE server: ids in no order, a BOM, CR only, names of ours with another meaning, events without data."""
    parts = ["\ufeffid: b\rdata: 1\r\r", "event: end\rdata: bye\rid: a\r\r", "event: gap\rdata: {}\r\r", "id: c\r\r"]
    peer = Peer(Reply(*[bytes([byte]) for part in parts for byte in part.encode()]), Reply(status=204))
    events = stream(peer)
    assert await read(events) == ["1", "bye", "{}"]
    assert (peer.last_ids, events.last_id) == ([None, "c"], "c")


@on_virtual_time
async def test_an_id_is_kept_over_connections() -> None:
    """WHATWG: a connection that brings no id leaves the last one as it is."""
    peer = Peer(Reply(b"id: a\ndata: 1\n\n"), Reply(b": hi\n", b"data: 2\n\n"), Reply(status=204))
    assert await read(stream(peer)) == ["1", "2"]
    assert peer.last_ids == [None, "a", "a"]


@on_virtual_time
async def test_a_dialect_without_ids() -> None:
    """I3: where the server sends the whole again, what was seen is counted off; the dialect tells the end."""

    class Done(TwoParts):
        def outcome_of(self, event: ServerSentEvent) -> Outcome | None:
            return Outcome("completed") if event.data == "[DONE]" else None

    whole = [f"data: {word}\n\n".encode() for word in ["a", "a", "b", "[DONE]"]]
    peer = Peer(*[Reply(*whole[:length]) for length in (1, 3, 2, 4)])
    events = stream(peer, dialect=Done(), backoff=NO_PAUSE)
    assert await read(events) == ["a", "a", "b", "[DONE]"]
    assert (events.outcome, events.resumes) == (Outcome("completed"), 3)


@on_virtual_time
async def test_interrupted_in_the_middle_of_a_read() -> None:
    """I9: a reader that gave up waiting reads on later, on another connection, and has missed nothing."""
    peer = Peer(Reply(frame(1), 20.0, frame(2)), Reply(*log(3)[1:]))
    async with stream(peer) as events:
        assert (await anext(events)).data == "1"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await anext(events)
        assert peer.replies[0].closed
        assert (await anext(events)).data == "2"
        assert (await anext(events)).event == "end"
    assert peer.last_ids == [None, f"{EPOCH}:1"]
    assert asyncio.get_running_loop().time() < 6  # without a pause


@on_virtual_time
async def test_leaving_early() -> None:
    """I1, L7: a reader that leaves closes the connection, and may go on after the last event that it was handed."""
    peer = Peer(Reply(frame(1) + frame(2) + b"data: x\n\n" + frame(3), 1e6))
    async with stream(peer) as events:
        for last_id in (1, 2, 2):
            await anext(events)
            assert events.last_id == f"{EPOCH}:{last_id}"
    assert events.last_id == f"{EPOCH}:2"
    assert peer.replies[0].closed
    assert await events.batch() == []
    with pytest.raises(StopAsyncIteration):
        await anext(events)


@pytest.mark.evidence
@pytest.mark.timeout(120)
def test_ten_thousand_resumes_leak_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """L6, L7: ten thousand resumes of one stream: every event once, and no more memory at the end than early on."""
    caplog.set_level(logging.WARNING, logger="sse_relay")  # ten thousand captured records are no leak

    @on_virtual_time
    async def main() -> None:
        count = 10_000

        def answer(request: httpx2.Request) -> Reply:
            at = offset_of(request.headers.get("last-event-id"))
            peer.requests.clear()
            peer.times.clear()
            peer.replies.clear()
            again = frame(at) if at else b""
            return Reply(again + frame(at + 1)) if at < count else Reply(log(count + 1)[-1])

        peer = Peer(answer)
        sizes: list[int] = []
        seen = 0
        tracemalloc.start()
        async with stream(peer, backoff=Backoff()) as events:
            async for event in events:
                seen += 1
                assert event.event == "end" or event.data == str(seen)
                if seen in {2_000, count}:
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert (seen, events.resumes) == (count + 1, count)
        assert sizes[1] - sizes[0] < 100_000

    main()
