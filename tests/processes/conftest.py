"""One server that keeps what it has answered, also when it is killed."""

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.processes.server import KeptServer
from tests.stores.redis.servers import found


@pytest.fixture
def server() -> Iterator[KeptServer]:
    """Run the first server that is found; without any the tests are skipped, unless one is required."""
    binaries = found()
    if not binaries:
        if "redis" in os.environ.get("SSE_RELAY_REQUIRE", ""):
            pytest.fail("redis is required, and no server was found")
        pytest.skip("no redis-server was found")
    name = next(iter(binaries))
    running = KeptServer(name, binaries[name])
    yield running
    running.close()


@pytest.fixture
def seed() -> int:
    """Choose a seed, or take the one that is given."""
    chosen = int(os.environ.get("SSE_RELAY_SEED") or secrets.randbelow(1 << 32))
    print(f"SSE_RELAY_SEED={chosen}")  # noqa: T201 - to replay it
    return chosen
