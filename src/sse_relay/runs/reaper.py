"""End runs over their producers' heads: who is dead cannot seal, and who does not obey must not hold anyone up."""

import asyncio
import logging
from collections.abc import Callable

from sse_relay.exceptions import SSERelayError
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Page, RunInfo, Seal, StreamStore

__all__ = ["LOST", "Reaper"]

_logger = logging.getLogger("sse_relay")
_AT_ONCE = 100  # ids that the store tells in one answer
_PAUSE = 1.0  # the longest, between two sweeps: whoever views a run learns of its end within two seconds

LOST = Outcome("lost", "lease_expired", ErrorInfo("producer_lost", "The producer of the stream has died."))
"""How a run ends whose producer shows no sign of life."""


class Reaper:
    """
    Seal what nobody else will.

    Args:
        store: Where runs are.
        lease: How long a dead producer holds its run, in seconds.
        on_end: Told of each run that was sealed here, and by nobody else, with its last record.
    """

    def __init__(self, store: StreamStore, lease: float, on_end: Callable[[RunInfo, Page], None]) -> None:
        self._store = store
        self._pause = min(lease / 2, _PAUSE)
        self._on_end = on_end

    async def look(self, run_id: str) -> RunInfo:
        """Tell a run's state; a run whose producer is dead is `lost` from then on."""
        return await self.end(run_id, LOST, lapsed_only=True)

    async def end(self, run_id: str, outcome: Outcome, *, lapsed_only: bool = False) -> RunInfo:
        """Seal a run, unless it has ended; with `lapsed_only`, unless its producer is alive."""
        seal = seal_of(outcome)
        ended = await self._store.end(run_id, seal, lapsed_only=lapsed_only)
        if ended.sealed:
            self._on_end(ended.info, _last_page(ended.info, seal))
        return ended.info

    async def sweep(self) -> None:
        """Reap whatever lapses, for ever."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                while len(await self._reap()) >= _AT_ONCE:
                    pass
            except SSERelayError as error:
                _logger.warning("the sweep for dead producers failed (%r); trying again", error)
            except Exception:
                _logger.exception("the sweep for dead producers failed; trying again")

    async def _reap(self) -> list[str]:
        lapsed = list(await self._store.lapsed(_AT_ONCE))
        for run_id in lapsed:
            await self.look(run_id)
        return lapsed


def _last_page(info: RunInfo, seal: Seal) -> Page:
    return Page(info, info.epoch, info.last_offset, [seal.frame], info.last_offset - 1)
