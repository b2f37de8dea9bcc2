"""
Hold the right to produce, renew it, and know when it is lost.

One round trip renews all runs of a process, on a deadline of its own: a store that answers slowly must not cost every
run its right unnoticed. Who could not renew in time gives the right up before the store would give it to somebody else:
the local deadline counts from when the renewal was *sent*, and ends a margin earlier than the lease.

A right that was **given up** is not one that was **lost**. Whoever gave it up produces nothing more; but what it had
produced by then may still be stored, for as long as the store has given the run to nobody else: the fence decides.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.protocol import Answer, Appended, Grant, StreamStore

__all__ = ["Holder", "Lease", "LeaseKeeper"]

_logger = logging.getLogger("sse_relay")
_RENEWALS = 3  # in the time of one lease
_RETRIES = 10  # in the same time, when a renewal has failed
_MARGIN = 0.1  # the part of a lease that is left when its holder gives it up


class Holder(Protocol):
    """Who produces by a lease."""

    def stop(self, reason: str) -> None:
        """Produce no more: somebody asked for it."""
        ...

    def lapsed(self) -> None:
        """Produce no more: the right could not be renewed in time."""
        ...

    def lost(self) -> None:
        """Store nothing more, either: the right was taken."""
        ...

    def behind(self, last_offset: int) -> None:
        """Send again what is behind this offset: the store has lost it."""
        ...


class Lease:
    """
    One held right; its holder is told once when it lapses or is lost, and of each request to stop.

    Attributes:
        grant: What the store gave.
        expires: Until when it holds by the loop's clock, if nothing more is heard.
        acknowledged: The last offset that the store has acknowledged, as far as it has not taken that back.
        lapsed: Whether it was given up, because it could not be renewed in time.
        lost: Whether it was taken: nothing is stored by it any more.
    """

    __slots__ = ("_holder", "_holds", "acknowledged", "expires", "grant", "lapsed", "lost")

    def __init__(self, grant: Grant, sent_at: float, holder: Holder) -> None:
        self.grant: Grant = grant
        self.acknowledged: int = 0
        self.lapsed: bool = False
        self.lost: bool = False
        self._holder = holder
        self._holds = grant.lease * (1 - _MARGIN)
        self.expires: float = sent_at + self._holds

    def hear(self, answered: Appended, sent_at: float) -> None:
        """Take the store's answer to an append or a renewal that was sent at that time of the loop."""
        answer = answered.answer
        if answer is Answer.OK or answer is Answer.DUPLICATE:
            if (expires := sent_at + self._holds) > self.expires:
                self.expires = expires
        elif answer is not Answer.GAP and answer is not Answer.FULL:
            self.lose()
            return
        if answered.cancel is not None:
            self._holder.stop(answered.cancel)

    def renewed(self, answered: Appended, sent_at: float, acknowledged: int) -> None:
        """Take the answer to a renewal, and what had been acknowledged when it was sent: a store may lose its tail."""
        self.hear(answered, sent_at)
        if answered.answer is Answer.OK and answered.last_offset < acknowledged:
            self._holder.behind(answered.last_offset)

    def lapse(self) -> None:
        """Give the right up."""
        if not (self.lapsed or self.lost):
            self.lapsed = True
            self._holder.lapsed()

    def lose(self) -> None:
        """Have it no more."""
        if not self.lost:
            self.lost = True
            self._holder.lost()


class LeaseKeeper:
    """
    Renew the leases of one process, from the first one held to the last one let go.

    A lease that was given up is renewed no more: should its run be nobody else's yet, what is stored of it will do so.

    Args:
        store: Who gives them.
        lease: How long each one is, in seconds.
        spawn: Starts a task.
    """

    def __init__(
        self,
        store: StreamStore,
        lease: float,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
    ) -> None:
        self._store = store
        self._pause = lease / _RENEWALS
        self._retry = lease / _RETRIES
        self._spawn = spawn
        self._held: dict[str, Lease] = {}
        self._task: asyncio.Task[None] | None = None

    def hold(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        self._held[lease.grant.run_id] = lease
        if self._task is None or self._task.done():
            self._task = self._spawn(self._keep())

    def let_go(self, lease: Lease) -> None:
        """Renew a lease no more; idempotent."""
        if self._held.get(lease.grant.run_id) is lease:
            del self._held[lease.grant.run_id]
        if not self._held and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._pause
        while True:
            await asyncio.sleep(pause)
            sent_at = loop.time()
            held = [(lease, lease.acknowledged) for lease in self._held.values()]
            answers = await self._renew([lease for lease, _ in held], sent_at)
            pause = self._pause
            for lease, acknowledged in held:
                if (answered := answers.get(lease.grant.run_id)) is not None:
                    lease.renewed(answered, sent_at, acknowledged)
                else:
                    pause = self._retry
                    if loop.time() + self._retry > lease.expires:  # the next try would come too late
                        lease.lapse()
                        self.let_go(lease)

    async def _renew(self, held: list[Lease], sent_at: float) -> Mapping[str, Appended]:
        """Ask once, for no longer than any of the leases holds; after a freeze all have passed, and it is asked yet."""
        first = min(lease.expires for lease in held)
        try:
            async with asyncio.timeout_at(max(min(first, sent_at + self._pause), sent_at + self._retry)):
                return await self._store.renew([lease.grant for lease in held])
        except (StoreUnavailableError, TimeoutError) as error:
            _logger.warning("%d leases could not be renewed (%r); trying again", len(held), error)
        except Exception:
            _logger.exception("%d leases could not be renewed; trying again", len(held))
        return {}
