"""Exit codes, and errors as one sentence."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from enum import IntEnum
from importlib import import_module

from sse_relay.exceptions import InvalidCursorError, RunExpiredError, RunNotFoundError, SSERelayError
from sse_relay.outcome import Outcome

__all__ = ["Exit", "UserError", "complain", "exit_of", "perform", "require"]


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    """Done; where a run was followed, it completed."""
    UNDONE = 1
    """It could not be done: the store or server does not answer, or refuses."""
    MISUSED = 2
    """It was asked wrongly, or an extra is not installed."""
    FAILED = 3
    """The run failed."""
    CANCELLED = 4
    """The run was cancelled."""
    LOST = 5
    """The run's producer died."""
    TIMED_OUT = 6
    """The run took too long, or was silent for too long."""
    NO_RUN = 7
    """There is no such run, or it has expired."""
    NOT_YET = 124
    """The run had not ended when the time to wait was over."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read the output has left."""


_OF_STATUS = {
    "completed": Exit.DONE,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "lost": Exit.LOST,
    "timed_out": Exit.TIMED_OUT,
}


class UserError(Exception):
    """What the user can put right: shown as one sentence."""

    def __init__(self, sentence: str, code: Exit = Exit.UNDONE) -> None:
        super().__init__(sentence)
        self.code = code


def exit_of(outcome: Outcome) -> Exit:
    """Tell the code of a run's outcome."""
    return _OF_STATUS[outcome.status]


def complain(sentence: object, code: Exit) -> Exit:
    """Say one sentence."""
    print(f"sse-relay: {' '.join(str(sentence).split())}", file=sys.stderr)
    return code


def require(package: str, extra: str) -> None:
    """
    Make sure that an optional package is there.

    Raises:
        UserError: It is not.
    """
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(f"this needs {package}: pip install 'sse-relay[cli,{extra}]'", Exit.MISUSED) from error


def perform(work: Coroutine[object, object, Exit]) -> Exit:
    """Run a command to its exit code; what the user can put right is one sentence, and no traceback."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        return Exit.PIPE_CLOSED
    except (UserError, SSERelayError) as error:
        return complain(error, _code_of(error))


def _code_of(error: UserError | SSERelayError) -> Exit:
    match error:
        case UserError():
            return error.code
        case RunNotFoundError() | RunExpiredError():
            return Exit.NO_RUN
        case InvalidCursorError():
            return Exit.MISUSED
        case _:
            return Exit.UNDONE
