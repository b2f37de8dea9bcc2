"""The demo under uvicorn: its port, and its leaving."""

import errno
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from sse_relay import EventDecoder, ServerSentEvent
from sse_relay.demo import DemoApp, Timings
from sse_relay.demo.server import DemoServer, listen
from sse_relay.demo.text import load_text


def test_a_port_is_taken_once() -> None:
    """A second server on a port is an OSError at once, and not a log line later."""
    with listen("127.0.0.1", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="in use") as caught:
            listen("127.0.0.1", sock.getsockname()[1])
        assert caught.value.errno == errno.EADDRINUSE


def test_an_unknown_host() -> None:
    """A host that is nobody's is an error of the resolver."""
    with pytest.raises(socket.gaierror):
        listen("no such host", 0)


def begin(url: str) -> str:
    """Start a run; gives its address."""
    return f"{url}/runs/{httpx2.post(f'{url}/runs', json={'prompt': 'Why?'}).json()['id']}"


def read(run: str, count: int | None = None, after: str = "") -> list[ServerSentEvent]:
    """Read events of a run after a cursor: so many and a little more, then hang up; or all of them."""
    decoder = EventDecoder()
    events: list[ServerSentEvent] = []
    with httpx2.stream("GET", f"{run}/events", headers={"last-event-id": after}, timeout=10) as response:
        assert response.headers["x-run-id"] in run
        for part in response.iter_bytes():
            events += decoder.feed(part)
            if count is not None and len(events) >= count:
                break
    return events


def text_of(events: list[ServerSentEvent]) -> str:
    """Tell the text of events."""
    return "".join(json.loads(event.data or "")["text"] for event in events if event.event == "text")


def end_of(events: list[ServerSentEvent]) -> Any:
    """Tell what the last event says."""
    assert [event.event for event in events].count("end") == 1
    return json.loads(events[-1].data or "")


def test_a_viewer_that_hangs_up_comes_back(serve_demo: Callable[[DemoApp], str]) -> None:
    """Over real sockets, whoever hangs up gets the rest by its cursor: nothing is lost, nothing doubled (I3)."""
    run = begin(serve_demo(DemoApp(timings=Timings(tokens_per_second=900, first_token=0.01, drain=0.1))))
    events: list[ServerSentEvent] = []
    while not events or events[-1].event != "end":
        events += read(run, 100, (events[-1].id or "") if events else "")
    assert text_of(events) == load_text()
    assert end_of(events)["status"] == "completed"
    assert [event.id for event in events] == [event.id for event in read(run)]
    assert httpx2.get(f"{run}/events", headers={"last-event-id": events[-1].id or ""}).status_code == 204


def test_a_crash_over_real_sockets(serve_demo: Callable[[DemoApp], str]) -> None:
    """The worker dies, the server lives: its viewer gets heartbeats, then `lost` in time, and others new runs (L2)."""
    timings = Timings(tokens_per_second=900, first_token=0.01, heartbeat=0.1, lease=0.5, drain=0.1)
    url = serve_demo(DemoApp(timings=timings))
    run = begin(url)
    seen = read(run, 20)
    assert httpx2.post(f"{url}/workers/crash", json={}).status_code == 202
    crashed = time.monotonic()
    rest = read(run, after=seen[-1].id or "")
    assert time.monotonic() - crashed <= timings.lease + 2
    assert end_of(rest) == {
        "status": "lost",
        "reason": "lease_expired",
        "error": {"code": "producer_lost", "message": "The producer of the stream has died.", "error_id": None},
    }
    text = text_of(seen + rest)
    assert load_text().startswith(text)
    assert len(text) < len(load_text())
    assert end_of(read(begin(url)))["status"] == "completed"


def test_leaving_ends_the_runs() -> None:
    """A server that is told to leave ends its runs with a terminal, and does not wait for their text (L8)."""
    app = DemoApp(timings=Timings(tokens_per_second=5, drain=0.5))
    with listen("127.0.0.1", 0) as sock:
        server = DemoServer(app)
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        run = begin(f"http://127.0.0.1:{sock.getsockname()[1]}")
        with httpx2.stream("GET", f"{run}/events", timeout=10) as response:
            parts = response.iter_bytes()
            next(parts)
            server.should_exit = True
            left = time.monotonic()
            rest = b"".join(parts)
        thread.join(10)
        assert not thread.is_alive()
        assert time.monotonic() - left < 5
    assert end_of(EventDecoder().feed(rest)) == {"status": "lost", "reason": "shutdown", "error": None}
