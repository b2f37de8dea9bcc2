"""A time limit for many short waits of one task, at the cost of one timer."""

import asyncio
from typing import Any

import pytest

from sse_relay.runs.deadline import Deadline
from sse_relay.testing import run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


def timers() -> int:
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


def test_a_wait_that_takes_too_long_is_interrupted() -> None:
    """Each wait has its own time, counted from its own beginning; the task goes on after a timeout."""

    async def main() -> None:
        deadline = Deadline(1.0)
        for _ in range(3):
            began = now()
            with pytest.raises(TimeoutError), deadline:
                await asyncio.sleep(5)
            assert now() - began == pytest.approx(1.0)
            with deadline:
                await asyncio.sleep(0.9)
        deadline.close()
        await asyncio.sleep(10)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    run_virtual(main())


def test_many_waits_share_one_timer() -> None:
    """A thousand short waits have one timer, and none is left behind."""

    async def main() -> None:
        deadline = Deadline(1.0)
        for _ in range(1000):
            with deadline:
                await asyncio.sleep(0)
            assert timers() == 1
        deadline.close()
        deadline.close()
        assert timers() == 0

    run_virtual(main())


def test_between_two_waits_nothing_is_interrupted() -> None:
    """The time counts inside only, and a timer that finds nobody is not armed again."""

    async def main() -> None:
        deadline = Deadline(1.0)
        with deadline:
            await asyncio.sleep(0.5)
        await asyncio.sleep(60)
        assert timers() == 0
        with deadline:
            await asyncio.sleep(0.5)
        deadline.close()

    run_virtual(main())


def test_a_cancellation_by_somebody_else_goes_on() -> None:
    """I9: whoever cancels the task cancels it, also when the time is over in the same turn."""

    async def main() -> None:
        deadline = Deadline(1.0)

        async def work() -> None:
            with deadline:
                await asyncio.sleep(5)

        for after in (0.5, 1.0):
            task = asyncio.create_task(work())
            asyncio.get_running_loop().call_later(after, task.cancel)
            await asyncio.wait({task})
            assert task.cancelled(), after
        deadline.close()

    run_virtual(main())


def test_what_is_raised_inside_goes_on() -> None:
    """An error of the work itself is no timeout."""

    async def main() -> None:
        deadline = Deadline(1.0)
        with pytest.raises(LookupError), deadline:
            raise LookupError
        deadline.close()

    run_virtual(main())
