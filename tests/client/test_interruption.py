"""A wait that another task ends."""

import asyncio

import pytest

from sse_relay.client.interruption import Interruptible
from tests.adapters.servers import on_virtual_time


class Wait:
    """Waits for ever, again and again, and counts how often it was interrupted."""

    def __init__(self) -> None:
        self.block = Interruptible()
        self.times = 0

    async def run(self) -> None:
        """Wait."""
        while True:
            with self.block:
                await asyncio.Event().wait()
            self.times += 1


@on_virtual_time
async def test_interrupted_again_and_again() -> None:
    """I9: whoever is interrupted goes on behind the block, and is not cancelled."""
    wait = Wait()
    task = asyncio.create_task(wait.run())
    for times in range(1, 4):
        await asyncio.sleep(1)
        wait.block.interrupt()
        wait.block.interrupt()
        await asyncio.sleep(1)
        assert (wait.times, task.cancelling(), task.done()) == (times, 0, False)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@on_virtual_time
async def test_cancelled_at_the_same_moment() -> None:
    """I9: a cancellation is never taken for an interruption, whichever comes first."""
    for first in ("interrupt", "cancel"):
        wait = Wait()
        task = asyncio.create_task(wait.run())
        await asyncio.sleep(1)
        for what in (
            (wait.block.interrupt, task.cancel) if first == "interrupt" else (task.cancel, wait.block.interrupt)
        ):
            what()
        await asyncio.wait({task})
        assert task.cancelled()


@on_virtual_time
async def test_nobody_to_interrupt() -> None:
    """I9: an interruption of nobody, and by the task in the block itself, does nothing; errors pass."""
    block = Interruptible()
    block.interrupt()
    with block:
        block.interrupt()
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="mine"), block:
        raise ValueError("mine")
