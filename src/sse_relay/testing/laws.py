"""
The laws that every combinator keeps, alone and composed.

A law is a coroutine function of one combinator: a function of a source, with its options bound. It raises
`AssertionError` when the law is broken, and needs no test framework::

    @pytest.mark.parametrize("law", combinator_laws)
    def test_my_combinator(law):
        run_virtual(law(lambda source: my_combinator(source, option=1)))

A combinator may add events of its own (heartbeats, a terminal), and may turn an exception into a terminal. The stream
that it returns has an ``aclose``.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any

from sse_relay.testing.interruption import cancel_at_every_await
from sse_relay.testing.probe import Probe
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Combinator", "Law", "combinator_laws"]

Combinator = Callable[[AsyncIterable[ServerSentEvent]], AsyncIterator[Any]]
Law = Callable[[Combinator], Coroutine[Any, Any, None]]

_SPINS = 1000
_LOOK_AHEAD = 64
_PATIENCE = 60.0  # seconds: longer than any grace
_MANY = 5000  # more than anybody reads here; an end, so that no broken combinator reads for ever


async def keeps_order(combinator: Combinator) -> None:
    """Every item comes out once, in order, and the stream ends."""
    for waits in (False, True):
        for count in (0, 1, 200):
            probe = Probe(count, waits=waits)
            seen = [event async for event in combinator(probe)]
            _expect(_data(seen) == _numbers(count), f"{count} items came out as {_data(seen)}")
            await _settled(probe)


async def closes_on_end(combinator: Combinator) -> None:
    """When the stream has ended, its source is closed and no task is left."""
    probe = Probe(3)
    async for _ in combinator(probe):
        pass
    _expect(probe.closed, "the source was not closed at its end")
    await _settled(probe)


async def closes_on_break(combinator: Combinator) -> None:
    """A reader that closes the stream closes the source, wherever it stands."""
    for count, probe in (
        (1, Probe(_MANY)),
        (1, Probe(_MANY, waits=True)),
        (3, Probe(3, "wait")),
        (1, Probe(9, ValueError("read ahead"))),
    ):
        stream = combinator(probe)
        await _patiently(_take(stream, count), "reading the stream")
        await _close(stream)
        _expect(probe.closed, f"the source was not closed by a reader that left after {count}")
        await _close(stream)
        await _settled(probe)


async def closes_unread(combinator: Combinator) -> None:
    """A stream that is closed before it was read closes its source, which never started."""
    probe = Probe(3)
    await _close(combinator(probe))
    _expect(probe.closed, "the source of an unread stream was not closed")
    _expect(probe.read == 0, "the source of an unread stream was read")
    await _settled(probe)


async def exceptions_pass(combinator: Combinator) -> None:
    """What the source raises comes after the items before it, as itself or as a terminal that failed; never an end."""
    for waits in (False, True):
        error = ValueError("boom")
        probe = Probe(3, error, waits=waits)
        seen: list[Any] = []
        try:
            async for event in combinator(probe):
                seen.append(event)  # noqa: PERF401 - what came before the error counts
        except Exception as exc:  # noqa: BLE001 - it is judged
            _expect(exc is error, f"instead of the source's error came {exc!r}")
        else:
            outcome = seen[-1].outcome if seen else None
            _expect(outcome is not None and outcome.status == "failed", f"an error came out as {seen[-1:]}")
        _expect(_data(seen) == _numbers(3), f"items before an error came out as {_data(seen)}")
        await _settled(probe)


async def cancellation_propagates(combinator: Combinator) -> None:
    """A reader that is cancelled while it waits gets its CancelledError, also the second time; the source is closed."""
    for times in (1, 2):
        for probe in (Probe(2, "wait"), Probe(_MANY, waits=True)):
            reading = asyncio.Event()
            task = asyncio.create_task(_read(combinator(probe), reading))
            await reading.wait()
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            await _patiently(asyncio.wait({task}), "cancelling the reader")
            _expect(task.cancelled(), f"a reader that was cancelled ended with {task!r}")
            await _settled(probe)
            _expect(probe.closed, "the source of a cancelled reader was not closed")


async def cancellation_is_safe_anywhere(combinator: Combinator) -> None:
    """Cancelled at any await, once or twice, a reader ends cancelled, its source is closed, and no task is left."""
    probes: list[Probe] = []

    def read() -> Coroutine[Any, Any, None]:
        probes.append(Probe(3, waits=True))
        return _read(combinator(probes[-1]), asyncio.Event())

    async def check(step: int) -> None:
        await _settled(probes[-1])
        _expect(probes[-1].closed, f"the source of a reader cancelled at await {step} was not closed")

    for again in (0, 1):
        await cancel_at_every_await(read, check, again=again)


async def reads_ahead_boundedly(combinator: Combinator) -> None:
    """A reader that does not read holds the source back."""
    probe = Probe(_MANY)
    stream = combinator(probe)
    await _patiently(_take(stream, 1), "reading the stream")
    for _ in range(_SPINS):
        await asyncio.sleep(0)
    _expect(probe.read <= 2 * (_LOOK_AHEAD + 1), f"{probe.read} items were read ahead")
    await _close(stream)
    await _settled(probe)


async def one_task_owns_the_source(combinator: Combinator) -> None:
    """The source runs in one task and one context, so that its ContextVars and cancel scopes hold."""
    for probe in (Probe(200), Probe(200, waits=True)):
        async for _ in combinator(probe):
            pass
        _expect(len(probe.tasks) == 1, f"the source ran in {len(probe.tasks)} tasks")
        _expect(probe.same_context, "the source was cleaned up in another context")
        await _settled(probe)


async def waits_with_the_source(combinator: Combinator) -> None:
    """A source that takes its time loses nothing, nor does a reader that takes longer."""
    probe = Probe(5, waits=True)
    seen: list[Any] = []
    async for event in combinator(probe):
        seen.append(event)
        await asyncio.sleep(0.03)
    _expect(_data(seen) == _numbers(5), f"5 items came out as {_data(seen)}")
    await _settled(probe)


combinator_laws: tuple[Law, ...] = (
    keeps_order,
    closes_on_end,
    closes_on_break,
    closes_unread,
    exceptions_pass,
    cancellation_propagates,
    cancellation_is_safe_anywhere,
    reads_ahead_boundedly,
    one_task_owns_the_source,
    waits_with_the_source,
)


def _expect(condition: bool, message: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(message)


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _data(events: list[Any]) -> list[str]:
    return [event.data for event in events if event.event is None and event.data is not None]


async def _take(stream: AsyncIterator[Any], count: int) -> None:
    while count:
        event = await anext(stream, None)
        if event is None:
            raise AssertionError(f"the stream ended with {count} items to come")
        count -= event.data is not None


async def _read(stream: AsyncIterator[Any], reading: asyncio.Event) -> None:
    async for event in stream:
        if event.data is not None:
            reading.set()


async def _close(stream: Any) -> None:  # noqa: ANN401 - any async iterator with `aclose`
    await _patiently(stream.aclose(), "closing the stream")


async def _patiently(work: Coroutine[Any, Any, object], what: str) -> None:
    patience = asyncio.timeout(_PATIENCE)
    try:
        async with patience:
            await work
    except TimeoutError:
        if not patience.expired():
            raise
        raise AssertionError(f"{what} hangs") from None


async def _settled(probe: Probe) -> None:
    """Fail if a task is left, once those that were told to end have had their turns."""
    for _ in range(_SPINS):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"tasks are left behind ({probe.read} items read): {asyncio.all_tasks()}")
