"""The benchmarks over HTTP measure what they say, and every table of theirs comes out."""

from contextlib import closing
from http.client import HTTPConnection

import pytest

from benchmarks import fast_run, over_http
from benchmarks.fixtures import TEXT
from benchmarks.measure import TIMES
from benchmarks.servers import installed, serve
from sse_relay import EventDecoder
from tests.benchmarks.expecting import targets

COUNT = 50
pytest.importorskip("uvicorn")


@pytest.mark.parametrize("name", fast_run.APPS)
def test_every_fast_run_is_whole(name: str) -> None:
    """Each application sends every event of each source with its place, as many bytes as the others, time and again."""
    if name not in installed(fast_run.APPS):
        pytest.skip(f"{name} is not installed")
    with serve(name, count=COUNT, seconds=0, module=fast_run.MODULE) as address:
        for path in [*fast_run.PATHS, *fast_run.PATHS]:
            with closing(HTTPConnection(*address, timeout=20)) as connection:
                connection.request("GET", f"/{path}")
                body = connection.getresponse().read()
            found = [event for event in EventDecoder().feed(body) if event.data is not None and event.event is None]
            assert [(event.data, event.id.partition(":")[2]) for event in found if event.id] == [
                (TEXT, str(number)) for number in range(1, COUNT + 1)
            ]
            assert body.count(b"data: " + TEXT.encode() + b"\n") == COUNT
            assert {len(event.id or "") for event in found} == {len(fast_run.PLACE) + 1, len(fast_run.PLACE) + 2}


@pytest.mark.evidence
@pytest.mark.timeout(120)  # it starts ten servers, one after the other
def test_every_table_comes_out() -> None:
    """A quick run gives the three tables, with all the targets that the edge has."""
    pytest.importorskip("fastapi")
    pytest.importorskip("sse_starlette")
    tables = over_http.tables(quick=True)
    fast, slow, run = tables
    assert targets(fast) == [f"≥ 4{TIMES}"]
    assert targets(slow) == [f"≤ 1.25{TIMES}"]
    assert targets(run) == [f"≥ 3{TIMES} sse-starlette", f"≥ 10{TIMES} FastAPI's SSE"] * 2
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
