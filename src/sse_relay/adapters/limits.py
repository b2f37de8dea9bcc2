"""What one viewer, and one principal, may take: how many streams, for how long, and for as long as they are allowed."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable

from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.combinators.stage import positive
from sse_relay.outcome import ErrorInfo
from sse_relay.runs.subscription import Subscription

__all__ = ["EXPIRED", "REVOKED", "UNCONFIRMED", "LimitedResponse", "Limits", "Principal"]

EXPIRED = ErrorInfo("viewing_expired", "This stream was open for as long as it may be. Open it again.", None, 503)
REVOKED = ErrorInfo("access_revoked", "You may not read this stream any more.", None, 403)
UNCONFIRMED = ErrorInfo("access_unconfirmed", "Whether you may read this stream could not be found out.", None, 503)

Principal = Callable[[Scope], Hashable]

_logger = logging.getLogger("sse_relay")


class Limits:
    """
    The limits of one application's streams, and how many are open.

    Args:
        principal: Whose a request is.
        max_viewers: The most streams that one principal may have open, in this process; None: any number.
        max_age: After how many seconds a viewing ends, for its client to come back; None: never.
        reauthorize: After how many seconds it is asked again whether a viewer may see the run; None: never. Where the
            answer is no, an exception, or takes as long again, the viewing ends.

    Raises:
        TypeError: A number is none.
        ValueError: A number is not positive, or there is a most without a principal.
    """

    __slots__ = ("_max_viewers", "_open", "_principal", "are_none", "max_age", "reauthorize")

    def __init__(
        self, principal: Principal | None, max_viewers: int | None, max_age: float | None, reauthorize: float | None
    ) -> None:
        if max_viewers is not None:
            if not isinstance(max_viewers, int) or isinstance(max_viewers, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"max_viewers must be an int, not {max_viewers!r:.80}")
            if max_viewers < 1 or principal is None:
                raise ValueError("max_viewers must be 1 or more, with a principal, which tells whose a request is")
        self.max_age: float | None = None if max_age is None else positive("max_age", max_age)
        self.reauthorize: float | None = None if reauthorize is None else positive("reauthorize", reauthorize)
        self.are_none: bool = max_viewers is None and max_age is None and reauthorize is None
        self._max_viewers = max_viewers
        self._principal = principal
        self._open: Counter[Hashable] = Counter()

    def take(self, scope: Scope) -> Callable[[], None] | None:
        """Take one of the principal's places, and return how to give it back; None: all are taken."""
        if self._max_viewers is None or self._principal is None:
            return _nothing
        principal = self._principal(scope)
        if self._open[principal] >= self._max_viewers:
            return None
        self._open[principal] += 1

        def give_back() -> None:
            self._open[principal] -= 1
            if not self._open[principal]:
                del self._open[principal]  # who has left takes no memory

        return give_back


class LimitedResponse:
    """
    Answer one request with the stream of a run, within limits.

    Args:
        response: The stream.
        events: What it shows.
        limits: The limits.
        allowed: Asks again whether the viewer may see it.
        give_back: Called once the stream has ended.
    """

    __slots__ = ("_allowed", "_events", "_give_back", "_limits", "_response")

    def __init__(
        self,
        response: EventStreamResponse,
        events: Subscription,
        limits: Limits,
        allowed: Callable[[], Awaitable[bool]],
        give_back: Callable[[], None],
    ) -> None:
        self._response = response
        self._events = events
        self._limits = limits
        self._allowed = allowed
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        limits = self._limits
        try:
            if limits.max_age is None and limits.reauthorize is None:
                await self._response(scope, receive, send)
                return
            watching = asyncio.Task(self._watch(limits.max_age, limits.reauthorize))
            try:
                await self._response(scope, receive, send)
            finally:
                watching.cancel()
                await asyncio.sleep(0)  # its last step: no task outlives its response
        finally:
            self._give_back()

    async def _watch(self, max_age: float | None, every: float | None) -> None:
        """End the viewing when its time is over; what is being written is written."""
        why: ErrorInfo | None = None
        try:
            async with asyncio.timeout(max_age):
                while why is None:
                    why = await self._refusal(every)
        except TimeoutError:
            why = EXPIRED
        finally:
            if why is not None:
                self._response.explain(why)
            await self._events.aclose()

    async def _refusal(self, every: float | None) -> ErrorInfo | None:
        """Ask again whether the viewer may stay, after a while; None: it may."""
        if every is None:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(every or 0)
        try:
            async with asyncio.timeout(every):
                return None if await self._allowed() else REVOKED
        except Exception:
            run_id = self._events.run_id
            _logger.exception(
                "authorize failed for a viewer of run %s, whose viewing ends", run_id, extra={"run_id": run_id}
            )
            return UNCONFIRMED


def _nothing() -> None:
    """Give back no place."""
