"""One process's handle on a shared store: slow, cut off, deaf or frozen on demand; and short ways to say things."""

import asyncio
from collections import UserDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from sse_relay import MemoryStore, Relay, ServerSentEvent
from sse_relay.testing import FaultyStore


class Switches(UserDict[str, Any]):
    """Faults that go on when they are set, and off when they are set to what is false."""

    def __init__(self, fault: Callable[[str, Any], AbstractContextManager[object]]) -> None:
        self._fault = fault
        self._on: dict[str, ExitStack] = {}
        super().__init__()

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        switch = self._on.setdefault(name, ExitStack())
        switch.close()
        if value:
            switch.enter_context(self._fault(name, value))


class Handle(FaultyStore):
    """
    A process whose faults are switches, for tests in which one begins in one place and ends in another.

    Attributes:
        down: Operations (by name; True: all) that fail before they are done.
        hung: Operations that hang; what hangs goes on when it is switched off.
        deaf: Whether no wake-up comes through.
        pause: Awaited before and after each operation.
        lossy: How many answers of an operation are lost from now on.
    """

    deaf = property(lambda self: self._switches["deaf"], lambda self, value: self._switches.update(deaf=value))
    down = property(lambda self: self._switches["down"], lambda self, value: self._switches.update(down=value))
    hung = property(lambda self: self._switches["hung"], lambda self, value: self._switches.update(hung=value))
    pause = property(lambda self: self._switches["pause"], lambda self, value: self._switches.update(pause=value))

    def __init__(self, store: Any, *, deaf: bool = False, pause: Callable[[], Awaitable[object]] | None = None) -> None:
        super().__init__(store)
        self.lossy = Switches(lambda operation, times: self.lost_replies(operation, times=times))
        self._switches = Switches(self._switched)
        self._switches.update(deaf=deaf, pause=pause)

    def _switched(self, name: str, value: Any) -> AbstractContextManager[object]:
        if name == "deaf":
            return self.dropped_wakeups()
        if name == "pause":
            return self.delays(value)
        operations = () if value is True else value
        return self.outage(*operations) if name == "down" else self.frozen(*operations)


def process(store: Any, **faults: Any) -> Any:
    """Make a handle on a store; any: it has whatever the store has."""
    return Handle(store, **faults)


def memory(**options: Any) -> MemoryStore:
    """Make a store on the running loop's clock."""
    return MemoryStore(clock=asyncio.get_running_loop().time, **options)


async def numbers(count: int | None, pause: float = 0.01) -> AsyncIterator[str]:
    """Yield ``"1"``, ``"2"``, … with a pause before each."""
    number = 0
    while count is None or number < count:
        await asyncio.sleep(pause)
        number += 1
        yield str(number)


async def silence() -> AsyncIterator[str]:
    """Yield nothing, for ever."""
    await asyncio.get_running_loop().create_future()
    yield ""


async def stubborn(cleanup: float = 1000.0) -> AsyncIterator[str]:
    """Yield once, then ignore being cancelled for so long, and go on."""
    yield "1"
    deadline = asyncio.get_running_loop().time() + cleanup
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    yield "late"


async def view(relay: Relay, run_id: str, after: Any = None) -> list[ServerSentEvent]:
    """Read a run to its end."""
    async with relay.subscribe(run_id, after) as events:
        return [event async for event in events]


def said(events: list[ServerSentEvent]) -> list[str | None]:
    """Tell what the events say: the data, or of ours the name."""
    return [event.event or event.data for event in events]


async def settle() -> None:
    """Fail if a task is left."""
    for _ in range(100):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"tasks are left: {asyncio.all_tasks()}")
