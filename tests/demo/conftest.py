"""Servers for the demo's tests: uvicorn in a thread, on an ephemeral port of 127.0.0.1."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import uvicorn

from sse_relay.demo import DemoApp
from sse_relay.demo.server import DemoServer, listen

Serve = Callable[[uvicorn.Server], str]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Run servers until the module's tests are done; gives a base URL."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    with ExitStack() as stack:

        def run(server: uvicorn.Server) -> str:
            sock = stack.enter_context(listen("127.0.0.1", 0))
            thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
            thread.start()
            running.append((server, thread))
            until = time.monotonic() + 10
            while not server.started:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.01)
            return f"http://127.0.0.1:{sock.getsockname()[1]}"

        yield run
        for server, _ in running:  # all of them leave at a time
            server.should_exit = True
        for _, thread in running:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def serve_demo(serve: Serve) -> Callable[[DemoApp], str]:
    """Run a demo app; gives its base URL."""
    return lambda app: serve(DemoServer(app))
