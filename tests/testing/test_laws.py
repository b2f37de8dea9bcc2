"""The laws that every combinator keeps: each of them can be broken, and is found out."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Any, Self

import pytest

from sse_relay import Outcome, ServerSentEvent
from sse_relay.testing import Combinator, Law, combinator_laws, run_virtual
from sse_relay.testing.laws import (
    cancellation_is_safe_anywhere,
    cancellation_propagates,
    closes_on_break,
    closes_on_end,
    closes_unread,
    exceptions_pass,
    keeps_order,
    one_task_owns_the_source,
    reads_ahead_boundedly,
    waits_with_the_source,
)

Source = AsyncIterable[ServerSentEvent]


async def close(source: Any) -> None:
    await source.aclose()


class Stream:
    """An async iterator over a generator that closes the source, too, as a combinator's must."""

    def __init__(self, items: AsyncGenerator[Any, None], source: Source) -> None:
        self.items = items
        self.source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self.items.__anext__()

    async def aclose(self) -> None:
        """Close the generator, then the source."""
        await self.items.aclose()
        await close(self.source)


# ── Combinators that keep the laws ───────────────────────────────────────────────────────────────────────────────────


async def plain_items(source: Source) -> AsyncGenerator[Any, None]:
    try:
        async for item in source:
            yield item
    finally:
        await close(source)


def plain(source: Source) -> AsyncIterator[Any]:
    """The simplest that is right: a generator that closes its source in `finally`."""
    return Stream(plain_items(source), source)


def talkative(source: Source) -> AsyncIterator[Any]:
    """It adds events of its own, and turns an exception into a terminal, which is allowed."""

    async def items() -> AsyncGenerator[Any, None]:
        yield ServerSentEvent(None, comment="hello")
        try:
            async for item in source:
                yield item
                yield ServerSentEvent(None, comment="ping")
        except ValueError:
            yield ServerSentEvent("{}", event="end", outcome=Outcome("failed"))
        finally:
            await close(source)

    return Stream(items(), source)


@pytest.mark.parametrize("law", combinator_laws, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "combinator",
    [plain, talkative, lambda source: plain(talkative(plain(source)))],
    ids=["plain", "talkative", "composed"],
)
def test_right_combinators_keep_every_law(law: Law, combinator: Combinator) -> None:
    """A plain generator keeps every law, and so does one that adds events of its own."""
    run_virtual(law(combinator))


# ── Combinators that break them ──────────────────────────────────────────────────────────────────────────────────────


async def drops_one(source: Source) -> AsyncGenerator[Any, None]:
    """It loses an item of a long stream."""
    number = 0
    async for item in source:
        number += 1
        if number != 150:
            yield item


async def doubles_one(source: Source) -> AsyncGenerator[Any, None]:
    """It delivers an item twice."""
    async for item in source:
        yield item
        if item.data == "0":
            yield item


async def swaps(source: Source) -> AsyncGenerator[Any, None]:
    """It delivers each pair the wrong way round."""
    pair: list[Any] = []
    async for item in source:
        pair.insert(0, item)
        if len(pair) == 2:
            yield pair.pop(0)
            yield pair.pop(0)
    for item in pair:
        yield item


def ends_early(source: Source) -> AsyncIterator[Any]:
    """It ends after 100 items."""

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async for item in source:
                yield item
                if item.data == "99":
                    return
        finally:
            await close(source)

    return Stream(items(), source)


async def says_nothing(source: Source) -> AsyncGenerator[Any, None]:
    """It has no items."""
    del source
    return
    yield


