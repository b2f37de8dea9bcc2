"""A server of each version that is found; without any the tests are skipped, unless one is required."""

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import Server, found

FOUND = found()


@pytest.fixture(scope="session", params=FOUND or ["none"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run one server for all tests."""
    running = Server(request.param, _binary(request.param))
    yield running
    running.close()


@pytest.fixture(scope="session", params=FOUND or ["none"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run one Cluster for all tests."""
    running = Cluster(request.param, _binary(request.param))
    yield running
    running.close()


def _binary(name: str) -> str:
    if not FOUND:
        if "redis" in os.environ.get("SSE_RELAY_REQUIRE", ""):
            pytest.fail("redis is required, and no server was found")
        pytest.skip("no redis-server was found")
    return FOUND[name]


@pytest.fixture
def prefix() -> str:
    """Make a prefix of the test's own."""
    return f"test:{secrets.token_hex(4)}"
