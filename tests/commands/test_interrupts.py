"""Ctrl-C while a command is being loaded."""

import signal
import subprocess
import sys
import threading

import pytest

from sse_relay.commands.interrupts import leaving_at_once

LOADING = """
import os, signal
from sse_relay.commands.interrupts import leaving_at_once

class Interrupted:
    def __set_name__(self, *_):  # Python makes a RuntimeError of what this raises
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))

with leaving_at_once():
    class Loaded:
        field = Interrupted()
"""


def test_an_import_that_is_interrupted() -> None:
    """Ctrl-C in the middle of an import ends the process at once, with its code and without a word."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, timeout=10, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_what_has_begun() -> None:
    """Once it has begun, Ctrl-C is an exception as ever, that cleans up."""
    with pytest.raises(KeyboardInterrupt), leaving_at_once(until=lambda: True):
        signal.raise_signal(signal.SIGINT)


def test_what_was_before_is_there_again() -> None:
    """Behind the block Ctrl-C means what it meant ahead of it; in another thread nothing is changed."""
    before = signal.getsignal(signal.SIGINT)
    seen = []
    with leaving_at_once():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before

    def elsewhere() -> None:
        with leaving_at_once():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]
