"""A deployment with Sentinel, of each server that is found."""

import secrets
from collections.abc import Iterator

import pytest

from tests.deployments.sentinels import Group
from tests.stores.redis.servers import found

FOUND = found()


@pytest.fixture(params=FOUND or ["none"])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    """Run one for a test, which may break it."""
    if not FOUND:
        pytest.fail("no redis-server was found: evidence needs one")
    running = Group(FOUND[request.param])
    yield running
    running.close()


@pytest.fixture
def prefix() -> str:
    """Make a prefix of the test's own."""
    return f"test:{secrets.token_hex(4)}"
