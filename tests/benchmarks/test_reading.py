"""What the benchmark of the client compares does the same job."""

import asyncio
from typing import Any

import pytest

from benchmarks import reading
from benchmarks.fixtures import SHAPES, Shape

COUNT = 50


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_readers_agree(shape: Shape) -> None:
    """Every reader finds the same events in the same body, in chunks and one by one."""
    data, name, event_id = shape.event
    for body in (shape.stream(COUNT), [shape.frame] * COUNT):
        for read in reading.readers().values():
            events = list[Any]()
            asyncio.run(read(body, events.append))
            assert [event.data for event in events] == [data] * COUNT
            assert [event.id or None for event in events] == [event_id] * COUNT
            assert {event.event or "message" for event in events} == {name or "message"}


@pytest.mark.evidence
@pytest.mark.timeout(120)
def test_the_table_has_its_targets() -> None:
    """A quick run fills the table, with a verdict on each body that is read in large chunks."""
    (table,) = reading.tables(quick=True)
    assert [name for name, _ in table.verdicts()] == [shape.name for shape in SHAPES]
    assert [row[0] for row in table.rows][-1] == reading.LIVE
