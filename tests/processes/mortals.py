"""Processes that are forked to die, as their parent sees them."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any

from tests.processes.child import Child
from tests.processes.roles import Task

_PATIENCE = 10.0  # seconds


class Mortals:
    """
    Fork processes, and learn how they ended.

    Attributes:
        said: What each of them said: by process, then by its first word.
    """

    def __init__(self) -> None:
        self.said: defaultdict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._nursery: Child
        self._born: dict[int, asyncio.Future[int]] = {}
        self._codes: defaultdict[int, asyncio.Future[int]] = defaultdict(asyncio.Future)

    async def bear(self, task: Task) -> int:
        """Start a process; tell its number."""
        number = len(self._born)
        born = self._born[number] = asyncio.Future[int]()
        self._nursery.tell(number=number, task=asdict(task))
        return await born

    async def ended(self, pid: int) -> int:
        """Wait until a process has ended; tell how, as `subprocess` does."""
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.shield(self._codes[pid])  # who waits no more does not undo it

    async def kill(self, pid: int) -> None:
        """Kill one, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await self.ended(pid)

    async def hears(self, pid: int, word: str) -> dict[str, Any]:
        """Wait until a process has said something; one that has ended says nothing more."""
        while word not in self.said[pid]:
            assert not self._codes[pid].done(), f"it never said {word}, and ended with {self._codes[pid].result()}"
            await asyncio.sleep(0.005)
        return self.said[pid][word]

    async def begin(self) -> None:
        """Start the nursery."""
        self._nursery = await Child.start("nursery", heard=self._hear)

    async def end(self) -> None:
        """End all of them; none has complained of anything."""
        complaint = await self._nursery.over()
        assert not complaint, complaint

    def _hear(self, told: dict[str, Any]) -> None:
        match told:
            case {"born": number, "pid": pid}:
                self._born[number].set_result(pid)
            case {"pid": pid, "code": code}:
                self._codes[pid].set_result(code)
            case _:
                word, pid = next(iter(told.items()))
                self.said[pid][word] = told


@asynccontextmanager
async def mortals() -> AsyncGenerator[Mortals, None]:
    """Have processes that are forked to die."""
    all_of_them = Mortals()
    await all_of_them.begin()
    try:
        yield all_of_them
    finally:
        await all_of_them.end()
