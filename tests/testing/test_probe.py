"""A source that knows what was done to it."""

import asyncio
import contextvars

import pytest

from sse_relay.testing import Probe, run_virtual


async def numbers(probe: Probe) -> list[str | None]:
    return [event.data async for event in probe]


@pytest.mark.parametrize("waits", [False, True])
def test_it_yields_so_many_events(waits: bool) -> None:
    """A probe yields events by number, suspending before each or never, and knows how many were read."""

    async def main() -> None:
        probe = Probe(3, waits=waits)
        assert await numbers(probe) == ["0", "1", "2"]
        assert probe.read == 3
        assert probe.closed
        assert probe.same_context
        assert probe.tasks == {asyncio.current_task()}
        assert (asyncio.get_running_loop().time() > 0) == waits

    run_virtual(main())


def test_it_may_go_on_for_ever() -> None:
    """`None` is no bound."""

    async def main() -> None:
        probe = Probe(None)
        for number in range(1000):
            assert (await anext(probe)).data == str(number)
        assert not probe.closed
        await probe.aclose()
        assert probe.closed

    run_virtual(main())


def test_it_may_raise() -> None:
    """An exception comes after the events, as itself."""

    async def main() -> None:
        error = ValueError("boom")
        probe = Probe(2, error)
        with pytest.raises(ValueError, match="boom") as raised:
            await numbers(probe)
        assert raised.value is error
        assert probe.read == 2
        assert probe.closed

    run_virtual(main())


def test_it_may_wait() -> None:
    """After its events it waits until it is cancelled."""

    async def main() -> None:
        probe = Probe(2, "wait")
        task = asyncio.create_task(numbers(probe))
        await asyncio.sleep(1000)
        assert not task.done()
        assert not probe.closed
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert probe.closed

    run_virtual(main())


def test_unread_it_counts_as_closed_and_ran_in_no_task() -> None:
    """Closing a probe that never started is seen, and is not taken for running it."""

    async def main() -> None:
        probe = Probe(2)
        await probe.aclose()
        assert probe.closed
        assert probe.read == 0
        assert not probe.tasks

    run_virtual(main())


def test_it_tells_tasks_and_contexts_apart() -> None:
    """A step or a close in another task is noted, and so is a cleanup in another context."""

    async def main() -> None:
        probe = Probe(2)
        await anext(probe)
        closing = asyncio.create_task(probe.aclose())
        await closing
        assert probe.tasks == {asyncio.current_task(), closing}
        assert not probe.same_context
        same = Probe(2)
        context = contextvars.copy_context()
        await asyncio.create_task(_one(same), context=context)
        await asyncio.create_task(same.aclose(), context=context)
        assert same.same_context
        assert len(same.tasks) == 2

    run_virtual(main())


async def _one(probe: Probe) -> None:
    await anext(probe)
