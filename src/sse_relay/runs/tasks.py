"""The tasks of one relay: held while they run, heard when they fail, over when it closes."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Tasks"]

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")
_PATIENCE = 0.5  # the part of the time in which a task may clean up undisturbed
_REPETITIONS = 10


class Tasks:
    """
    Start tasks, and end them all.

    The loop itself holds tasks weakly. No task here runs inside the call that starts it, whatever the task factory:
    user code never runs inside ``start``. Nor does one keep the context of whoever happened to call, unless it is to.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(
        self, work: Coroutine[Any, Any, T], *, context: contextvars.Context | None = None, heard: bool = False
    ) -> asyncio.Task[T]:
        """
        Start a task.

        Args:
            work: What it does.
            context: In a copy of which context; None: of the one in which the relay was made.
            heard: Whether somebody awaits it and learns of its failure; otherwise that is logged.
        """
        context = self._context if context is None else context
        task = asyncio.Task(work, loop=asyncio.get_running_loop(), context=context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._heard if heard else self._log)
        return task

    async def close(self, within: float) -> None:
        """Cancel what is left and wait until it is over; what takes too long is cancelled again and again."""
        again = within * (1 - _PATIENCE) / _REPETITIONS
        for patience in (within * _PATIENCE, *[again] * _REPETITIONS):
            left = self._tasks - {asyncio.current_task()}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=patience)

    def _heard(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever awaited it may have been cancelled meanwhile

    def _log(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a task of the relay failed", exc_info=error)
