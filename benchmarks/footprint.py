"""How much memory a stored event takes: what the interpreter allocates, over what the event holds."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

from benchmarks.measure import Table, at_most, rounded
from benchmarks.replay import SHAPE
from sse_relay import MemoryStore, Outcome, Relay, ServerSentEvent
from sse_relay.stores.protocol import Opening, Seal
from sse_relay.wire.encoder import frame

__all__ = ["CASES", "PAYLOAD", "allocated", "footprint_table"]

TARGET = 100.0
BATCH = 20
DATA, NAME, _ = SHAPE.event
PAYLOAD = len(DATA.encode())

Keep = Callable[[AsyncExitStack, int], Awaitable[object]]
"""Stores so many events, and returns whatever holds them."""


async def in_a_list(_stack: AsyncExitStack, count: int) -> object:
    """Append encoded frames to a list: the least that it takes."""
    return [frame(ServerSentEvent(DATA, event=NAME)) for _ in range(count)]


async def in_a_store(_stack: AsyncExitStack, count: int) -> object:
    """Append encoded frames to a `MemoryStore`."""
    store = MemoryStore()
    seal = Seal(Outcome("completed"), b"event: end\ndata: {}\n\n")
    opened = await store.open(Opening(10, seal, seal))
    if opened.grant is None:
        raise AssertionError(opened)
    for start in range(0, count, BATCH):
        frames = [frame(ServerSentEvent(DATA, event=NAME)) for _ in range(min(BATCH, count - start))]
        await store.append(opened.grant, start + 1, frames)
    return store


async def in_a_run(stack: AsyncExitStack, count: int) -> object:
    """Produce them in a run, with nobody to view; what is kept once it has ended."""
    relay = await stack.enter_async_context(Relay())
    run = await relay.start(_source(count))
    await relay.wait(run.id)
    return relay


async def viewed(stack: AsyncExitStack, count: int) -> object:
    """Produce them under the eyes of one viewer, who stays."""
    relay = await stack.enter_async_context(Relay())
    run = await relay.start(_source(count))
    events = await stack.enter_async_context(relay.subscribe(run.id))
    async for _ in events:
        pass
    return relay


CASES: dict[str, Keep] = {
    "frames in a list": in_a_list,
    "MemoryStore": in_a_store,
    "Relay, no viewer": in_a_run,
    "Relay, one viewer": viewed,
}


def footprint_table(runner: asyncio.Runner, *, count: int) -> Table:
    """Measure; once, for what is allocated is not a matter of time."""
    table = Table(
        f"{count:,} stored events of {PAYLOAD} bytes of data, {len(SHAPE.frame)} encoded: bytes an event",
        ("", "memory", "over the data", "target"),
    )
    for name, keep in CASES.items():
        runner.run(allocated(keep, BATCH))  # what is made once is there by now
        size = runner.run(allocated(keep, count)) / count
        verdict = "" if keep is in_a_list else at_most(TARGET, size - PAYLOAD, " bytes")
        table.add(name, rounded(size, 0), f"+{rounded(size - PAYLOAD, 0)}", verdict)
    return table


async def allocated(keep: Keep, count: int) -> int:
    """Tell how many bytes Python allocates for what keeps so many events."""
    async with AsyncExitStack() as stack:
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            kept = await keep(stack, count)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        del kept
    return after - before


async def _source(count: int) -> AsyncGenerator[ServerSentEvent, None]:
    for index in range(count):
        if index % BATCH == 0:
            await asyncio.sleep(0)
        yield ServerSentEvent(DATA, event=NAME)
