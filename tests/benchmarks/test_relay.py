"""The benchmarks of the relay measure what they say, and every table of theirs comes out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fan_out, footprint, many_runs, relay, replay, starting
from benchmarks.__main__ import TABLES
from benchmarks.edge import drive
from benchmarks.measure import TIMES
from benchmarks.report import check
from benchmarks.servers import Message
from sse_relay import EventDecoder, Relay
from sse_relay.adapters.asgi import EventStreamResponse
from tests.benchmarks.expecting import targets

COUNT, VIEWERS = 40, 3
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.mark.parametrize("kind", fan_out.SOURCES)
@pytest.mark.parametrize("name", fan_out.CASES)
def test_every_viewer_gets_every_event(name: str, kind: str) -> None:
    """Each way to fan out delivers each event of each source once to each viewer, and ends."""

    async def main() -> int:
        audience = fan_out.Audience(VIEWERS)
        cost = await fan_out.CASES[name](fan_out.SOURCES[kind](COUNT, audience), audience)
        assert cost > 0
        return audience.got

    assert asyncio.run(main()) == COUNT * VIEWERS


def test_a_models_pace_waits_for_everyone() -> None:
    """The source yields its next event only once every viewer has the one before."""

    async def main() -> None:
        audience = fan_out.Audience(VIEWERS)
        audience.started.set()
        events = fan_out.paced(2, audience)
        await anext(events)
        audience.got = VIEWERS - 1
        following = asyncio.ensure_future(anext(events))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not following.done()
        audience.got += 1
        assert audience.got == audience.due
        audience.reached()
        await following
        await events.aclose()

    asyncio.run(main())


def test_a_replay_reads_what_was_stored() -> None:
    """The response sends, and the subscription yields, the events of the shape, with their cursors."""
    bodies: list[bytes] = []

    async def send(message: Message) -> None:
        bodies.append(message.get("body", b""))

    async def main() -> list[Any]:
        async with Relay() as running:
            run_id = await replay.stored(running, COUNT)
            await drive(EventStreamResponse(running.subscribe(run_id)), send)
            async with running.subscribe(run_id) as events:
                return [event async for event in events]

    found = asyncio.run(main())
    assert [(event.data, event.event) for event in found[:COUNT]] == [replay.SHAPE.event[:2]] * COUNT
    assert [event.event for event in found[COUNT:]] == ["end"]
    assert [event for event in EventDecoder().feed(b"".join(bodies)) if event.data is not None] == found


@pytest.mark.parametrize("name", replay.CASES)
def test_every_replay_is_whole(name: str) -> None:
    """Each way to replay reads as many events as there are."""

    async def main() -> int:
        async with Relay() as running:
            count = 2 * replay.PAGE
            return await replay.CASES[name](running, await replay.stored(running, count), count) - count

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize("name", footprint.CASES)
def test_every_event_is_kept(name: str) -> None:
    """What is measured holds at least the events: each one, by itself."""

    async def main() -> int:
        await footprint.allocated(footprint.CASES[name], COUNT)  # what is made once is there by now
        few = await footprint.allocated(footprint.CASES[name], COUNT)
        return await footprint.allocated(footprint.CASES[name], 2 * COUNT) - few

    assert asyncio.run(main()) >= COUNT * footprint.PAYLOAD


def test_silent_runs_are_live() -> None:
    """As many runs as are asked for are live beside the measurement, and none is afterwards."""

    async def main() -> tuple[int, int]:
        async with Relay() as running:
            async with many_runs.silent_runs(running, COUNT):
                live = len([run async for run in running.runs("running")])
            return live, len([run async for run in running.runs("running")])

    assert asyncio.run(main()) == (COUNT, 0)


@pytest.mark.parametrize("name", many_runs.FIGURES)
def test_every_figure_is_taken_beside_silent_runs(name: str) -> None:
    """A process with silent runs answers with each figure."""
    with many_runs.beside(relay.QUICK.many, VIEWERS) as ask:
        assert ask(name) > 0


@pytest.mark.evidence
@pytest.mark.timeout(120)  # it starts workers, one after the other
def test_every_table_comes_out() -> None:
    """A quick run gives the five tables, with all the targets that the relay has."""
    fanned, replayed, stored, started, many = relay.tables(quick=True)
    assert targets(fanned) == ["≤ 1.5 μs"] * 3
    assert targets(replayed) == ["≥ 2 M/s", "≥ 0.8 M/s"]
    assert targets(stored) == ["≤ 100 bytes"] * 3
    assert targets(started) == ["≤ 150 μs"] * 2
    assert targets(many) == [f"≤ 1.1{TIMES}"] * 5
    for table in (fanned, replayed, stored, started, many):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_first_event_alone_is_timed() -> None:
    """The clock is read once before `start` and once behind the first event; the run has ended by the next time."""
    readings = iter(range(100))

    async def main() -> float:
        async with Relay() as running:
            cost = await starting.often(lambda clock: starting.relayed(running, clock), lambda: next(readings), 3)
            assert not [run async for run in running.runs("running")]
            return cost

    assert asyncio.run(main()) == pytest.approx(1 / 1000)
    assert next(readings) == 6


def test_the_docs_have_a_place_for_every_table() -> None:
    """Each name of ``python -m benchmarks`` has its marks in docs/benchmarks.md."""
    check(DOCS, list(TABLES))
