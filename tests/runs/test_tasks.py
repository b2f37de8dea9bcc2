"""The tasks of one relay: held while they run, heard when they fail, over when it closes."""

import asyncio
import contextvars
import gc

import pytest

from sse_relay.runs.tasks import Tasks
from sse_relay.testing import run_virtual


def test_a_task_is_held_until_it_is_over() -> None:
    """The collector does not take a task that nobody else holds, and one that is over is not held."""

    async def main() -> None:
        tasks, done = Tasks(), asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(1)
            done.set()

        tasks.spawn(work())
        gc.collect()
        await done.wait()
        await asyncio.sleep(0)
        assert len(tasks) == 0

    run_virtual(main())


def test_a_failure_is_logged_unless_somebody_hears_it(caplog: pytest.LogCaptureFixture) -> None:
    """What a task raises is in the log, or is its awaiter's; it is never a warning of the loop's."""

    async def main() -> None:
        async def fail(text: str) -> None:
            raise ValueError(text)

        tasks = Tasks()
        tasks.spawn(fail("alone"))
        heard = tasks.spawn(fail("heard"), heard=True)
        await asyncio.wait({heard})
        await asyncio.sleep(0)

    run_virtual(main())
    assert "alone" in caplog.text
    assert "heard" not in caplog.text


def test_the_context_of_a_task() -> None:
    """A task runs in a copy of the given context, else of the one in which its owner was made."""

    async def main() -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="made")

        async def read() -> str:
            value = variable.get()
            variable.set("changed")
            return value

        tasks = Tasks()
        variable.set("called")
        assert await tasks.spawn(read()) == "made"
        assert await tasks.spawn(read()) == "made"
        given = contextvars.copy_context()
        assert await tasks.spawn(read(), context=given) == "called"
        assert given[variable] == "called"

    run_virtual(main())


@pytest.mark.parametrize("swallowed", [0, 1, 3, 1000])
def test_closing_ends_all_in_its_time(swallowed: int) -> None:
    """Whatever swallows a cancellation is cancelled again; nothing holds the close up beyond its time (L8)."""

    async def main() -> None:
        async def work(times: int) -> None:
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    if not times:
                        raise
                    times -= 1

        tasks = Tasks()
        for _ in range(3):
            tasks.spawn(work(swallowed))
        await asyncio.sleep(1)
        await tasks.close(0.5)
        assert asyncio.get_running_loop().time() <= 1.5 + 1e-6
        assert len(tasks) == (3 if swallowed == 1000 else 0)
        while len(tasks):
            await tasks.close(0)
            await asyncio.sleep(0)

    run_virtual(main())
