"""Tell the application of each start and end of a run, off the path of its tokens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any

from sse_relay.stores.protocol import RunInfo

__all__ = ["OnTransition", "Transitions"]

_logger = logging.getLogger("sse_relay")
_DEADLINE = 5.0

OnTransition = Callable[[RunInfo], Awaitable[None] | None]


class Transitions:
    """
    Call one function with the run's state, the start of a run before its end; nobody waits for it.

    What it raises is logged, and it is cancelled after 5 seconds: it never fails a run, nor holds it up.

    Args:
        callback: The function; None: nobody is told.
        spawn: Starts a task.
    """

    def __init__(
        self, callback: OnTransition | None, spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
    ) -> None:
        self._callback = callback
        self._spawn = spawn
        self._telling: dict[str, asyncio.Task[None]] = {}

    def tell(self, info: RunInfo) -> None:
        """Tell of one transition."""
        if self._callback is None:
            return
        telling = self._spawn(self._tell(self._callback, info, self._telling.get(info.id)))
        self._telling[info.id] = telling
        telling.add_done_callback(lambda _: self._told(info.id, telling))

    def pending(self) -> set["asyncio.Task[None]"]:
        """The calls that are not over."""
        return set(self._telling.values())

    async def _tell(self, callback: OnTransition, info: RunInfo, before: "asyncio.Task[None] | None") -> None:
        try:
            if before is not None:
                await asyncio.wait({before})
            async with asyncio.timeout(_DEADLINE):
                telling = callback(info)
                if isawaitable(telling):
                    await telling
        except Exception:
            _logger.exception("on_transition failed for run %s (%s)", info.id, info.status)

    def _told(self, run_id: str, telling: "asyncio.Task[None]") -> None:
        if self._telling.get(run_id) is telling:
            del self._telling[run_id]
