"""A time limit for many short waits of one task, at the cost of one timer."""

import asyncio
from typing import Any, Self

__all__ = ["Deadline"]


class Deadline:
    """
    Limit each of many waits of one task: a context manager to be entered again and again.

    `asyncio.timeout` makes a timer for each wait, and leaves a cancelled one in the loop's heap; where nearly every
    wait is over at once, that costs more than the wait. Here one timer looks, as late as it may, at how long the wait
    goes on that is under way.

    Args:
        seconds: How long each wait may take.

    Raises:
        TimeoutError: On leaving: the wait was interrupted.
    """

    __slots__ = ("_cancelling", "_interrupted", "_loop", "_seconds", "_since", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._since = 0.0
        self._cancelling = 0
        self._interrupted = False

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task(self._loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._seconds, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._task = self._task, None
        if self._interrupted and task is not None:
            self._interrupted = False
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError

    def close(self) -> None:
        """Let go of the timer; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        due = self._since + self._seconds
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
        elif not self._interrupted:
            self._interrupted = True
            self._task.cancel()
