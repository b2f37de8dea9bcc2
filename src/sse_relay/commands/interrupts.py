"""Ctrl-C while a command is still being loaded."""

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "leaving_at_once"]

INTERRUPTED: int = 130
"""The exit code of a command that Ctrl-C ended."""


@contextmanager
def leaving_at_once(code: int = INTERRUPTED, *, until: Callable[[], bool] = bool) -> Generator[None]:
    """
    Let Ctrl-C end the process at once, while the block runs.

    It is for imports, and for what only begins: what is interrupted there may wrap the interruption in another error,
    or lose it. Nothing is open yet that would want to be closed.

    Args:
        code: The exit code.
        until: Tells whether it has begun; from then on Ctrl-C is a `KeyboardInterrupt`, as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        if until():
            raise KeyboardInterrupt
        os._exit(code)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
