"""One real server for the commands' tests, the newest that is found."""

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.stores.redis.servers import Server, found


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Run one server."""
    servers = found()
    if not servers:
        if "redis" in os.environ.get("SSE_RELAY_REQUIRE", ""):
            pytest.fail("redis is required, and no server was found")
        pytest.skip("no redis-server was found")
    name = max(servers)
    running = Server(name, servers[name])
    yield running
    running.close()


@pytest.fixture
def prefix() -> str:
    """Make a prefix of the test's own."""
    return f"test:{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSE_RELAY_STORE", "SSE_RELAY_PREFIX", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
