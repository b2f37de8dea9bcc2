"""
Drive one source into one log until its outcome.

One append is in flight at a time, and what comes meanwhile is the next batch: the first event goes out at once, and no
timer holds a token back. The last batch and the seal are one append.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Coroutine
from functools import lru_cache
from typing import Any

from sse_relay.combinators.cancellation import CancelToken, cancellable
from sse_relay.combinators.keepalive import idle_timeout
from sse_relay.combinators.pump import Pump, attach
from sse_relay.combinators.stage import Stage
from sse_relay.combinators.terminal import guard_terminal
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, RenderContext, TerminalPart
from sse_relay.observability.protocol import RunObserver
from sse_relay.outcome import ErrorCatalog, ErrorInfo, Outcome
from sse_relay.runs.lease import Lease
from sse_relay.runs.outbox import Pool
from sse_relay.runs.writer import UNAVAILABLE, Writer
from sse_relay.stores.protocol import Grant, Seal, StreamStore
from sse_relay.wire.encoder import frame
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Production", "seal_of"]

_logger = logging.getLogger("sse_relay")
_NATIVE = Native()
_EXPIRED = Outcome("timed_out", "timeout", ErrorInfo("timeout", "The run took too long.", None, 504))


@lru_cache(maxsize=32)  # the outcomes without an error id of their own are few
def seal_of(outcome: Outcome) -> Seal:
    """Make the record that closes a log."""
    (end,) = _NATIVE.renderer(RenderContext()).end(outcome)
    return Seal(outcome, frame(end))


class Production:
    """
    One run's producer: reads the source, appends, seals, closes the source. It is the holder of its lease.

    Args:
        store: Where the log is.
        source: What to read.
        token: Stops the run.
        grant: The right to write the log.
        sent_at: When that was asked for, by the loop's clock.
        spawn: Starts a task that somebody waits for.
        dialect: What the source speaks; its terminal becomes the outcome and is not stored.
        errors: What clients learn of exceptions.
        timeout: The longest that the run may take, in seconds.
        idle: The longest silence of the source, in seconds.
        observer: Hears of appends, and of what stops the source.
        pool: What waits to be written, of all runs.

    Attributes:
        lease: That right, as it stands.
    """

    def __init__(
        self,
        store: StreamStore,
        source: AsyncIterable[Any],
        token: CancelToken,
        *,
        grant: Grant,
        sent_at: float,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        dialect: Dialect,
        errors: ErrorCatalog,
        timeout: float | None = None,
        idle: float | None = None,
        observer: RunObserver | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.lease: Lease = Lease(grant, sent_at, self)
        self._writer = Writer(store, self.lease, spawn, self._stop_as, observer=observer, pool=pool)
        self._observer = observer
        self._token = token
        self._timeout = timeout
        self._stage, self._pump = _staged(source, token, dialect, errors, idle)
        self._stopped_as: Outcome | None = None

    @property
    def unsealed(self) -> Outcome | None:
        """How the run ended, if the log itself could not take it."""
        return self._writer.unsealed

    def stop(self, reason: str, outcome: Outcome | None = None) -> None:
        """Stop the source; the run then ends with `outcome`, or as cancelled for that reason. The first one stays."""
        if self._token.cancelled:
            return
        self._stopped_as = outcome
        if self._observer is not None:
            self._observer.stopping(reason)
        try:
            self._token.cancel(reason)
        except Exception:  # of a watcher of the application's own: it must not end whoever calls
            _logger.exception("a watcher of a cancel token failed", extra={"run_id": self.lease.grant.run_id})

    def lapsed(self) -> None:
        """Produce no more: the right could not be renewed in time. What was read by then may still be stored."""
        self._stop_as(UNAVAILABLE)

    def lost(self) -> None:
        """Produce no more, and store nothing: the right was taken."""
        self.stop("lease_lost")

    def behind(self, last_offset: int) -> None:
        """Send again what is behind this offset: the store has lost it."""
        self._writer.behind(last_offset)

    async def run(self) -> Outcome | None:
        """
        Produce until the log is sealed or cannot be.

        **Closing**: closes the source, after the seal where it has ended by itself. **Cancellation** closes it, too,
        and seals nothing: the lease will pass.

        Returns:
            The outcome that this call sealed; None: somebody else has sealed, or will.
        """
        timer = None
        if self._timeout is not None:
            timer = asyncio.get_running_loop().call_later(self._timeout, self.stop, "timeout", _EXPIRED)
        try:
            return await self._produce()
        finally:
            if timer is not None:
                timer.cancel()
            self._writer.close()
            await self.aclose()

    async def aclose(self) -> None:
        """Close the source, read or not; idempotent."""
        await self._stage.aclose()

    async def _produce(self) -> Outcome | None:
        batch: list[bytes] = []
        pump, write = self._pump, self._writer.write
        async for event in self._stage:
            if event.outcome is not None:
                return await self._seal(batch, self._outcome(event.outcome))
            if event.data is not None and not isinstance(event, TerminalPart):
                batch.append(frame(event))
            if batch and not pump.ready:
                await write(batch)
                batch.clear()
        raise AssertionError("a guarded stream ended without its terminal")

    def _stop_as(self, outcome: Outcome) -> None:
        self.stop(outcome.reason or outcome.status, outcome)

    def _outcome(self, outcome: Outcome) -> Outcome:
        """Say why the run was stopped, if that is how it ended."""
        stopped = outcome.status == "cancelled" and outcome.reason == self._token.reason
        return self._stopped_as if stopped and self._stopped_as is not None else outcome

    async def _seal(self, batch: list[bytes], outcome: Outcome) -> Outcome | None:
        outcome = self._writer.cut or outcome
        if await self._writer.seal(batch, seal_of(outcome)):
            return outcome
        cut = self._writer.cut
        return cut if cut is not None and await self._writer.seal([], seal_of(cut)) else None


def _staged(
    source: AsyncIterable[Any], token: CancelToken, dialect: Dialect, errors: ErrorCatalog, idle: float | None
) -> tuple[Stage[ServerSentEvent], Pump]:
    """Put around a source what makes it certain to end; all of it shares one pump."""
    stage: AsyncIterable[Any] = cancellable(source, token)
    if idle is not None:
        stage = idle_timeout(stage, seconds=idle)
    guarded = guard_terminal(stage, dialect=dialect, errors=errors)
    if type(dialect) is not Native:
        guarded = guard_terminal(guarded, errors=errors)  # the names that logs reserve are refused in any dialect
    return attach(guarded)
