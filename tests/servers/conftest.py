"""One server process for all scenarios of a place, and the table of what became of them."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.servers.places import FRAMEWORKS, SERVERS, Place, Served, served
from tests.servers.table import COLUMNS, Cell, write

SEND_TIMEOUT = 1.0
AT_EVERY_PUSH = [Place("uvicorn", framework) for framework in ("bare", "starlette", "fastapi")]
EVIDENCE = [Place(server, framework, pinned=True) for server in SERVERS for framework in FRAMEWORKS]


@pytest.fixture(
    scope="module",
    params=[*AT_EVERY_PUSH, *(pytest.param(place, marks=pytest.mark.evidence) for place in EVIDENCE)],
    ids=str,
)
def place(request: pytest.FixtureRequest) -> Place:
    """Take one framework under one server after the other."""
    chosen: Place = request.param
    return chosen


@pytest.fixture(scope="module")
def serving(place: Place) -> Iterator[Served]:
    """Serve while its scenarios are performed; in the end it stops as it should."""
    with served(place, SEND_TIMEOUT=SEND_TIMEOUT, GRACE=0.5) as up:
        yield up


@pytest.fixture
def up(serving: Served) -> Iterator[Served]:
    """Give the server to one scenario, in which it has nothing to complain of."""
    yield serving
    assert "Traceback" not in serving.log, serving.log


_results: dict[Cell, bool] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what became of each cell; what its server complains of afterwards counts, too."""
    report = yield
    name = COLUMNS.get(item.name.partition("[")[0])
    place = item.callspec.params["place"] if name is not None and isinstance(item, pytest.Function) else None
    if name is not None and isinstance(place, Place) and place.pinned and not report.skipped:
        cell = (place.server, place.framework, name)
        _results[cell] = _results.get(cell, True) and report.passed
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, if somebody wants it."""
    if (path := os.environ.get("SSE_RELAY_SERVERS_MARKDOWN")) is None:
        return
    try:
        write(Path(path), _results)
    except ValueError as error:
        print(f"\n{path} was not written: {error}")  # noqa: T201
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
