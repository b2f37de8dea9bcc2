"""
Faults between one process and its store.

A `FaultyStore` is one process's handle on any store, and two handles on one store are two processes. Its faults are
context managers, alone or nested, of all operations or of those that are named::

    shared = MemoryStore()
    handle = FaultyStore(shared)
    async with Relay(handle) as here, Relay(shared) as there:
        with handle.outage("append", "renew"), handle.dropped_wakeups():
            ...

A fault holds for what is asked while it lasts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TypeVar

from sse_relay.exceptions import RunExpiredError, RunNotFoundError, SSERelayError
from sse_relay.runs.producer import seal_of
from sse_relay.runs.reaper import LOST
from sse_relay.stores.protocol import Follower, StreamStore, Wake
from sse_relay.testing.handle import StoreHandle, listed
from sse_relay.testing.hearing import Deafness, Ear, Lateness
from sse_relay.testing.obstacles import Delay, Gate, LostReplies, Obstacle, Outage, Pause, Step

__all__ = ["FaultyStore"]

T = TypeVar("T")
F = TypeVar("F")


class FaultyStore(StoreHandle):
    """
    One process's handle on a store, with faults.

    Every fault takes the names of the operations that it is of, such as ``append``; without names it is of all. A name
    that no operation has is a `ValueError`. Closing and making ids never fail.

    Args:
        store: The store, which other processes use, too.

    Attributes:
        store: That store: what is asked there is asked by another process.
        calls: How often each operation was asked for.

    Example:
        >>> async def main():
        ...     handle = FaultyStore(MemoryStore())
        ...     async with Relay(handle) as relay:
        ...         with handle.lost_replies("open", times=2):  # a start asks again, and makes one run
        ...             await relay.start(as_events(EventChannel()))
        ...         print(handle.calls["open"], len([run async for run in relay.runs()]))
        >>> asyncio.run(main())
        3 1
    """

    def __init__(self, store: StreamStore) -> None:
        super().__init__(store)
        self._obstacles: list[Obstacle] = []
        self._steps: list[Step] = []
        self._gates: list[Gate] = []
        self._deafnesses: list[Deafness] = []
        self._latenesses: list[Lateness] = []
        self._held: list[Callable[[], object]] = []  # what goes on at the thaw, though nobody waits for it
        self._late: set[asyncio.Future[object]] = set()
        self._vanished = False

    def outage(self, *operations: str) -> AbstractContextManager[object]:
        """Do nothing that is asked: it raises `StoreUnavailableError`."""
        return _entered(self._obstacles, Outage(operations))

    def lost_replies(self, *operations: str, times: int | None = None) -> AbstractContextManager[object]:
        """Do what is asked and lose the answer, so many times: it raises `StoreUnavailableError`."""
        return _entered(self._obstacles, LostReplies(operations, times))

    def delays(self, pause: Pause, *operations: str) -> AbstractContextManager[object]:
        """Wait before and after: so many seconds, or as a callable says, which returns seconds or an awaitable."""
        return _entered(self._obstacles, Delay(operations, pause))

    def dropped_wakeups(self, when: Callable[[Wake], bool] = lambda _: True) -> AbstractContextManager[object]:
        """Lose wake-ups, all of them or some."""
        return _entered(self._deafnesses, Deafness(when))

    def late_wakeups(
        self, pause: float | Callable[[], float], *, twice: bool = False
    ) -> AbstractContextManager[object]:
        """Let each wake-up come so many seconds later; `twice`: at once, too."""
        return _entered(self._latenesses, Lateness(pause, twice=twice))

    @contextmanager
    def frozen(self, *operations: str) -> Generator[None]:
        """
        Let the process stand still until the context ends: a zombie, which then goes on where it was.

        Operations hang, also those under way, and wake-ups wait. What was asked for goes out at the end though its
        caller has given up on it, as from a socket's buffer. Timers go on. With names only those operations hang.
        """
        gate = Gate(operations)
        self._gates.append(gate)
        is_left = True
        try:
            yield
        except GeneratorExit:  # nobody left it: it is collected, perhaps after its loop
            is_left = False
            raise
        finally:
            if is_left:
                self._thaw(gate)

    def vanish(self) -> None:
        """Let nothing through any more, for good, as if the process had been killed; what hangs can be cancelled."""
        self._vanished = True
        self._gates.append(Gate())
        self._held.clear()
        for late in self._late:
            late.cancel()

    def at(self, step: int, do: Callable[[], Awaitable[object]], *operations: str) -> AbstractContextManager[Step]:
        """Do something once, before the n-th operation, counted from 1; the `Step` tells whether it was reached."""
        return _entered(self._steps, Step(step, do, operations))

    def takeover_at(self, step: int, *operations: str) -> AbstractContextManager[Step]:
        """Let another process take every running run for dead and end it, before the n-th operation."""
        return self.at(step, self._take_over, *operations)

    def frozen_at(self, step: int, seconds: float, *operations: str) -> AbstractContextManager[Step]:
        """Let the process stand still for so many seconds, from before the n-th operation."""
        return self.at(step, partial(self._freeze, seconds), *operations)

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs, as far as the faults let wake-ups through."""
        ear = Ear(on_wake)
        ear.follower = await self._ask("follow", partial(self.store.follow, partial(self._hear, ear)))
        return ear

    async def _ask(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        self.calls[operation] += 1
        for step in [step for step in self._steps if operation in step.operations]:
            await step.before()
        return await self._send(operation, ask)

    async def _send(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            await self._stand_still(operation)
        except asyncio.CancelledError:
            if not self._vanished:
                self._held.append(partial(self._send_late, operation, ask))
            raise
        obstacles = [obstacle for obstacle in self._obstacles if operation in obstacle.operations]
        for obstacle in obstacles:
            await obstacle.before()
        try:
            answer = await ask()
        except SSERelayError:
            await self._answered(operation, obstacles)
            raise
        await self._answered(operation, obstacles)
        return answer

    async def _answered(self, operation: str, obstacles: Sequence[Obstacle]) -> None:
        for obstacle in reversed(obstacles):
            await obstacle.after()
        await self._stand_still(operation)

    async def _stand_still(self, operation: str) -> None:
        while gates := [gate for gate in self._gates if operation in gate.operations]:
            await gates[0].opened.wait()

    def _send_late(self, operation: str, ask: Callable[[], Awaitable[object]]) -> None:
        late = asyncio.ensure_future(self._send(operation, ask))
        self._late.add(late)
        late.add_done_callback(self._arrived)

    def _arrived(self, late: "asyncio.Future[object]") -> None:
        self._late.discard(late)
        if not late.cancelled():
            late.exception()  # nobody waits for it

    def _hear(self, ear: Ear, wake: Wake) -> None:
        if self._vanished or any(deafness.drops(wake) for deafness in self._deafnesses):
            return
        if any(gate.holds_wakeups for gate in self._gates):
            self._held.append(partial(self._hear, ear, wake))
            return
        for lateness in self._latenesses:
            lateness.later(ear.hear, wake)
        if all(lateness.twice for lateness in self._latenesses):
            ear.hear(wake)

    async def _freeze(self, seconds: float) -> None:
        gate = Gate()
        self._gates.append(gate)
        asyncio.get_running_loop().call_later(seconds, self._thaw, gate)

    def _thaw(self, gate: Gate) -> None:
        self._gates.remove(gate)
        gate.opened.set()
        held, self._held = self._held, []
        for go_on in held:
            go_on()

    async def _take_over(self) -> None:
        for info in await listed(self.store, "running"):
            with suppress(RunNotFoundError, RunExpiredError):
                await self.store.end(info.id, seal_of(LOST))


@contextmanager
def _entered(faults: list[F], fault: F) -> Generator[F]:
    faults.append(fault)
    try:
        yield fault
    finally:
        faults.remove(fault)
