"""What it costs to read a whole log that has ended: as the bytes of native SSE, and as Python events."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from time import process_time_ns

from benchmarks.edge import drive
from benchmarks.fixtures import SHAPES
from benchmarks.measure import Table, at_least, interleave, rounded
from benchmarks.servers import Message
from sse_relay import EventDecoder, Relay, ServerSentEvent
from sse_relay.adapters.asgi import EventStreamResponse

__all__ = ["BYTES", "CASES", "OBJECTS", "PAGE", "SHAPE", "replay_table", "replayed", "stored"]

SHAPE = next(shape for shape in SHAPES if shape.name == "event, data")
PAGE = 500
PREFIX = b"id: 0123456789abcdef:"
NAMED = b"\nevent: text\n"
LIST = "bytes, of a list of frames"
BYTES = "bytes, by an EventStreamResponse"
DECODED = "events, of EventDecoder"
OBJECTS = "events, of a subscription"
TARGETS = {BYTES: 2.0, OBJECTS: 0.8}

Replay = Callable[[Relay, str, int], Awaitable[int]]
"""Reads a run of so many events to its end, and tells how many there were."""


async def stored(relay: Relay, count: int) -> str:
    """Produce a run of so many events; return its id."""
    data, name, _ = SHAPE.event

    async def source() -> AsyncGenerator[ServerSentEvent, None]:
        for _ in range(count):
            yield ServerSentEvent(data, event=name)

    run = await relay.start(source())
    await relay.wait(run.id)
    return run.id


async def of_a_list(_relay: Relay, _run_id: str, count: int) -> int:
    """Prefix each of a list of frames with its id, and join them: the least that native bytes cost."""
    frames = [SHAPE.frame] * count
    seen = 0
    for start in range(0, count, PAGE):
        parts = [b"%b%d\n%b" % (PREFIX, at, frame) for at, frame in enumerate(frames[start : start + PAGE], start)]
        seen += b"".join(parts).count(NAMED)
    return seen


async def of_a_response(relay: Relay, run_id: str, _count: int) -> int:
    """Answer a request with the run, and count what is sent."""
    seen = 0

    async def send(message: Message) -> None:
        nonlocal seen
        seen += message.get("body", b"").count(NAMED)

    await drive(EventStreamResponse(relay.subscribe(run_id)), send)
    return seen


async def of_a_decoder(_relay: Relay, _run_id: str, count: int) -> int:
    """Decode the same bytes: the price of events that are not stored as ours are."""
    decoder = EventDecoder()
    return sum(len(decoder.feed(SHAPE.frame * PAGE)) for _ in range(count // PAGE))


async def of_a_subscription(relay: Relay, run_id: str, _count: int) -> int:
    """Read events."""
    seen = 0
    async with relay.subscribe(run_id) as events:
        async for _ in events:
            seen += 1
    return seen - 1


CASES: dict[str, Replay] = {
    LIST: of_a_list,
    BYTES: of_a_response,
    DECODED: of_a_decoder,
    OBJECTS: of_a_subscription,
}


def replay_table(runner: asyncio.Runner, *, count: int, rounds: int) -> Table:
    """Measure."""
    relay = runner.run(Relay().__aenter__())
    try:
        run_id = runner.run(stored(relay, count))
        cases = {name: _case(runner, name, relay, run_id, count) for name in CASES}
        samples = interleave(cases, rounds)
    finally:
        runner.run(relay.drain(0))
    table = Table(
        f"Replay of {count:,} events of {len(SHAPE.frame)} bytes", ("", "ns an event", "M events/s", "target")
    )
    for name in CASES:
        cost = samples.median(name)
        verdict = at_least(TARGETS[name], 1000 / cost, " M/s") if name in TARGETS else ""
        table.add(name, rounded(cost, 0), rounded(1000 / cost), verdict)
    return table


def _case(runner: asyncio.Runner, name: str, relay: Relay, run_id: str, count: int) -> Callable[[], float]:
    return lambda: runner.run(replayed(CASES[name], relay, run_id, count))


async def replayed(replay: Replay, relay: Relay, run_id: str, count: int) -> float:
    """Tell what one replay costs, in nanoseconds an event."""
    start = process_time_ns()
    seen = await replay(relay, run_id, count)
    cost = process_time_ns() - start
    if seen != count:
        raise AssertionError(seen)
    return cost / count
