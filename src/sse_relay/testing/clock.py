"""A virtual clock: a day of silence in milliseconds."""

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualClockLoop", "run_virtual"]

T = TypeVar("T")
_DEADLOCK_AFTER = 5.0  # real seconds: a thread or a socket may still wake the loop


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time moves only when nothing is left to do, and then at once to the next timer.

    For tests without sockets and slow threads: what they do takes real time, which this clock does not see, so that any
    timer is due before they are. A loop that waits for ever raises instead of hanging.

    Raises:
        RuntimeError: Everything waits, and no timer is set: a deadlock.
    """

    def __init__(self) -> None:
        selector = _VirtualSelector()
        super().__init__(selector)
        self._selector_clock = selector

    def time(self) -> float:
        """Tell the virtual time, in seconds."""
        return self._selector_clock.now


class _VirtualSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if events := super().select(0):
            return events
        if timeout is not None:
            self.now += timeout
        elif not (events := super().select(self._patience())):
            raise RuntimeError("deadlock: every task waits, and no timer is set")
        return events

    def _patience(self) -> float:
        alone = threading.active_count() == 1 and len(self.get_map()) == 1  # the loop's own socket, which wakes it
        return 0 if alone else _DEADLOCK_AFTER


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """
    Run a coroutine on a `VirtualClockLoop`, as `asyncio.run` would.

    Example:
        >>> async def a_day() -> float:
        ...     await asyncio.sleep(86_400)
        ...     return asyncio.get_running_loop().time()
        >>> run_virtual(a_day()) >= 86_400
        True
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
