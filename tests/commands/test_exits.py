"""Exit codes, and what an error looks like."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import get_args

import pytest

from sse_relay import (
    CursorMismatchError,
    InvalidCursorError,
    Outcome,
    RunExpiredError,
    RunNotFoundError,
    StoreUnavailableError,
)
from sse_relay.commands.exits import Exit, UserError, exit_of, perform
from sse_relay.outcome import Status


def test_every_outcome_has_its_code() -> None:
    """Each status has an exit code of its own; only completed is 0."""
    codes = {status: exit_of(Outcome(status)) for status in get_args(Status)}
    assert len(set(codes.values())) == len(codes)
    assert [status for status, code in codes.items() if code == 0] == ["completed"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("so it is", Exit.MISUSED), 2),
        (RunNotFoundError("r"), 7),
        (RunExpiredError("r"), 7),
        (InvalidCursorError("c"), 2),
        (CursorMismatchError("c", "foreign"), 1),
        (StoreUnavailableError("down\nfor long"), 1),
    ],
)
def test_what_a_user_can_put_right(capsys: pytest.CaptureFixture[str], error: Exception, code: int) -> None:
    """What a user can put right is one line and a code."""

    async def work() -> Exit:
        raise error

    assert perform(work()) == code
    said = capsys.readouterr().err
    assert said.startswith("sse-relay: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("defect", [RuntimeError, TypeError])
def test_a_defect_is_not_hidden(defect: Callable[[str], Exception]) -> None:
    """What a user cannot put right stays an exception."""

    async def work() -> Exit:
        raise defect("ours")

    with pytest.raises((RuntimeError, TypeError), match="ours"):
        perform(work())


def test_a_reader_that_leaves() -> None:
    """A pipe whose reader has left ends the command quietly, with the code that a shell gives."""
    code = (
        "import sys; from sse_relay.commands.exits import perform\n"
        "async def work():\n"
        "    while True: print('x', flush=True)\n"
        "sys.exit(perform(work()))"
    )
    pipe = subprocess.PIPE
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == ""
