"""
One live tail per process, any number of viewers.

A tail hears of all watched runs by one follower of the store, and keeps the newest records of each viewed one in a
window. A viewer is a position: it takes what is in the window, and pages from the store when it has fallen out of it.
Wake-ups only save latency: a run that is silent is looked at every few seconds, so that everything works without them,
later.

After a failover of the store, viewers may have seen records that the log lacks until their producer sends them again.
They are given some time to come back; one who looks waits for all who view the run.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

from sse_relay.exceptions import CursorMismatchError, DrainingError, SSERelayError, StoreUnavailableError
from sse_relay.runs.window import Window
from sse_relay.stores.protocol import Follower, StreamStore, Wake
from sse_relay.wire.cursor import Cursor

__all__ = ["Tail"]

_LOOK_AGAIN = 5.0  # a run that is silent for so long is read, in case its wake-up was lost
_AT_ONCE = 256  # silent runs that are asked for in one turn of the loop
# What a look asks for, before it knows of more: little, so that a store can answer many looks at once.
_GLANCE = 16  # records, of
_GLANCE_BYTES = 1 << 16  # together
_PATIENCE = 5.0  # seconds for a producer to send again what the log lacks: less than a lease, more than a renewal
_PAUSE = 0.25  # between two looks for it

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Tail:
    """
    Follow every run that somebody here views or produces.

    Args:
        store: Whom to hear.
        spawn: Starts a task.
        observed: Whether to note when records arrive.
    """

    def __init__(self, store: StreamStore, spawn: Spawn, *, observed: bool = False) -> None:
        self._store = store
        self._spawn = spawn
        self._observed = observed
        self._windows: dict[str, Window] = {}
        self._producers: dict[str, Callable[[Wake], None]] = {}
        self._follower: Follower | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened = False

    async def open(self) -> None:
        """Begin to hear."""
        self._follower = await self._store.follow(self.hear)
        self._task = self._spawn(self._look_again())
        self._opened = True

    def enter(self, run_id: str) -> Window:
        """
        Begin to view a run: from now on its window misses nothing without notice.

        Raises:
            DrainingError: The tail is closed.
            RuntimeError: It was never opened.
        """
        follower = self._open_follower()
        window = self._windows.setdefault(run_id, Window())
        window.viewers += 1
        follower.watch(run_id)
        return window

    def leave(self, run_id: str, window: Window) -> None:
        """View a run no more; the last one out forgets its window."""
        window.viewers -= 1
        if not window.viewers and self._windows.get(run_id) is window:
            del self._windows[run_id]
            self._unwatch(run_id)

    def produce(self, run_id: str, on_wake: Callable[[Wake], None]) -> None:
        """Hear of a run that is produced here."""
        self._producers[run_id] = on_wake
        self._open_follower().watch(run_id, appends=run_id in self._windows)

    def produced(self, run_id: str) -> None:
        """Hear no more of it, but for its viewers; idempotent."""
        if self._producers.pop(run_id, None) is not None:
            self._unwatch(run_id)

    def hear(self, wake: Wake) -> None:
        """Take word that something happened to a run."""
        if (on_wake := self._producers.get(wake.run_id)) is not None:
            on_wake(wake)
        if (window := self._windows.get(wake.run_id)) is None:
            return
        if wake.page is not None:
            window.heard = True
            window.add(wake.page, perf_counter() if self._observed else 0.0)
        elif wake.cancel is None and wake.taken is None:
            window.heard = True
            self._look(wake.run_id, window)

    def lacks(self, run_id: str, window: Window) -> None:
        """Take word that a running log does not reach to where a viewer is: its producer may send that again."""
        if not window.lacks:
            window.lacks = True
            self._spawn(self._bear(run_id, window))

    async def aclose(self) -> None:
        """Hear no more, and let every viewer know; idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        follower, self._follower = self._follower, None
        for window in self._windows.values():
            window.close()
        if follower is not None:
            await follower.aclose()

    def require_open(self) -> None:
        """Raise what `enter` would."""
        self._open_follower()

    def _open_follower(self) -> Follower:
        if not self._opened:
            raise RuntimeError("enter the relay first: async with Relay(…) as relay")
        if self._follower is None:
            raise DrainingError
        return self._follower

    def _unwatch(self, run_id: str) -> None:
        if self._follower is None or run_id in self._windows:
            return
        if run_id in self._producers:
            self._follower.watch(run_id, appends=False)
        else:
            self._follower.unwatch(run_id)

    def _look(self, run_id: str, window: Window) -> None:
        """Read a run once for all who view it here; asked meanwhile, once more."""
        window.looking += 1
        if window.looking == 1:
            self._spawn(self._read(run_id, window))

    async def _read(self, run_id: str, window: Window) -> None:
        try:
            asked = 0
            while asked != window.looking:
                asked = window.looking
                await self._read_once(run_id, window)
        finally:
            window.looking = 0

    async def _read_once(self, run_id: str, window: Window) -> None:
        try:
            if (info := window.info) is None:
                window.note(await self._store.info(run_id))
                window.notify()
            elif info.outcome is None:
                await self._read_on(run_id, window, Cursor(info.epoch, info.last_offset))
        except StoreUnavailableError:
            window.heard = False  # the next look may tell
        except CursorMismatchError:
            self.lacks(run_id, window)
        except SSERelayError:
            window.doubt()

    async def _read_on(self, run_id: str, window: Window, after: Cursor) -> None:
        page = await self._store.read(run_id, after, limit=_GLANCE, max_bytes=_GLANCE_BYTES)
        window.add(page, perf_counter() if self._observed else 0.0)
        while page.frames and page.last < page.info.last_offset:
            page = await self._store.read(run_id, Cursor(page.epoch, page.last))
            window.add(page, perf_counter() if self._observed else 0.0)

    async def _bear(self, run_id: str, window: Window) -> None:
        """Wait until the log has again what was seen of it; else every viewer has to look for itself."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        try:
            while window.viewers and loop.time() < until:
                if await self._is_back(run_id, window):
                    return
                await asyncio.sleep(_PAUSE)
            window.doubt()
        except SSERelayError:
            window.doubt()
        finally:
            window.lacks = False

    async def _is_back(self, run_id: str, window: Window) -> bool:
        """
        Tell whether the log has again what was seen of it.

        Raises:
            SSERelayError: It never will.
        """
        if (seen := window.info) is None:
            return True
        place = Cursor(seen.epoch, seen.last_offset)
        try:
            try:
                await self._read_on(run_id, window, place)
            except CursorMismatchError:
                info = await self._store.info(run_id)
                if info.epoch != seen.epoch or info.outcome is not None:
                    raise
                return False
        except StoreUnavailableError:
            return False
        return True

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            silent = [(run_id, window) for run_id, window in self._windows.items() if not window.heard]
            for window in self._windows.values():
                window.heard = False
            for at in range(0, len(silent), _AT_ONCE):
                for run_id, window in silent[at : at + _AT_ONCE]:
                    self._look(run_id, window)
                await asyncio.sleep(0)