class NeverCloses:
    """It leaves its source open, however it ends."""

    def __init__(self, source: Source) -> None:
        self._items = aiter(source)
        self._buffer: list[Any] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not self._buffer:  # one item ahead, so that the source's own end is not what closes it
            self._buffer.append(await anext(self._items))
        item = self._buffer.pop()
        if item.data == "2":
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Do nothing."""


def leaves_a_task(source: Source) -> AsyncIterator[Any]:
    """It starts a task that nobody ends."""

    async def items() -> AsyncGenerator[Any, None]:
        task = asyncio.create_task(asyncio.sleep(1e6))
        try:
            async for item in source:
                yield item
        finally:
            await close(source)
            del task

    return Stream(items(), source)


def starts_a_task_at_once(source: Source) -> AsyncIterator[Any]:
    """It starts a task when it is called, which nobody ends if nothing is read."""
    task = asyncio.create_task(asyncio.sleep(1e6))

    class Started(Stream):
        held = task

    return Started(plain_items(source), source)


async def leaves_closing_to_the_collector(source: Source) -> AsyncGenerator[Any, None]:
    """It has no `finally`: what closes its source is its end only."""
    async for item in source:
        yield item


def forgets_when_unread(source: Source) -> AsyncIterator[Any]:
    """It closes its source in a `finally` that never runs where nothing was read."""
    return plain_items(source)


def starts_when_closed(source: Source) -> AsyncIterator[Any]:
    """It reads one item to find out that it was closed."""

    class Eager(Stream):
        async def aclose(self) -> None:
            await anext(self.items, None)
            await super().aclose()

    return Eager(plain_items(source), source)


def hangs_on_close(source: Source) -> AsyncIterator[Any]:
    """Defect 6: it waits for ever when it is closed."""

    class Hanging(Stream):
        async def aclose(self) -> None:
            await asyncio.get_running_loop().create_future()

    return Hanging(plain_items(source), source)


def closes_once_only(source: Source) -> AsyncIterator[Any]:
    """It cannot be closed twice."""

    class Once(Stream):
        closed = False

        async def aclose(self) -> None:
            assert not self.closed, "closed twice"
            self.closed = True
            await super().aclose()

    return Once(plain_items(source), source)


async def swallows_errors(source: Source) -> AsyncGenerator[Any, None]:
    """Defect 5: an error looks like a clean end."""
    try:
        async for item in source:
            yield item
    except ValueError:
        pass


async def replaces_errors(source: Source) -> AsyncGenerator[Any, None]:
    """Another exception comes out."""
    try:
        async for item in source:
            yield item
    except ValueError as exc:
        raise RuntimeError("something went wrong") from exc


def completes_errors(source: Source) -> AsyncIterator[Any]:
    """An error becomes a terminal that says that all is well."""

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async for item in source:
                yield item
        except ValueError:
            yield ServerSentEvent("{}", event="end", outcome=Outcome("completed"))

    return Stream(items(), source)


async def drops_items_before_an_error(source: Source) -> AsyncGenerator[Any, None]:
    """It holds an item back, and an error takes it along."""
    held: deque[Any] = deque()
    async for item in source:
        held.append(item)
        if len(held) > 1:
            yield held.popleft()
    for item in held:
        yield item


async def drops_all_before_an_error(source: Source) -> AsyncGenerator[Any, None]:
    """It reads all before it yields anything, and swallows the error with it."""
    items: list[Any] = []
    try:
        async for item in source:
            items.append(item)  # noqa: PERF401 - as naive code would
    except ValueError:
        return
    for item in items:
        yield item


def swallows_cancellation(source: Source) -> AsyncIterator[Any]:
    """Defect 3: a cancellation looks like a clean end."""

    async def items() -> AsyncGenerator[Any, None]:
        try:
            async for item in source:
                yield item
        except asyncio.CancelledError:
            pass
        finally:
            await close(source)

    return Stream(items(), source)


def carries_on(source: Source) -> AsyncIterator[Any]:
    """Defect 3: a cancellation is ignored, and reading goes on."""

    async def items() -> AsyncGenerator[Any, None]:
        iterator = aiter(source)
        while True:
            step = asyncio.ensure_future(_step(iterator))
            try:
                item = await asyncio.shield(step)
            except asyncio.CancelledError:
                item = await step
            if item is None:
                return
            yield item

    return Stream(items(), source)


async def _step(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator, None)


def swallows_the_second_cancellation(source: Source) -> AsyncIterator[Any]:
    """I9: while it stops its task, a second cancellation looks like a clean end."""

    async def items() -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        task = asyncio.create_task(fill(source, queue))
        try:
            while (item := await queue.get()) is not None:
                yield item
        except asyncio.CancelledError:
            task.cancel()
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                return
            raise
        await task

    return Stream(items(), source)


async def fill(source: Source, queue: asyncio.Queue[Any]) -> None:
    async for item in source:
        await queue.put(item)
    await queue.put(None)


def hangs_when_cancelled(source: Source) -> AsyncIterator[Any]:
    """Defect 6: it waits for ever for its task, which nobody told to stop."""

    async def items() -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)
        task = asyncio.create_task(fill(source, queue))
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            await asyncio.wait({task})

    return Stream(items(), source)


def throttles_without_cleanup(source: Source) -> AsyncIterator[Any]:
    """I9: a cancellation of its own wait leaves the source open."""

    async def items() -> AsyncGenerator[Any, None]:
        async for item in source:
            yield item
            await asyncio.sleep(0.02)

    return Stream(items(), source)


def leaves_the_source_open_when_cancelled(source: Source) -> AsyncIterator[Any]:
    """I9: a cancellation of its own first await skips the cleanup."""

    async def items() -> AsyncGenerator[Any, None]:
        await asyncio.sleep(0)
        try:
            async for item in source:
                yield item
        finally:
            await close(source)

    return Stream(items(), source)


def buffers_everything(source: Source) -> AsyncIterator[Any]:
    """Defect 6: a queue without a bound holds whatever the source has."""

    async def items() -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        task = asyncio.create_task(fill(source, queue))
        try:
            while (item := await queue.get()) is not None:
                yield item
        finally:
            task.cancel()
            await asyncio.wait({task})
            await close(source)

    return Stream(items(), source)


def one_task_an_item(source: Source) -> AsyncIterator[Any]:
    """Each step of the source runs in a task of its own, which loses its ContextVars."""

    async def items() -> AsyncGenerator[Any, None]:
        iterator = aiter(source)
        try:
            while (item := await asyncio.create_task(_step(iterator))) is not None:
                yield item
        finally:
            await close(source)

    return Stream(items(), source)


def gives_up_on_slow_sources(source: Source) -> AsyncIterator[Any]:
    """A wait_for around a step kills the source when it is slow: silent truncation."""

    async def items() -> AsyncGenerator[Any, None]:
        iterator = aiter(source)
        try:
            while True:
                try:
                    item = await asyncio.wait_for(_step(iterator), 0.005)
                except TimeoutError:
                    yield ServerSentEvent(None, comment="ping")
                    continue
                if item is None:
                    return
                yield item
        finally:
            await close(source)

    return Stream(items(), source)


def drops_for_slow_readers(source: Source) -> AsyncIterator[Any]:
    """A queue that throws away what does not fit loses items where the reader is slow."""

    async def items() -> AsyncGenerator[Any, None]:
        newest: list[Any] = []
        news = asyncio.Event()

        async def fill() -> None:
            async for item in source:
                newest[:] = [item]
                news.set()
                await asyncio.sleep(0)
            news.set()

        task = asyncio.create_task(fill())
        try:
            while newest or not task.done():
                await news.wait()
                news.clear()
                while newest:
                    yield newest.pop()
        finally:
            task.cancel()
            await asyncio.wait({task})
            await close(source)

    return Stream(items(), source)


@pytest.mark.parametrize(
    ("law", "combinator", "finding"),
    [
        (keeps_order, drops_one, "200 items came out as"),
        (keeps_order, doubles_one, "1 items came out as"),
        (keeps_order, swaps, "200 items came out as"),
        (keeps_order, ends_early, "200 items came out as"),
        (keeps_order, gives_up_on_slow_sources, "1 items came out as"),
        (keeps_order, leaves_a_task, "tasks are left behind"),
        (closes_on_end, NeverCloses, "the source was not closed at its end"),
        (closes_on_end, leaves_a_task, "tasks are left behind"),
        (closes_on_break, leaves_closing_to_the_collector, "not closed by a reader that left after 1"),
        (closes_on_break, hangs_on_close, "closing the stream hangs"),
        (closes_on_break, closes_once_only, "closed twice"),
        (closes_on_break, leaves_a_task, "tasks are left behind"),
        (closes_on_break, drops_all_before_an_error, "reading the stream hangs"),
        (closes_on_break, says_nothing, "the stream ended with 1 items to come"),
        (closes_unread, forgets_when_unread, "the source of an unread stream was not closed"),
        (closes_unread, starts_when_closed, "the source of an unread stream was read"),
        (closes_unread, starts_a_task_at_once, "tasks are left behind"),
        (exceptions_pass, leaves_a_task, "tasks are left behind"),
        (exceptions_pass, swallows_errors, "an error came out as"),
        (exceptions_pass, replaces_errors, "instead of the source's error came RuntimeError"),
        (exceptions_pass, completes_errors, "an error came out as"),
        (exceptions_pass, drops_items_before_an_error, "items before an error came out as"),
        (exceptions_pass, drops_all_before_an_error, r"an error came out as \[\]"),
        (cancellation_propagates, leaves_a_task, "tasks are left behind"),
        (cancellation_propagates, throttles_without_cleanup, "the source of a cancelled reader was not closed"),
        (cancellation_propagates, swallows_cancellation, "a reader that was cancelled ended with"),
        (cancellation_propagates, carries_on, "cancelling the reader hangs"),
        (cancellation_propagates, swallows_the_second_cancellation, "a reader that was cancelled ended with"),
        (cancellation_is_safe_anywhere, swallows_cancellation, "cancelled at await 1, the work ended with"),
        (cancellation_propagates, hangs_when_cancelled, "cancelling the reader hangs"),
        (cancellation_is_safe_anywhere, swallows_the_second_cancellation, "cancelled at await 1, the work ended with"),
        (cancellation_is_safe_anywhere, leaves_the_source_open_when_cancelled, "cancelled at await 1 was not closed"),
        (cancellation_is_safe_anywhere, leaves_a_task, "tasks are left behind"),
        (reads_ahead_boundedly, buffers_everything, "5000 items were read ahead"),
        (reads_ahead_boundedly, leaves_a_task, "tasks are left behind"),
        (one_task_owns_the_source, leaves_a_task, "tasks are left behind"),
        (one_task_owns_the_source, one_task_an_item, "the source ran in 20. tasks"),
        (waits_with_the_source, leaves_a_task, "tasks are left behind"),
        (waits_with_the_source, gives_up_on_slow_sources, "5 items came out as"),
        (waits_with_the_source, drops_for_slow_readers, "5 items came out as"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or value.replace(" ", "_"),
)
def test_broken_combinators_break_a_law(law: Law, combinator: Combinator, finding: str) -> None:
    """Each law fails, with an AssertionError that says what is wrong, for a combinator that breaks it."""
    with pytest.raises(AssertionError, match=finding):
        run_virtual(law(combinator))


def test_every_law_is_proved() -> None:
    """No law is without a combinator that breaks it."""
    (cases,) = (mark for mark in test_broken_combinators_break_a_law.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {law for law, _, _ in cases.args[1]} == set(combinator_laws)


def test_timeout_of_a_combinator_is_no_hang() -> None:
    """A combinator's own TimeoutError comes out as itself, and is not taken for the law's patience."""

    async def times_out(source: Source) -> AsyncGenerator[Any, None]:
        async for _ in source:
            raise TimeoutError("its own")
            yield

    with pytest.raises(TimeoutError, match="its own"):
        run_virtual(reads_ahead_boundedly(times_out))


def test_another_context_is_found() -> None:
    """A source that one task runs in two contexts is found, though its tasks are one."""

    def cleans_up_elsewhere(source: Source) -> AsyncIterator[Any]:
        class Elsewhere(Stream):
            async def __anext__(self) -> Any:
                try:
                    return await super().__anext__()
                finally:
                    source.same_context = False  # type: ignore[attr-defined] # what a foreign reset would note

        return Elsewhere(plain_items(source), source)

    with pytest.raises(AssertionError, match="cleaned up in another context"):
        run_virtual(one_task_owns_the_source(cleans_up_elsewhere))
