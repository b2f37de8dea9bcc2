"""The demo under uvicorn: its port, and its leaving."""

import errno
import json
import socket
import threading
import time

import httpx2
import pytest

from sse_relay import EventDecoder
from sse_relay.demo import DemoApp, Timings
from sse_relay.demo.server import DemoServer, listen


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


def test_leaving_ends_the_streams() -> None:
    """A server that is told to leave ends its streams with a terminal, and does not wait for their text."""
    app = DemoApp(timings=Timings(tokens_per_second=5))
    with listen("127.0.0.1", 0) as sock:
        server = DemoServer(app)
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/streams"
        with httpx2.stream("POST", url, json={"prompt": "Why?"}, timeout=10) as response:
            parts = response.iter_bytes()
            next(parts)
            server.should_exit = True
            left = time.monotonic()
            rest = b"".join(parts)
        thread.join(10)
        assert not thread.is_alive()
        assert time.monotonic() - left < 5
    assert json.loads(EventDecoder().feed(rest)[-1].data or "") == {
        "status": "cancelled",
        "reason": "shutdown",
        "error": None,
    }
    assert app.live == 0
