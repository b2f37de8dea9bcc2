"""One process's handle on a shared store: slow, cut off, deaf or frozen on demand; and short ways to say things."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sse_relay import MemoryStore, Relay, ServerSentEvent, StoreUnavailableError
from sse_relay.stores.protocol import Follower, RunInfo, Wake


class Handle:
    """
    A store as one process sees it.

    Attributes:
        down: Operations (by name; True: all) that fail before they are done.
        lossy: Operations that are done, but whose answer is lost.
        hung: Operations that never answer.
        deaf: Whether no wake-up comes through.
        pause: Awaited before and after each operation.
        calls: How often each operation was asked for.
    """

    def __init__(self, store: Any, *, deaf: bool = False, pause: Callable[[], Awaitable[object]] | None = None) -> None:
        self.store = store
        self.deaf = deaf
        self.pause = pause
        self.down: set[str] | bool = False
        self.lossy: Counter[str] = Counter()
        self.hung: set[str] | bool = False
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.store, name)
        if name in {"new_run_id", "aclose"}:
            return operation

        async def call(*args: Any, **options: Any) -> Any:
            self.calls[name] += 1
            if self.pause is not None:
                await self.pause()
            if self._hit(self.hung, name):
                await asyncio.get_running_loop().create_future()
            if self._hit(self.down, name):
                raise StoreUnavailableError("cut off")
            answer = await operation(*args, **options)
            if self.lossy[name]:
                self.lossy[name] -= 1
                raise StoreUnavailableError("the answer was lost")
            if self.pause is not None:
                await self.pause()
            return answer

        return call

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs, unless deaf."""
        follower: Follower = await self.store.follow(lambda wake: None if self.deaf else on_wake(wake))
        return follower

    def runs(self, status: Any = None) -> AsyncIterator[RunInfo]:
        """List runs."""
        listed: AsyncIterator[RunInfo] = self.store.runs(status)
        return listed

    def freeze(self) -> None:
        """Let nothing through any more: the process is dead to the others."""
        self.hung = self.deaf = True

    @staticmethod
    def _hit(faults: set[str] | bool, name: str) -> bool:
        return faults if isinstance(faults, bool) else name in faults


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
