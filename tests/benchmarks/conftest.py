"""A Redis of the benchmarks' own, and a garbage collector that looks at nothing of the other tests."""

import gc
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


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """Collect what the benchmarks make: they collect ahead of each figure, and of a whole test run that is slow."""
    gc.freeze()
    yield
    gc.unfreeze()
