"""Tell the application of each start and end of a run, off the path of its tokens."""

import asyncio
from typing import Any

import pytest

from sse_relay import Outcome
from sse_relay.runs.tasks import Tasks
from sse_relay.runs.transitions import Transitions
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import run_virtual

RUNNING = RunInfo("run", None, "running", "an-epoch", 0, None, 0.0, 0.0)
ENDED = RunInfo("run", None, "completed", "an-epoch", 1, Outcome("completed"), 0.0, 1.0)


def test_nobody_is_told_of_nothing() -> None:
    """Without a callback there is no task."""

    async def main() -> None:
        tasks = Tasks()
        Transitions(None, tasks.spawn).tell(RUNNING)
        assert len(tasks) == 0

    run_virtual(main())


def test_the_start_is_told_before_the_end() -> None:
    """The end of a run waits for the call that tells of its start; other runs do not."""

    async def main() -> None:
        tasks, told = Tasks(), list[str]()

        async def callback(info: RunInfo) -> None:
            if info is RUNNING:
                await asyncio.sleep(1)
            told.append(f"{info.id} {info.status}")

        transitions = Transitions(callback, tasks.spawn)
        transitions.tell(RUNNING)
        transitions.tell(ENDED)
        transitions.tell(RunInfo("other", None, "running", "an-epoch", 0, None, 0.0, 0.0))
        assert len(transitions.pending()) == 2
        while left := transitions.pending():
            await asyncio.wait(left)
        assert told == ["other running", "run running", "run completed"]
        assert not transitions._telling

    run_virtual(main())


@pytest.mark.parametrize("kind", ["raises", "fails", "hangs"])
def test_a_callback_that_fails_is_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises, sync or async, or that takes over five seconds, is logged; the next one is called."""

    async def main() -> None:
        async def work() -> None:
            if kind == "fails":
                raise ValueError("boom")
            await asyncio.sleep(1000)

        def callback(info: RunInfo) -> Any:
            if info is ENDED:
                told.append(asyncio.get_running_loop().time())
                return None
            if kind == "raises":
                raise ValueError("boom")
            return work()

        told: list[float] = []
        transitions = Transitions(callback, Tasks().spawn)
        transitions.tell(RUNNING)
        transitions.tell(ENDED)
        await asyncio.sleep(20)
        assert told == [5.0 if kind == "hangs" else 0.0]

    run_virtual(main())
    assert caplog.text.count("on_transition failed for run run (running)") == 1
