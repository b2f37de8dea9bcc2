"""
What the combinators cost an item, over a bare ``async for``.

Two sources: one suspends before each item, as a model's stream does; the other never does, as in a burst.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator
from functools import partial
from time import process_time_ns
from typing import Any

from benchmarks.edge import edge_table
from benchmarks.fixtures import TEXT
from benchmarks.measure import Samples, Table, at_most, interleave, rounded
from sse_relay import CancelToken, ServerSentEvent, cancellable, guard_terminal, keepalive

__all__ = ["tables"]

Wrap = Callable[[AsyncGenerator[ServerSentEvent, None]], AsyncIterable[Any]]

EVENT = ServerSentEvent(TEXT, event="text")
BARE = "bare loop"
TOGETHER = "guard + cancellable + keepalive"
TARGETS = {"suspending": 2.0, "ready": 0.7}


class _Pause:
    """Suspends once: the event loop goes round."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def suspending(count: int) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield events, each after a turn of the loop."""
    pause = _Pause()
    for _ in range(count):
        await pause
        yield EVENT


async def ready(count: int) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield events without ever suspending."""
    for _ in range(count):
        yield EVENT


async def passed_on(source: AsyncIterable[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Do nothing: the least that a wrapper costs."""
    async for item in source:
        yield item


async def handed_over(source: AsyncIterable[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Read in a second task, and hand over by a future: the least that any combinator with a timer or a token costs."""
    items: deque[ServerSentEvent | None] = deque()
    waiting: asyncio.Future[None] | None = None

    def hand_over(item: ServerSentEvent | None) -> None:
        nonlocal waiting
        items.append(item)
        if (waiter := waiting) is not None:
            waiting = None
            waiter.set_result(None)

    async def read() -> None:
        async for item in source:
            hand_over(item)
        hand_over(None)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(read())
    while True:
        while items:
            item = items.popleft()
            if item is None:
                await task
                return
            yield item
        waiting = waiter = loop.create_future()
        await waiter


async def timeout_each(source: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Read each item under a timeout, after which the generator is dead."""
    while True:
        try:
            async with asyncio.timeout(15):
                item = await anext(source)
        except StopAsyncIteration:
            break
        yield item


async def task_each(source: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Read each item in a task, and wait for it with a timeout: the common keepalive."""
    while True:
        task = asyncio.ensure_future(anext(source))
        await asyncio.wait({task}, timeout=15)
        try:
            item = task.result()
        except StopAsyncIteration:
            break
        yield item


async def queued(source: AsyncIterable[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
    """Read in a task that fills a queue, and read that under a timeout: the other common keepalive."""
    queue: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue(64)

    async def fill() -> None:
        async for item in source:
            await queue.put(item)
        await queue.put(None)

    task = asyncio.create_task(fill())
    while True:
        async with asyncio.timeout(15):
            item = await queue.get()
        if item is None:
            break
        yield item
    await task


CASES: dict[str, Wrap] = {
    BARE: lambda source: source,
    "a generator that passes items on": passed_on,
    "a bare hop to a second task": handed_over,
    "guard_terminal": guard_terminal,
    "cancellable": lambda source: cancellable(source, CancelToken()),
    "keepalive": lambda source: keepalive(source, interval=15),
    TOGETHER: lambda source: keepalive(guard_terminal(cancellable(source, CancelToken())), interval=15),
    "asyncio.timeout for each item": timeout_each,
    "a queue read with a timeout": queued,
    "a task for each item": task_each,
}


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    count, rounds = (200, 2) if quick else (5000, 41)
    found: dict[str, Samples] = {}
    with asyncio.Runner() as runner:
        for name, source in (("suspending", suspending), ("ready", ready)):
            cases = {case: _case(runner, wrap, partial(source, count)) for case, wrap in CASES.items()}
            found[name] = interleave(cases, rounds)
        return [_table(found), edge_table(runner, count=count, rounds=rounds // 2 + 1)]


def _case(
    runner: asyncio.Runner, wrap: Wrap, source: Callable[[], AsyncGenerator[ServerSentEvent, None]]
) -> Callable[[], float]:
    async def read() -> float:
        items = wrap(source())
        start = process_time_ns()
        seen = 0
        async for _ in items:
            seen += 1
        return (process_time_ns() - start) / seen / 1000

    return lambda: runner.run(read())


def _table(found: dict[str, Samples]) -> Table:
    table = Table(
        "Combinators: μs an item, over a bare loop",
        ("", "source suspends", "over bare", "target", "source is ready", "over bare", "target"),
    )
    for case in CASES:
        cells: list[object] = []
        for name, samples in found.items():
            extra = samples.extra(case, BARE)
            cells.append(rounded(samples.median(case)))
            cells.append("" if case == BARE else f"+{rounded(extra)}")
            cells.append(at_most(TARGETS[name], extra, " μs") if case == TOGETHER else "")
        table.add(case, *cells)
    return table
