"""A process that forks others: each has what it needs from its first moment, and may die at any."""

import asyncio
import json
import os
import signal
import sys
import traceback

from tests.processes.lines import say
from tests.processes.roles import Task, play

_alive: set[int] = set()


def bury(*_: object) -> None:
    """Tell of those who have died."""
    while _alive:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _alive.discard(pid)
        say(pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Fork as told; whoever is left at the end is killed."""
    signal.signal(signal.SIGCHLD, bury)
    for line in sys.stdin:
        told = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            live(Task(**told["task"]))
        _alive.add(pid)
        say(born=told["number"], pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for pid in list(_alive):
        os.kill(pid, signal.SIGKILL)


def live(task: Task) -> None:
    """Be one of them."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        asyncio.run(play(task))
        code = 0
    except BaseException:  # noqa: BLE001 - it must not become a second nursery
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
