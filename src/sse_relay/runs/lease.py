"""
Hold the right to produce, renew it, and know when it is lost.

One round trip renews all runs of a process, on a deadline of its own: a store that answers slowly must not cost every
run its right unnoticed. Who could not renew in time gives the right up before the store would give it to somebody else:
the local deadline counts from when the renewal was *sent*, and ends a margin earlier than the lease.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.protocol import Answer, Appended, Grant, StreamStore

__all__ = ["Lease", "LeaseKeeper"]

_logger = logging.getLogger("sse_relay")
_RENEWALS = 3  # in the time of one lease
_RETRIES = 10  # in the same time, when a renewal has failed
_MARGIN = 0.1  # the part of a lease that is left when its holder gives it up


class Lease:
    """
    One held right; whoever holds it is told once when it is lost, and of each request to stop.

    Attributes:
        grant: What the store gave.
        expires: Until when it holds by the loop's clock, if nothing more is heard.
        lost: Whether it was given up, or taken.
    """

    __slots__ = ("_on_cancel", "_on_lost", "expires", "grant", "lost")

    def __init__(
        self, grant: Grant, sent_at: float, on_lost: Callable[[], None], on_cancel: Callable[[str], None]
    ) -> None:
        self.grant: Grant = grant
        self.lost: bool = False
        self.expires: float = 0.0
        self._on_lost = on_lost
        self._on_cancel = on_cancel
        self._confirm(sent_at)

    def hear(self, answered: Appended, sent_at: float) -> None:
        """Take the store's answer to an append or a renewal that was sent at that time of the loop."""
        if answered.answer in {Answer.FENCED, Answer.SEALED, Answer.MISSING}:
            self.lose()
            return
        self._confirm(sent_at)
        if answered.cancel is not None:
            self._on_cancel(answered.cancel)

    def lose(self) -> None:
        """Give the right up."""
        if not self.lost:
            self.lost = True
            self._on_lost()

    def _confirm(self, sent_at: float) -> None:
        self.expires = max(self.expires, sent_at + self.grant.lease * (1 - _MARGIN))


class LeaseKeeper:
    """
    Renew the leases of one process, from the first one held to the last one let go.

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
            held = list(self._held.values())
            answers = await self._renew(held, sent_at)
            pause = self._pause
            for lease in held:
                if (answered := answers.get(lease.grant.run_id)) is not None:
                    lease.hear(answered, sent_at)
                else:
                    pause = self._retry
                    if loop.time() + self._retry > lease.expires:
                        lease.lose()  # the next try would come too late

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
