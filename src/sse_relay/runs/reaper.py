"""End runs over their producers' heads: who is dead cannot seal, and who does not obey must not hold anyone up."""

import asyncio
import logging
from collections.abc import Callable
from math import inf

from sse_relay.exceptions import SSERelayError, StoreUnavailableError
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Page, RunInfo, Seal, StreamStore

__all__ = ["LOST", "Reaper"]

_logger = logging.getLogger("sse_relay")
_AT_ONCE = 100  # ids that the store tells in one answer
_PAUSE = 1.0  # the longest, between two sweeps: whoever views a run learns of its end within two seconds
_DEADLINE = 3.0  # seconds for the store to tell what has lapsed
_OUTAGE = 2 / 3  # of a lease: in a shorter one no lease has passed that was renewed before
_SPARED = 2.0  # seconds after an outage of the store: its producers, which try again each second, come first

LOST = Outcome("lost", "lease_expired", ErrorInfo("producer_lost", "The producer of the stream has died."))
"""How a run ends whose producer shows no sign of life."""


class Reaper:
    """
    Seal what nobody else will.

    After an outage that was longer than a lease all runs are lapsed, and their producers hold what was said meanwhile.
    They get a moment to store it.

    Args:
        store: Where runs are.
        lease: How long a dead producer holds its run, in seconds.
        on_end: Told of each run that was sealed here, and by nobody else, with its last record.
    """

    def __init__(self, store: StreamStore, lease: float, on_end: Callable[[RunInfo, Page], None]) -> None:
        self._store = store
        self._pause = min(lease / 2, _PAUSE)
        self._on_end = on_end
        self._outage = lease * _OUTAGE
        self._heard = inf  # when the store last answered, by the loop's clock
        self._spares_until = -inf
        self._failing = False

    async def look(self, run_id: str) -> RunInfo:
        """Tell a run's state; a run whose producer is dead is `lost` from then on."""
        if asyncio.get_running_loop().time() < self._spares_until:
            info = await self._store.info(run_id)
            self._answered()
            return info
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
            await asyncio.sleep(self._pause / 10 if self._failing else self._pause)
            try:
                while len(await self._reap()) >= _AT_ONCE:
                    pass
            except (SSERelayError, TimeoutError) as error:
                _logger.warning("the sweep for dead producers failed (%r); trying again", error)
            except Exception:
                _logger.exception("the sweep for dead producers failed; trying again")

    def _answered(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._spares_until == inf:
            self._spares_until = now + _SPARED if now - self._heard > self._outage else -inf
        self._heard = now

    async def _reap(self) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DEADLINE):
                lapsed = list(await self._store.lapsed(_AT_ONCE))
        except (StoreUnavailableError, TimeoutError):
            if not self._failing:  # once an outage: the store may answer others while it does not answer this
                self._failing, self._spares_until = True, inf
            raise
        self._failing = False
        self._answered()
        if loop.time() < self._spares_until:
            return []
        for run_id in lapsed:
            await self.look(run_id)
        return lapsed


def _last_page(info: RunInfo, seal: Seal) -> Page:
    return Page(info, info.epoch, info.last_offset, [seal.frame], info.last_offset - 1)
