"""Let a fault happen at the n-th thing that a process asks of its store, for every n."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from sse_relay.stores.protocol import StreamStore
from sse_relay.testing.faults import FaultyStore
from sse_relay.testing.obstacles import Step

__all__ = ["FaultAt", "fault_at_every_step"]

FaultAt = Callable[[FaultyStore, int], AbstractContextManager[Step]]
"""A fault of a handle at its n-th step."""

_MOST_STEPS = 10_000


async def fault_at_every_step(
    store: StreamStore,
    fault: FaultAt,
    work: Callable[[FaultyStore], Awaitable[object]],
    check: Callable[[int], Awaitable[None]],
) -> int:
    """
    Let a fault happen before the first operation of `work`, then in a new round before the second one, and so on.

    It is over when the work gets through with fewer operations.

    Args:
        store: What the processes share.
        fault: What happens: ``FaultyStore.takeover_at``, or ``lambda handle, step: handle.frozen_at(step, 60)``.
        work: What a process does, from its start to its end, on the handle that it is given; called once a round.
        check: Called after each round with the number of the step; raises what is wrong.

    Returns:
        How many operations the work has.

    Raises:
        AssertionError: The work has 10,000 operations and more.

    Example:
        >>> from sse_relay.testing import run_virtual
        >>> async def main():
        ...     store = MemoryStore(clock=asyncio.get_running_loop().time)
        ...     ended = []
        ...     async def work(handle):
        ...         async with Relay(handle) as relay:
        ...             run = await relay.start(as_events(words()))
        ...             ended.append(await relay.wait(run.id))
        ...     async def check(step):
        ...         assert ended[-1].status in ("completed", "lost"), step
        ...     print(await fault_at_every_step(store, FaultyStore.takeover_at, work, check) > 3)
        >>> async def words():
        ...     yield "Hello"
        >>> run_virtual(main())
        True
    """
    for step in range(1, _MOST_STEPS):
        handle = FaultyStore(store)
        with fault(handle, step) as reached:
            try:
                await work(handle)
            except BaseException as error:
                error.add_note(f"with the fault at step {step}")
                raise
        if not reached.reached:
            return step - 1
        await check(step)
    raise AssertionError("the work never ends")
