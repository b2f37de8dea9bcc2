"""What may stand between one process and its wake-ups."""

import asyncio
from collections.abc import Callable

from sse_relay.stores.protocol import Follower, Wake

__all__ = ["Deafness", "Ear", "Lateness"]


class Deafness:
    """
    Wake-ups are lost.

    Args:
        drops: Tells which.
    """

    def __init__(self, drops: Callable[[Wake], bool]) -> None:
        self.drops: Callable[[Wake], bool] = drops


class Lateness:
    """
    Wake-ups come late.

    Args:
        pause: By how many seconds, or a callable that tells them.
        twice: Whether they come at once, too.
    """

    def __init__(self, pause: float | Callable[[], float], *, twice: bool) -> None:
        self.twice: bool = twice
        self._pause = pause

    def later(self, hear: Callable[[Wake], None], wake: Wake) -> None:
        """Let it come later."""
        asyncio.get_running_loop().call_later(self._pause() if callable(self._pause) else self._pause, hear, wake)


class Ear:
    """
    A follower: once it is to hear no more of a run, a wake-up that is late does not reach it any more.

    Args:
        on_wake: Called with what it hears.

    Attributes:
        follower: The store's own.
    """

    def __init__(self, on_wake: Callable[[Wake], None]) -> None:
        self.follower: Follower | None = None
        self._on_wake = on_wake
        self._watched: set[str] = set()

    def watch(self, run_id: str, *, appends: bool = True) -> None:
        """Hear of a run from now on."""
        self._watched.add(run_id)
        if self.follower is not None:
            self.follower.watch(run_id, appends=appends)

    def unwatch(self, run_id: str) -> None:
        """Hear no more of a run."""
        self._watched.discard(run_id)
        if self.follower is not None:
            self.follower.unwatch(run_id)

    async def aclose(self) -> None:
        """Hear no more of anything."""
        self._watched.clear()
        if self.follower is not None:
            await self.follower.aclose()

    def hear(self, wake: Wake) -> None:
        """Take a wake-up."""
        if wake.run_id in self._watched:
            self._on_wake(wake)
