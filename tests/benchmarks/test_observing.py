"""The benchmark of observers measures what it says, and its table comes out."""

import asyncio

import pytest

from benchmarks import observing
from sse_relay import Relay
from tests.observability.telemetry import Recorder

COUNT = 5


@pytest.mark.parametrize("name", observing.OBSERVERS)
def test_every_observer_sees_runs_that_end(name: str) -> None:
    """With each observer the runs of the benchmark deliver all that they should, and cost something."""

    async def main() -> None:
        assert await observing.delivery(observing.OBSERVERS[name](), 2, COUNT) > 0
        assert await observing.start(observing.OBSERVERS[name](), COUNT) > 0

    asyncio.run(main())


def test_what_is_off_is_no_observer() -> None:
    """The base of the table has none; the others hear every hook of a run and a viewer that the source lets happen."""
    assert [name for name, make in observing.OBSERVERS.items() if make() is None] == [observing.OFF]

    async def main() -> list[str]:
        recorder = Recorder()
        await observing.delivery(recorder, 2, COUNT)
        return recorder.names()

    heard = asyncio.run(main())
    assert heard.count("appended") == COUNT + 1
    assert heard.count("delivered") >= 2 * COUNT
    assert Relay(observer=observing.Idle()) is not None


def test_the_table_comes_out() -> None:
    """A quick run gives one table, with a row for each observer, and what each costs over none."""
    (table,) = observing.tables(quick=True)
    assert [row[0] for row in table.rows] == list(observing.OBSERVERS)
    assert [cell for cell in table.rows[0][2::2] if cell] == []
    assert all(str(cell).startswith(("+", "-")) for row in table.rows[1:] for cell in row[2::2])
