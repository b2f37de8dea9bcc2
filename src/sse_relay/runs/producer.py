"""
Drive one source into one log until its outcome.

One append is in flight at a time, and what comes meanwhile is the next batch: the first event goes out at once, no
timer holds a token back, and a batch of unknown fate is sent again unchanged. The last batch and the seal are one
append.
"""

import asyncio
import logging
from collections.abc import AsyncIterable
from functools import lru_cache
from typing import Any

from sse_relay.combinators.cancellation import CancelToken, cancellable
from sse_relay.combinators.keepalive import idle_timeout
from sse_relay.combinators.pump import Pump, attach
from sse_relay.combinators.stage import Stage
from sse_relay.combinators.terminal import guard_terminal
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, RenderContext, TerminalPart
from sse_relay.exceptions import StoreUnavailableError
from sse_relay.outcome import ErrorCatalog, ErrorInfo, Outcome
from sse_relay.runs.deadline import Deadline
from sse_relay.runs.lease import Lease
from sse_relay.stores.protocol import Answer, Seal, StreamStore
from sse_relay.wire.encoder import frame
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Production", "seal_of"]

_logger = logging.getLogger("sse_relay")
_NATIVE = Native()
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 1.0  # between two tries of an append
_TRIES = 3  # of an append that is not answered, in the time of one lease

_FULL = Outcome("failed", "log_full", ErrorInfo("log_full", "The stream is too long to be kept."))
_EXPIRED = Outcome("timed_out", "timeout", ErrorInfo("timeout", "The run took too long.", None, 504))
_ROLLED_BACK = Outcome("lost", "rolled_back", ErrorInfo("rolled_back", "Stored events were lost.", None, 500))


@lru_cache(maxsize=32)  # the outcomes without an error id of their own are few
def seal_of(outcome: Outcome) -> Seal:
    """Make the record that closes a log."""
    (end,) = _NATIVE.renderer(RenderContext()).end(outcome)
    return Seal(outcome, frame(end))


class Production:
    """
    One run's producer: reads the source, appends, seals, closes the source.

    Args:
        store: Where the log is.
        source: What to read.
        token: Stops the run.
        dialect: What the source speaks; its terminal becomes the outcome and is not stored.
        errors: What clients learn of exceptions.
        timeout: The longest that the run may take, in seconds.
        idle: The longest silence of the source, in seconds.

    Attributes:
        unsealed: How the run ended, if the log itself could not take it.
    """

    def __init__(
        self,
        store: StreamStore,
        source: AsyncIterable[Any],
        token: CancelToken,
        *,
        dialect: Dialect,
        errors: ErrorCatalog,
        timeout: float | None = None,
        idle: float | None = None,
    ) -> None:
        self.unsealed: Outcome | None = None
        self._store = store
        self._token = token
        self._timeout = timeout
        self._stage, self._pump = _staged(source, token, dialect, errors, idle)
        self._deadline: Deadline
        self._offset = 1
        self._stopped_as: Outcome | None = None

    def stop(self, reason: str, outcome: Outcome | None = None) -> None:
        """Stop the source; the run then ends with `outcome`, or as cancelled for that reason. The first one stays."""
        if self._token.cancelled:
            return
        self._stopped_as = outcome
        try:
            self._token.cancel(reason)
        except Exception:  # of a watcher of the application's own: it must not end whoever calls
            _logger.exception("a watcher of a cancel token failed")

    async def run(self, lease: Lease) -> Outcome | None:
        """
        Produce until the log is sealed or the right to produce is lost.

        **Closing**: closes the source, after the seal where it has ended by itself. **Cancellation** closes it, too,
        and seals nothing: the lease will pass.

        Returns:
            The outcome that this call sealed; None: somebody else has sealed, or will.
        """
        timer = None
        self._deadline = Deadline(lease.grant.lease / _TRIES)
        if self._timeout is not None:
            timer = asyncio.get_running_loop().call_later(self._timeout, self.stop, "timeout", _EXPIRED)
        try:
            return await self._produce(lease)
        finally:
            if timer is not None:
                timer.cancel()
            self._deadline.close()
            await self.aclose()

    async def aclose(self) -> None:
        """Close the source, read or not; idempotent."""
        await self._stage.aclose()

    async def _produce(self, lease: Lease) -> Outcome | None:
        batch: list[bytes] = []
        async for event in self._stage:
            if event.outcome is not None:
                return await self._seal(lease, batch, self._outcome(event.outcome))
            if event.data is not None and not isinstance(event, TerminalPart):
                batch.append(frame(event))
            if batch and not self._pump.ready:
                if await self._append(lease, batch) is Answer.FULL:
                    self.stop("log_full", _FULL)
                batch.clear()
        raise AssertionError("a guarded stream ended without its terminal")

    def _outcome(self, outcome: Outcome) -> Outcome:
        """Say why the run was stopped, if that is how it ended."""
        stopped = outcome.status == "cancelled" and outcome.reason == self._token.reason
        return self._stopped_as if stopped and self._stopped_as is not None else outcome

    async def _seal(self, lease: Lease, batch: list[bytes], outcome: Outcome) -> Outcome | None:
        answer = await self._append(lease, batch, seal_of(outcome))
        if answer is Answer.FULL:
            outcome = _FULL
            answer = await self._append(lease, [], seal_of(outcome))
        return outcome if answer in {Answer.OK, Answer.DUPLICATE} else None

    async def _append(self, lease: Lease, frames: list[bytes], seal: Seal | None = None) -> Answer:
        """Send one batch until its fate is known or the right to produce is lost."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while not lease.lost:
            sent_at = loop.time()
            try:
                with self._deadline:
                    answered = await self._store.append(lease.grant, self._offset, frames, seal)
            except (StoreUnavailableError, TimeoutError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE)
                continue
            if answered.answer in {Answer.OK, Answer.DUPLICATE}:
                self._offset += len(frames)
            elif answered.answer is Answer.GAP:
                self.unsealed = _ROLLED_BACK
                lease.lose()
            if seal is None or answered.answer is Answer.FENCED:
                lease.hear(answered, sent_at)
            return answered.answer
        return Answer.FENCED


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
