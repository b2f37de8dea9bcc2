"""A wait that another task may end, without an end of the task that waits."""

import asyncio
from typing import Any, Self

__all__ = ["Interruptible"]


class Interruptible:
    """
    Let others interrupt what one task does: a context manager to be entered again and again.

    Whoever is interrupted goes on behind the block. A cancellation by anybody else passes, also at the same moment.
    """

    __slots__ = ("_cancelling", "_interrupted", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._interrupted = False

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        task, self._task = self._task, None
        if not self._interrupted or task is None:
            return False
        self._interrupted = False
        return task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def interrupt(self) -> None:
        """Interrupt the block, if another task is in it."""
        task = self._task
        if task is not None and task is not asyncio.current_task() and not self._interrupted:
            self._interrupted = True
            task.cancel()
