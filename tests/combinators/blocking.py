"""Threads that block, made visible: no test has to guess whether one does already."""

import threading
from typing import Any

from sse_relay import EventChannel

PATIENCE = 5  # real seconds: how long a thread may take to get where it must get


class WatchedCondition(threading.Condition):
    """Tells how many threads wait on it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.waits = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait, and say so."""
        self.waiting += 1
        self.waits.set()
        try:
            return super().wait(timeout)
        finally:
            self.waiting -= 1


class WatchedChannel(EventChannel[Any]):
    """A channel that tells when a thread blocks in `push`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._changed = self._watched = WatchedCondition()

    def until_a_thread_blocks(self) -> None:
        """Wait in real time until the channel is full and a thread waits for room, which nobody has told it of."""
        while True:
            with self._watched:
                if self._watched.waiting and self._size == self._capacity:
                    return
                self._watched.waits.clear()
            assert self._watched.waits.wait(PATIENCE), "no thread blocks"


def joined(*threads: threading.Thread) -> None:
    """Wait in real time for threads that must end by themselves."""
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} is left"
