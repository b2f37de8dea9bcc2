"""A Redis of the benchmarks' own."""

import os
from collections.abc import Iterator

import pytest

from benchmarks import redis_server
from benchmarks.redis_server import Server, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run the server that the benchmarks find."""
    try:
        name, _ = redis_server.newest()
    except RuntimeError as error:
        if "redis" in os.environ.get("SSE_RELAY_REQUIRE", ""):
            raise
        pytest.skip(str(error))
    with serving() as running:
        assert running.name == name
        yield running
