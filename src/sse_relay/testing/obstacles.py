"""What may stand between one process and its store, in the way of what it asks."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from sse_relay.exceptions import StoreUnavailableError

__all__ = ["OPERATIONS", "Delay", "Gate", "LostReplies", "Obstacle", "Outage", "Pause", "Step"]

Pause = float | Callable[[], float | Awaitable[object]]
"""Seconds; or a callable that tells them, or that returns what to wait for."""

OPERATIONS = (
    "open", "append", "renew", "cancel", "end", "read", "info", "lookup", "runs", "lapsed", "follow",
)  # fmt: skip
"""What a process asks of its store."""


class Obstacle:
    """
    What happens to some operations of one process; by itself nothing.

    Args:
        operations: Their names; none: all of them.

    Raises:
        ValueError: There is no operation of such a name.
    """

    def __init__(self, operations: Collection[str] = ()) -> None:
        if unknown := sorted(set(operations) - set(OPERATIONS)):
            raise ValueError(f"a store has no operation {', '.join(unknown)}: use {', '.join(OPERATIONS)}")
        self.operations: frozenset[str] = frozenset(operations or OPERATIONS)

    async def before(self) -> None:
        """Wait or raise, before the operation reaches the store."""

    async def after(self) -> None:
        """Wait or raise, when the store has answered; a refusal is an answer, too."""


class Outage(Obstacle):
    """Nothing is done."""

    async def before(self) -> None:
        """Refuse."""
        raise StoreUnavailableError("the store cannot be reached")


class LostReplies(Obstacle):
    """It is done, but the answer is lost: of the next so many operations, or of all."""

    def __init__(self, operations: Collection[str], times: int | None) -> None:
        super().__init__(operations)
        self._left = times

    async def after(self) -> None:
        """Lose the answer."""
        if self._left == 0:
            return
        if self._left is not None:
            self._left -= 1
        raise StoreUnavailableError("the answer was lost")


class Delay(Obstacle):
    """It takes its time, there and back."""

    def __init__(self, operations: Collection[str], pause: Pause) -> None:
        super().__init__(operations)
        self._pause = pause

    async def before(self) -> None:
        """Wait."""
        pause = self._pause() if callable(self._pause) else self._pause
        await (asyncio.sleep(pause) if isinstance(pause, (int, float)) else pause)

    async def after(self) -> None:
        """Wait as long again."""
        await self.before()


class Gate(Obstacle):
    """
    Closed until it is opened.

    Attributes:
        opened: Set when it is.
        holds_wakeups: Whether wake-ups wait in front of it, too: they do where everything stands still.
    """

    def __init__(self, operations: Collection[str] = ()) -> None:
        super().__init__(operations)
        self.opened: asyncio.Event = asyncio.Event()
        self.holds_wakeups: bool = not operations


class Step(Obstacle):
    """
    Something that happens once, before the n-th operation.

    Attributes:
        reached: Whether there were so many operations.

    Raises:
        ValueError: The step is below 1.
    """

    def __init__(self, step: int, do: Callable[[], Awaitable[object]], operations: Collection[str]) -> None:
        super().__init__(operations)
        if step < 1:
            raise ValueError(f"steps are counted from 1, not from {step}")
        self.reached: bool = False
        self._left = step
        self._do = do

    async def before(self) -> None:
        """Count, and let it happen when it is time."""
        self._left -= 1
        if self._left == 0:
            self.reached = True
            await self._do()
