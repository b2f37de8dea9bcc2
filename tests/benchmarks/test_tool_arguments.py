"""What is compared gives the same text."""

import asyncio
from json import loads

import pytest

from benchmarks.tool_arguments import (
    TEXTS,
    again_and_again,
    arguments,
    as_it_grows,
    deltas,
    fragments,
    of_a_stream,
    tables,
)


@pytest.mark.parametrize("name", TEXTS)
def test_both_give_the_same_text(name: str) -> None:
    """Each way gives the argument's text, delta by delta, out of the same fragments."""
    text = arguments(name, 2000)
    assert 1700 <= len(text) <= 2100
    assert text.isascii() == (name not in {"prose, with a dash", "many languages"})
    pieces = fragments(text)
    assert "".join(pieces) == text
    ours = list(as_it_grows(pieces))
    assert ours == list(again_and_again(pieces))
    assert "".join(ours) == loads(text)["message"]

    async def read() -> list[str]:
        return [loads(event.data or "")["text"] async for event in of_a_stream(deltas(pieces))]

    assert asyncio.run(read()) == [said for said in ours if said]


def test_tables_have_their_targets() -> None:
    """A quick run fills both tables, with a verdict for every text but the one that the parser copies whole."""
    beside, growth = tables(quick=True)
    assert [name for name, _ in beside.verdicts()] == [name for name in TEXTS if name != "letters only"]
    assert [name for name, _ in growth.verdicts()] == list(TEXTS)
