"""A Cluster with replicas, of each server that is found."""

import secrets
from collections.abc import Iterator

import pytest

from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import found

FOUND = found()


@pytest.fixture(params=FOUND or ["none"])
def replicated(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run one for a test, which may break it."""
    if not FOUND:
        pytest.fail("no redis-server was found: evidence needs one")
    running = Cluster(request.param, FOUND[request.param], replicas=1, node_timeout=1000)
    yield running
    running.close()


@pytest.fixture
def prefix() -> str:
    """Make a prefix of the test's own."""
    return f"test:{secrets.token_hex(4)}"
