"""Push from callbacks, iterate elsewhere."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Generator
from math import inf
from typing import Generic, Literal, Self, TypeVar

from sse_relay.combinators.stage import positive
from sse_relay.exceptions import ChannelClosedError, ChannelFullError, IdleTimeoutError

__all__ = ["EventChannel"]

T = TypeVar("T")


class _Accepted:
    """Awaiting it does not wait."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_ACCEPTED = _Accepted()


class EventChannel(Generic[T]):
    """
    A bounded queue between callbacks and one reader, from any thread to one event loop.

    **Order and delivery**: items in the order in which they were accepted, so those of one thread or task in its own
    order; each that was accepted before `close` or `fail` is delivered before the end or the error.
    **Closing**: one ``async for`` reads one step: it ends at `step_end`, and the next ``async for`` goes on with the
    next step; after `close` there is none. `aclose` is the reader's: it drops what is unread, and further pushes fail.
    **Cancellation** of a waiting reader loses nothing; a waiting push that is cancelled delivers nothing.
    **Buffering**: at most `capacity` items.

    Args:
        capacity: How many unread items it holds.
        idle_timeout: How long the reader waits for a push before an `IdleTimeoutError`, in seconds; None: for ever.
        on_full: ``wait``: a push from another thread blocks, one in the event loop has to be awaited.
            ``fail``: it raises.

    Raises:
        TypeError: `capacity` is no whole number, or `idle_timeout` no number.
        ValueError: `capacity` or `idle_timeout` is not positive, or `on_full` is neither.

    Example:
        >>> async def main():
        ...     channel = EventChannel()
        ...     await channel.push("Hello")
        ...     channel.close()
        ...     return [item async for item in channel]
        >>> asyncio.run(main())
        ['Hello']
    """

    def __init__(
        self, *, capacity: int = 1024, idle_timeout: float | None = 180.0, on_full: Literal["wait", "fail"] = "wait"
    ) -> None:
        if type(capacity) is not int:
            raise TypeError(f"capacity must be a whole number, not {type(capacity).__qualname__}")
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        if on_full not in ("wait", "fail"):
            raise ValueError(f'on_full must be "wait" or "fail", not {on_full!r}')
        self._capacity = capacity
        self._idle_timeout = inf if idle_timeout is None else positive("idle_timeout", idle_timeout)
        self._on_full = on_full
        self._steps: deque[deque[T]] = deque([deque()])
        self._size = 0
        self._closed = False
        self._error: BaseException | None = None
        self._reader: _Waiter | None = None
        self._pushers: deque[_Waiter] = deque()
        self._changed = threading.Condition()  # guards all of the above; blocked threads wait on it

    @property
    def ended(self) -> bool:
        """Whether the reader has all that there will be: ``while not channel.ended`` reads step after step."""
        with self._changed:
            return self._closed and self._error is None and not self._size and len(self._steps) == 1

    def push(self, item: T) -> Awaitable[None]:
        """
        Add an item; from any thread.

        Returns:
            An awaitable. While there is room the item is accepted at once, and awaiting does nothing. A full channel
            with ``on_full="wait"`` blocks a thread; in an event loop the item is accepted when the result is awaited.

        Raises:
            ChannelClosedError: The channel has ended; also while waiting for room.
            ChannelFullError: It is full, and `on_full` is ``fail``.
        """
        with self._changed:
            if self._accept(item):
                return _ACCEPTED
            if self._on_full == "fail":
                raise ChannelFullError(self._capacity)
            if asyncio._get_running_loop() is not None:  # noqa: SLF001 - get_running_loop raises in a thread
                return self._push_later(item)
            while not self._accept(item):
                self._changed.wait()
            return _ACCEPTED

    def step_end(self) -> None:
        """
        End the current step: the ``async for`` that reads it ends, the next one goes on.

        Raises:
            ChannelClosedError: The channel has ended.
        """
        with self._changed:
            if self._closed:
                raise ChannelClosedError
            self._steps.append(deque())
            self._notify_reader()

    def close(self) -> None:
        """End the channel after the items that it holds; from any thread. Idempotent."""
        self._end(None)

    def fail(self, exc: BaseException) -> None:
        """
        End the channel: after the items that it holds, the reader gets `exc`. A channel that has ended stays as it is.

        Raises:
            TypeError: `exc` is no exception.
        """
        if not isinstance(exc, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"fail takes an exception, not {type(exc).__qualname__}")
        if isinstance(exc, (StopIteration, StopAsyncIteration)):  # the reader would take it for a clean end
            cause, exc = exc, RuntimeError(f"a channel failed with {type(exc).__qualname__}")
            exc.__cause__ = cause
        self._end(exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._changed:
                if self._reader is not None:
                    raise RuntimeError("another task reads this channel; a channel has one reader")
                step = self._steps[0]
                if step:
                    self._size -= 1
                    self._notify_pushers()
                    return step.popleft()
                if len(self._steps) > 1:
                    self._steps.popleft()
                    raise StopAsyncIteration
                if self._closed:
                    error, self._error = self._error, None
                    try:
                        raise error or StopAsyncIteration
                    finally:
                        del error
                self._reader = waiter = _Waiter()
            timer = None if self._idle_timeout == inf else waiter.loop.call_later(self._idle_timeout, self._expire)
            try:
                await waiter.future
            finally:
                self._reader = None
                if timer is not None:
                    timer.cancel()

    async def aclose(self) -> None:
        """Stop reading: drop what is unread; further pushes raise `ChannelClosedError`."""
        with self._changed:
            self._end(None)
            self._steps = deque([deque()])
            self._size = 0
            self._error = None

    def _accept(self, item: T) -> bool:
        if self._closed:
            raise ChannelClosedError
        if self._size >= self._capacity:
            return False
        self._size += 1
        self._steps[-1].append(item)
        self._notify_reader()
        return True

    async def _push_later(self, item: T) -> None:
        while True:
            with self._changed:
                if self._accept(item):
                    return
                waiter = _Waiter()
                self._pushers.append(waiter)
            try:
                await waiter.future
            except BaseException:
                with self._changed:
                    if waiter in self._pushers:
                        self._pushers.remove(waiter)
                    else:  # it was woken, and does not take the room: the next in line may
                        self._notify_pushers()
                raise

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._error = error
            self._notify_reader()
            self._changed.notify_all()
            while self._pushers:
                self._pushers.popleft().wake()

    def _expire(self) -> None:
        with self._changed:
            if self._size == 0 and len(self._steps) == 1:  # else a push won the race
                self._end(IdleTimeoutError(self._idle_timeout))

    def _notify_reader(self) -> None:
        if self._reader is not None:
            self._reader.wake()

    def _notify_pushers(self) -> None:
        self._changed.notify_all()
        while self._pushers and not self._pushers.popleft().wake():
            pass  # its loop is closed: the next in line may have the room


class _Waiter:
    """A future of the running loop that any thread may resolve."""

    def __init__(self) -> None:
        self.woken = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def wake(self) -> bool:
        """Resolve the future, and tell whether there still is a loop that can notice."""
        if self.woken:
            return True  # a burst of pushes interrupts the loop once
        self.woken = True
        try:
            if asyncio._get_running_loop() is self.loop:  # noqa: SLF001
                self._resolve()
            else:
                self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
