"""What one viewer waits on, again and again."""

import asyncio
import contextvars
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sse_relay.runs.seat import Seat
from sse_relay.testing import cancel_at_every_await

if sys.platform == "win32":
    LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
else:
    import uvloop

    LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

each_loop = pytest.mark.parametrize("new_loop", LOOPS, ids=lambda new_loop: new_loop.__module__.partition(".")[0])


def run(main: Any, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


def wake(seat: Seat) -> None:
    """Wake as a window does: in a callback of the loop."""
    asyncio.get_running_loop().call_soon(seat.wake)


async def woken(times: int, seat: Seat, seen: list[int]) -> None:
    for number in range(times):
        await seat
        seen.append(number)


@each_loop
def test_a_seat_is_waited_on_again_and_again(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """One seat serves every wait of its task, whichever way it is woken, on either kind of loop."""

    async def main() -> None:
        seat, seen = Seat(), list[int]()
        task = asyncio.create_task(woken(100, seat, seen))
        for number in range(100):
            await asyncio.sleep(0)
            assert seat.taken
            assert len(seen) == number
            wake(seat) if number % 2 else seat.wake_soon()
            await asyncio.sleep(0)
        await task
        assert not seat.taken
        wake(seat)  # nobody is there
        seat.wake_soon()

    run(main(), new_loop)


@each_loop
def test_who_waits_can_be_cancelled(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """I9: a cancellation ends the wait at once, with its message; the seat can be taken again."""

    async def main() -> None:
        seat = Seat()
        task = asyncio.create_task(woken(1, seat, []))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert not seat.taken
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await seat
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(woken(1, seat, []), 0.001)
        task = asyncio.create_task(woken(1, seat, []))
        await asyncio.sleep(0)
        seat.wake_soon()
        await task

    run(main(), new_loop)


def test_a_cancellation_that_meets_a_wake_up_is_not_lost() -> None:
    """I9: woken and cancelled in one turn, in either order, the task is cancelled, once."""

    async def main() -> None:
        for first, second in ((Seat.wake_soon, None), (None, Seat.wake_soon)):
            seat, seen = Seat(), list[int]()
            task = asyncio.create_task(woken(2, seat, seen))
            await asyncio.sleep(0)
            for step in (first, second):
                task.cancel() if step is None else step(seat)
            await asyncio.wait({task})
            assert task.cancelled()
            assert not seen
            assert not seat.taken

    run(main())


def test_each_await_of_a_seat_can_be_cancelled() -> None:
    """I9: cancelled at any of its awaits, once or twice, a task leaves its seat free."""

    async def main() -> None:
        seats: list[Seat] = []

        async def work() -> None:
            seats.append(Seat())
            for _ in range(3):
                asyncio.get_running_loop().call_later(0.001, seats[-1].wake_soon)
                await seats[-1]

        async def check(step: int) -> None:
            assert not seats[-1].taken, step

        for again in (0, 1):
            assert await cancel_at_every_await(work, check, again=again) == 3

    run(main())


def test_two_tasks_do_not_share_a_seat() -> None:
    """Two tasks that read one subscription are told so, instead of one of them waiting for ever."""

    async def main() -> None:
        seat = Seat()
        task = asyncio.create_task(woken(1, seat, []))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="subscribe once for each"):
            await seat
        assert seat.taken
        seat.wake_soon()
        await task

    run(main())


def test_a_task_goes_on_in_its_own_context() -> None:
    """Whoever wakes a viewer does not lend it its ContextVars."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody's")

    async def main() -> None:
        seat, seen = Seat(), list[str]()

        async def viewer() -> None:
            variable.set("the viewer's")
            for _ in range(2):
                await seat
                seen.append(variable.get())

        task = asyncio.create_task(viewer())
        await asyncio.sleep(0)
        variable.set("the producer's")
        wake(seat)
        await asyncio.sleep(0)
        seat.wake_soon()
        await task
        assert seen == ["the viewer's", "the viewer's"]

    run(main())


def test_a_task_that_is_thrown_away_leaves_its_seat() -> None:
    """A coroutine that is closed while it waits gives the seat back."""

    async def main() -> None:
        seat = Seat()
        waiting = woken(1, seat, [])
        assert waiting.send(None) is seat
        waiting.close()
        assert not seat.taken

    run(main())
