"""The server that all clients ask, and what each of them saw."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from tests.clients.clients import CLIENTS, ROOT, Client
from tests.stores.redis.servers import Server, found

REQUIRED = os.environ.get("SSE_RELAY_REQUIRE", "")


@pytest.fixture(scope="session")
def redis() -> Iterator[Server]:
    """Run a server that producers in other processes share."""
    servers = found()
    if not servers:
        if "redis" in REQUIRED:
            pytest.fail("redis is required, and no server was found")
        pytest.skip("no redis-server was found")
    running = Server(*next(iter(servers.items())))
    yield running
    running.close()


@pytest.fixture(scope="session")
def address(redis: Server) -> Iterator[str]:
    """Run the server; gives its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "tests.clients.server", f"unix://{redis.socket}", str(descriptor)]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[descriptor], stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with urlopen(f"{url}/api/chat/nobody/stream", timeout=30) as answer:  # the socket listens already
            assert answer.status == 204
        yield url
        process.terminate()
        process.wait(10)
    listener.close()


@pytest.fixture(scope="session", params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    """Take one client after the other."""
    chosen: Client = request.param
    if not chosen.is_installed:
        if "clients" in REQUIRED:
            pytest.fail(f"the clients are required, and {chosen} is not installed")
        pytest.skip("`make test-clients` installs the clients")
    return chosen


@pytest.fixture(scope="session")
def saw(client: Client, address: str) -> dict[str, Any]:
    """Let a client watch all plays, at a time; gives what it saw of each."""
    return client.watch(address)
