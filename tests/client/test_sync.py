"""The same reader, without async."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sse_relay import CancelToken, Outcome, RunNotFoundError
from sse_relay.client import Backoff, collect_sync, connect_sync
from sse_relay.client.sync import LoopThread
from tests.client.peers import EPOCH, HEAD, last_id, log, offset_of, raw_server

SOON = Backoff(first=0.001, cap=0.01)
COMPLETED = Outcome("completed", "stop")


@contextmanager
def peer(*, cut_after: int = 10_000, silent: bool = False) -> Iterator[str]:
    """A server in another thread, which cuts each connection after so many records, or says no more after them."""

    async def handle(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"GET /nothing" in head:
            writer.write(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")
        else:
            writer.write(HEAD + b"".join(log(50)[offset_of(last_id(head)) :][:cut_after]))
        await writer.drain()
        if silent:
            await reader.read()
        writer.close()

    server = raw_server(handle)
    with LoopThread() as thread:
        url = thread.run(server.__aenter__())
        yield url
        thread.run(server.__aexit__(None, None, None))


def threads() -> int:
    return sum(thread.name == "sse_relay client" for thread in threading.enumerate())


def test_a_stream_that_is_cut() -> None:
    """I1, I2, L7: each event once, over many connections; no thread is left."""
    with peer(cut_after=7) as url:
        with connect_sync(url, backoff=SOON) as events:
            seen: list[str | None] = []
            for event in events:
                seen.append(event.data)
                assert events.last_id == event.id
        assert seen[:-1] == list(map(str, range(1, 50)))
        assert (events.outcome, events.resumes, events.ended) == (COMPLETED, 7, True)
        assert events.last_id == f"{EPOCH}:50"
        assert threads() == 1  # the server's
        with pytest.raises(StopIteration):
            next(events)


def test_leaving_and_errors() -> None:
    """I7, L7: a reader that leaves early, and one that is told no, leave no thread behind."""
    with peer(silent=True) as url:
        with connect_sync(url) as events:
            assert next(events).data == "1"
            assert events.last_id == f"{EPOCH}:1"
        events.close()
        with connect_sync(f"{url}nothing") as events, pytest.raises(RunNotFoundError):
            next(events)
        assert threads() == 1


def test_closed_by_another_thread() -> None:
    """I4: a reader that waits ends at once when another thread closes the stream."""
    with peer(cut_after=3, silent=True) as url:
        with connect_sync(url) as events:
            assert [next(events).data for _ in range(3)] == ["1", "2", "3"]
            timer = threading.Timer(0.05, events.close)
            timer.start()
            assert list(events) == []
            timer.join()
        assert (events.outcome, events.ended) == (None, False)


def test_collecting() -> None:
    """I1, I4: a whole stream; an abort from another thread ends one that is silent."""
    with peer(cut_after=30) as url:
        result = collect_sync(url, backoff=SOON)
        assert (result.outcome, result.events, result.resumes) == (COMPLETED, 50, 1)
    with peer(cut_after=3, silent=True) as url:
        token = CancelToken()
        timer = threading.Timer(0.05, token.cancel, ["user"])
        result = collect_sync(url, abort=token, on_event=lambda event: timer.start() if event.data == "3" else None)
        assert (result.outcome, result.events, result.last_cursor) == (Outcome("cancelled", "user"), 3, f"{EPOCH}:3")
        timer.join()
    assert threads() == 0


def test_inside_a_loop() -> None:
    """L5: nobody blocks an event loop by mistake."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="use connect"), connect_sync("http://peer/"):
            pass

    asyncio.run(main())
