"""A time limit for many short waits of one task, at the cost of one timer."""

import asyncio
from typing import Any, Self

__all__ = ["Deadline"]


class Deadline:
    """
    Limit each of many waits of one task: a context manager to be entered again and again.

    `asyncio.timeout` makes a timer for each wait, and leaves a cancelled one in the loop's heap; where nearly every
    wait is over at once, that costs more than the wait. Here one timer looks, as late as it may, at how long the wait
    goes on that is under way. `begin` and `end` do what entering and leaving do, and make no object, where each event
    is a wait.

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
        self.begin()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self.end(error):
            raise TimeoutError

    def begin(self) -> float:
        """Begin a wait; tell when that was, by the loop's clock."""
        loop = self._loop
        self._task = task = asyncio.current_task(loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._since = since = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(since + self._seconds, self._look)
        return since

    def end(self, error: BaseException | None = None) -> bool:
        """End a wait, by an error if it was; tell whether that is an interruption because the time was over."""
        task, self._task = self._task, None
        if not self._interrupted or task is None:
            return False
        self._interrupted = False
        return task.uncancel() <= self._cancelling and type(error) is asyncio.CancelledError

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
