"""
What one viewer waits on, again and again: a future that may be resolved more than once.

A thousand viewers wait for the same record. With a future each, every record costs a thousand futures, a thousand
handles, and a thousand callbacks of the event loop: 1.5 μs a viewer, before anything is read. A seat is made once; its
window wakes many in one callback: half of that.

It speaks what a task asks of whatever it awaits (`asyncio.isfuture`), and no more.
"""

import asyncio
import contextvars
from collections.abc import Callable, Generator

__all__ = ["Seat"]


class Seat:
    """
    A place in a window's row, for one task at a time.

    Attributes:
        taken: Whether a task waits here.
        wakeup: What goes on with that task.
        context: Where it has to.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_loop", "context", "taken", "wakeup")

    wakeup: Callable[["Seat"], object]
    context: contextvars.Context

    def __init__(self) -> None:
        self.taken: bool = False
        self._asyncio_future_blocking = False
        self._loop = asyncio.get_running_loop()  # where a task looks whether it is its own, if there is no get_loop
        self._cancelled: tuple[object, ...] | None = None

    def __await__(self) -> "Generator[Seat, None, None]":
        if self.taken:
            raise RuntimeError("two tasks read one subscription; subscribe once for each")
        self.taken = self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.taken = False

    def wake(self) -> None:
        """Go on with the task that waits here, at once: in a callback of the loop, with no other task in its step."""
        if self.taken:
            self.taken = False
            self.context.run(self.wakeup, self)

    def wake_soon(self) -> None:
        """Go on with the task that waits here, in the next turn of the loop."""
        if self.taken:
            self.taken = False
            self._loop.call_soon(self.wakeup, self, context=self.context)

    def add_done_callback(self, callback: "Callable[[Seat], object]", *, context: contextvars.Context) -> None:
        """Take what goes on with the task."""
        self.wakeup = callback
        self.context = context

    def cancel(self, msg: object = None) -> bool:
        """Wake the task with a `asyncio.CancelledError`; False: it is woken already, and will find it out itself."""
        if not self.taken:
            return False
        self._cancelled = () if msg is None else (msg,)
        self.wake_soon()
        return True

    def result(self) -> None:
        """Tell the task, which is awake, why."""
        if self._cancelled is not None:
            cancelled, self._cancelled = self._cancelled, None
            raise asyncio.CancelledError(*cancelled)
