"""A client, and a relay behind a gateway that does its worst: the table of faults, on a virtual and on a real clock."""

import tracemalloc
from typing import Any

import httpx
import pytest

from sse_relay import EventTooLargeError, Outcome
from sse_relay.client import collect, connect
from tests.reading.conftest import Stand
from tests.reading.faults import BOUND, FAULTS, cut_after
from tests.reading.gateway import Visit, silence
from tests.stores.redis.waiting import eventually

WORDS = [str(number) for number in range(1, 9)]
LIVE = [step for word in WORDS for step in (0.005, word)]
COMPLETED = Outcome("completed")
asked_after = pytest.mark.parametrize("fault", FAULTS)


async def read(url: str, **options: Any) -> tuple[list[str | None], Outcome | None, Exception | None]:
    """Read a stream: the data of its events but for the end, its outcome, and the error that ended it."""
    seen: list[str | None] = []
    async with connect(url, max_event_bytes=BOUND, **options) as events:
        try:
            async for event in events:
                assert event.event in {None, "end"}
                seen += [event.data] if event.event is None else []
        except Exception as error:  # noqa: BLE001 - what a row says
            return seen, events.outcome, error
    return seen, events.outcome, None


@asked_after
def test_what_a_reader_sees(stand: Stand, fault: str) -> None:
    """I1, I2, I3, defect 20: nothing lost, nothing doubled, the documented end, after as few requests as need be."""
    row = FAULTS[fault]
    run, ground = stand

    async def main() -> None:
        async with ground(row.fault, *LIVE) as gateway:
            seen, outcome, error = await read(gateway.url, **gateway.options)
            assert len(gateway.visits) == row.asked
        if row.raises is None:
            assert (seen, outcome, error) == (WORDS, COMPLETED, None)
        else:
            assert type(error) is row.raises
            assert (seen, outcome) == (WORDS[: len(seen)], None)

    run(main())


@asked_after
def test_what_is_told_of_it(stand: Stand, fault: str) -> None:
    """I1 to I8 of the client: `collect` raises nothing, and its result is that of an unbroken stream, or why not."""
    row = FAULTS[fault]
    run, ground = stand

    async def main() -> None:
        async with ground(row.fault, *WORDS) as gateway:
            result = await collect(gateway.url, max_event_bytes=BOUND, **gateway.options)
            assert len(gateway.visits) == row.asked
        assert result.outcome is not None
        if row.raises is None:
            assert (result.outcome, result.events, result.error) == (COMPLETED, len(WORDS) + 1, None)
            assert [entry.data for entry in result.diary][:-1] == WORDS
        else:
            assert (result.outcome.status, result.outcome.error and result.outcome.error.code) == ("failed", row.code)
            assert row.raises in {type(result.error), type(result.resume_error)}

    run(main())


def test_cut_at_every_byte(stand: Stand) -> None:
    """I1, I2, I3: a recorded stream, broken after each of its bytes in one of three ways, is whole after one resume."""
    run, ground = stand

    async def main() -> None:
        whole = 0

        async def measure(visit: Visit) -> None:
            nonlocal whole
            whole = sum([len(piece) async for piece in visit.rest()])
            await visit.forward()

        async with ground(measure, *WORDS) as gateway:
            await read(gateway.url, **gateway.options)
            assert whole > 300
            async with httpx.AsyncClient() as client:  # the other one, and one for all: each loads certificates
                options = {"client": client, **gateway.options}
                for cut in range(whole):
                    gateway.fault = cut_after(cut)
                    gateway.visits.clear()
                    assert await read(gateway.url, **options) == (WORDS, COMPLETED, None), cut
                    assert len(gateway.visits) == 2, cut

    run(main())


def test_an_endless_event_is_bounded(stand: Stand) -> None:
    """L6: a reader of an endless event holds no more of it than twice the bound, and what the wire brings at once."""
    run, ground = stand

    async def main() -> None:
        async with ground(FAULTS["an endless event"].fault, *WORDS) as gateway:
            await read(gateway.url, **gateway.options)  # what is imported late is no leak
            gateway.visits.clear()
            tracemalloc.start()
            try:
                _, _, error = await read(gateway.url, **gateway.options)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert isinstance(error, EventTooLargeError)
            assert peak < 8 * BOUND

    run(main())


def test_a_reader_who_leaves(stand: Stand) -> None:
    """L7: a reader who leaves in the middle closes the connection at once, and the server sees it."""
    run, ground = stand

    async def main() -> None:
        async def fault(visit: Visit) -> None:
            await visit.head()
            async for piece in visit.rest():
                await visit.write(piece)
                if b"1" in piece:
                    await silence()

        async with ground(fault, *WORDS) as gateway:
            async with connect(gateway.url, **gateway.options) as events:
                assert (await anext(events)).data == "1"
            await eventually(lambda: not gateway.open)

    run(main())
