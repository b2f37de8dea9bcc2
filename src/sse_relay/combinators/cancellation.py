"""Stop a stream from anywhere, also while its source is silent."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from sse_relay.combinators.pump import GRACE, attach
from sse_relay.combinators.stage import Stage, positive

__all__ = ["CancelToken", "cancellable"]

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")

Answer = bool | str | None
Poll = Callable[[], Answer | Awaitable[Answer]]


class CancelToken:
    """
    A request to stop, which any number of streams may watch. It is made once and never taken back.

    Args:
        poll: A status function, sync or async, asked while somebody watches. A true answer cancels the token, a string
            also gives the reason. What it raises is logged and otherwise ignored: it never fails a stream.
        poll_interval: The pause between two questions, in seconds.

    Raises:
        ValueError: `poll_interval` is not positive.

    Example:
        >>> token = CancelToken()
        >>> token.cancel("user")
        >>> token.cancelled, token.reason
        (True, 'user')
    """

    __slots__ = ("__weakref__", "_lock", "_poll", "_poll_interval", "_poller", "_reason", "_watchers")

    def __init__(self, *, poll: Poll | None = None, poll_interval: float = 0.5) -> None:
        self._poll = poll
        self._poll_interval = positive("poll_interval", poll_interval)
        self._poller: asyncio.Task[None] | None = None
        self._reason: str | None = None
        self._watchers: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether the token was cancelled."""
        return self._reason is not None

    @property
    def reason(self) -> str | None:
        """Why; None: it was not cancelled."""
        return self._reason

    def cancel(self, reason: str = "cancelled") -> None:
        """Stop every stream that watches; from any thread. The first reason stays."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            watchers = list(self._watchers.items())
        here = asyncio._get_running_loop()  # noqa: SLF001 - documented; get_running_loop raises outside of a loop
        for notify, loop in watchers:
            if loop is here:
                notify()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(notify)

    async def wait(self) -> str:
        """
        Wait until the token is cancelled.

        Returns:
            The reason.
        """
        done = asyncio.get_running_loop().create_future()

        def notify() -> None:
            if not done.done():
                done.set_result(None)

        self.watch(notify)
        try:
            await done
        finally:
            self.unwatch(notify)
        return self._reason or "cancelled"

    def watch(self, notify: Callable[[], None]) -> None:
        """Call `notify` in the running loop once the token is cancelled; at once if it is already."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._reason is None:
                self._watchers[notify] = loop
        if self._reason is not None:
            notify()
        elif self._poll is not None and (self._poller is None or self._poller.done()):
            self._poller = asyncio.Task(self._ask(self._poll), loop=loop)

    def unwatch(self, notify: Callable[[], None]) -> None:
        """Stop watching; the last one out stops the polling."""
        with self._lock:
            self._watchers.pop(notify, None)
            idle = not self._watchers
        if idle and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _ask(self, poll: Poll) -> None:
        failed = False
        while self._reason is None:
            try:
                answer = poll()
                if isawaitable(answer):
                    answer = await answer
                failed = False
            except Exception:
                if not failed:
                    _logger.warning("a cancel token's poll function failed; asking again", exc_info=True)
                failed, answer = True, None
            if answer:
                self._poller = None
                self.cancel(answer if isinstance(answer, str) else "cancelled")
                return
            await asyncio.sleep(self._poll_interval)


def cancellable(source: AsyncIterable[T], token: CancelToken, *, grace: float = GRACE) -> Stage[T]:
    """
    Stop the source once the token is cancelled, also while it is silent.

    The source is interrupted at its current await, may clean up for `grace` seconds, and is closed; then the error is
    raised. A source that ignores this is abandoned after the grace, and what it yields later is dropped.

    **Order and delivery**: items in order; after the cancellation none, not even those read ahead.
    **Closing**: closes the source. **Cancellation** of the reader closes it too, and is no cancellation of the token.
    **Buffering**: at most 64 items.

    Args:
        source: Any async iterable.
        token: The request to stop.
        grace: How long the source may clean up, however it is stopped, in seconds.

    Raises:
        StreamCancelledError: The token was cancelled; its `reason` is the token's.
        TypeError: `source` is not an async iterable, or `token` not a token.
        ValueError: `grace` is not positive.
    """
    if not isinstance(token, CancelToken):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"token must be a CancelToken, not {type(token).__qualname__}")
    positive("grace", grace)
    stage, pump = attach(source, raises=True)
    pump.watch(token, grace)
    return stage
