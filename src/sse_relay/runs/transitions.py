"""Tell the application of each start and end of a run, off the path of its tokens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any

from sse_relay.observability.protocol import Observer
from sse_relay.outcome import Outcome
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
        observer: Hears at once of each end; None: nobody does.
    """

    def __init__(
        self,
        callback: OnTransition | None,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        observer: Observer | None = None,
    ) -> None:
        self._callback = callback
        self._spawn = spawn
        self._observer = observer
        self._telling: dict[str, asyncio.Task[None]] = {}

    def tell(self, info: RunInfo) -> None:
        """Tell of one transition."""
        if info.outcome is not None:
            _log(info.id, info.outcome)
            if self._observer is not None:
                self._observer.run_ended(info.id, info.outcome, info.updated_at - info.created_at)
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
            fields = {"run_id": info.id, "status": info.status}
            _logger.exception("on_transition failed for run %s (%s)", info.id, info.status, extra=fields)

    def _told(self, run_id: str, telling: "asyncio.Task[None]") -> None:
        if self._telling.get(run_id) is telling:
            del self._telling[run_id]


def _log(run_id: str, outcome: Outcome) -> None:
    """Say how a run ended: what its source failed with was logged where nobody knew of the run, by the error's id."""
    level = logging.DEBUG if outcome.error is None else logging.INFO
    if _logger.isEnabledFor(level):
        error = outcome.error
        fields = {
            "run_id": run_id,
            "status": outcome.status,
            "code": error and error.code,
            "error_id": error and error.error_id,
        }
        _logger.log(level, "run %s ended: %s", run_id, outcome.status, extra=fields)
