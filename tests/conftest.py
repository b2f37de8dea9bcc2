"""What every test gets."""

import gc
import logging
import re
from collections.abc import Iterator, Sequence

import pytest


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Call a test by the same name in every process: where an object lies is no part of it."""
    for item in items:
        item._nodeid = re.sub(" at 0x[0-9a-f]+", "", item.nodeid)


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_to_the_collector() -> Iterator[None]:
    """What a test leaves open warns in that module, and not in a later one."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="sse_relay")
