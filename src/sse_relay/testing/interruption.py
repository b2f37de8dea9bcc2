"""Cancel a coroutine at its n-th await, whatever it awaits there."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from typing import Any, Generic, TypeVar, cast

__all__ = ["cancel_at_every_await", "cancelled_at"]

T = TypeVar("T")
_MOST_AWAITS = 10_000


async def cancelled_at(work: Coroutine[Any, Any, T], steps: Collection[int]) -> tuple[T, int]:
    """
    Run `work` in a task of its own, and cancel that task at the given awaits, counted from 1.

    An await that does not wait does not count.

    Returns:
        What the work returned, and at how many awaits it waited.

    Raises:
        asyncio.CancelledError: The work let the cancellation through, as it should.
    """
    counted = _Counted(work, steps)
    return await asyncio.create_task(_run(counted)), counted.awaits


async def cancel_at_every_await(
    make: Callable[[], Coroutine[Any, Any, object]], check: Callable[[int], Awaitable[None]], *, again: int = 0
) -> int:
    """
    Cancel ``make()`` at its first await, then a new one at its second, and so on until it gets through.

    Args:
        make: Makes the work; called once a round.
        check: Called after each round with the number of the await; raises what is wrong.
        again: Cancel a second time, so many awaits later; 0: once only.

    Returns:
        How many awaits the work has.

    Raises:
        AssertionError: The work swallowed the cancellation, or replaced it by another exception (its cause), or has
            10,000 awaits and more.
    """
    for step in range(1, _MOST_AWAITS):
        counted = _Counted(make(), {step, step + again})
        task = asyncio.create_task(_run(counted))
        await asyncio.wait({task})
        if counted.awaits < step:
            task.result()
            return step - 1
        if not task.cancelled():
            raise AssertionError(f"cancelled at await {step}, the work ended with {task!r}") from task.exception()
        await check(step)
    raise AssertionError("the work never ends")


async def _run(work: Awaitable[T]) -> T:
    return await work


class _Counted(Generic[T]):
    """Drives the work, one await at a time, inside the task that awaits this."""

    def __init__(self, work: Coroutine[Any, Any, T], steps: Collection[int]) -> None:
        self._work = work
        self._steps = steps
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, T]:
        task = cast("asyncio.Task[T]", asyncio.current_task())
        thrown: BaseException | None = None
        while True:
            try:
                waiting = self._work.send(None) if thrown is None else self._work.throw(thrown)
            except StopIteration as stop:
                return cast("T", stop.value)
            self.awaits += 1
            if self.awaits in self._steps:
                asyncio.get_running_loop().call_soon(task.cancel)
            thrown = None
            try:
                yield waiting
            except BaseException as exc:  # noqa: BLE001 - into the work it goes
                thrown = exc
