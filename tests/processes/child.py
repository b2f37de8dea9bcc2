"""A process of ours, as its parent sees it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self

_ROOT = Path(__file__).parents[2]
_ALL_WARNINGS = {"PYTHONWARNINGS": "always", "PYTHONUNBUFFERED": "1"}


class Child:
    """
    One process.

    Attributes:
        pid: Its number.
    """

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._errors = errors
        self._killed = False
        self._hearing: asyncio.Task[None]

    @classmethod
    async def start(cls, program: str, *args: str, heard: Callable[[dict[str, Any]], None]) -> Self:
        """
        Start a module of this folder.

        Args:
            program: The module.
            args: Its arguments.
            heard: Called with whatever it says.
        """
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"tests.processes.{program}", *args,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, cwd=_ROOT,
            env=os.environ | _ALL_WARNINGS,
        )  # fmt: skip
        child = cls(process, errors)
        child._hearing = asyncio.create_task(child._hear(heard))
        return child

    def tell(self, **command: object) -> None:
        """Tell it something; a dead one does not hear."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(command).encode() + b"\n")

    def freeze(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> str:
        """End it as a crash does; tell what it complained of before."""
        self._killed = True
        self._signal(signal.SIGKILL)
        return await self.over()

    async def over(self) -> str:
        """Wait until it has ended; tell what it complained of, which should be nothing."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        code = await self._process.wait()
        await self._hearing
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        said = self._errors.read().decode()
        self._errors.close()
        wanted = -signal.SIGKILL if self._killed else 0
        return said if code == wanted else f"{said}ended with {code}"

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _hear(self, heard: Callable[[dict[str, Any]], None]) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.endswith(b"\n"):  # who is killed may not finish it
                heard(json.loads(line))
