"""Read a stream without async: the same reader, in a thread with a loop of its own."""

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from sse_relay.client.collect import collect
from sse_relay.client.connect import connect
from sse_relay.client.result import CollectResult
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["LoopThread", "SyncEvents", "collect_sync", "connect_sync"]

T = TypeVar("T")


def connect_sync(url: str, **options: Any) -> "SyncEvents":  # noqa: ANN401 - those of `connect`
    """
    Read an event stream to its end, as `connect` does.

    Args:
        url: Where the stream is.
        **options: Those of `connect`. A `client` is an async one, too, and used by this stream only;
            `on_retry` is called in the thread that reads.

    Raises:
        RuntimeError: An event loop runs in this thread, and would be blocked.

    Example:
        >>> def show(url):
        ...     with connect_sync(url) as events:
        ...         for event in events:
        ...             print(event.data)
        ...     print(events.outcome)
    """
    return SyncEvents(url, options)


def collect_sync(url: str, **options: Any) -> CollectResult:  # noqa: ANN401 - those of `collect`
    """
    Read a whole stream, and tell how that went, as `collect` does.

    Args:
        url: Where the stream is.
        **options: Those of `collect`. Its hooks are called in the thread that reads; `abort` may be cancelled in any.

    Raises:
        RuntimeError: An event loop runs in this thread, and would be blocked.
    """
    with LoopThread() as thread:
        return thread.run(collect(url, **options))


class SyncEvents:
    """
    What `connect_sync` makes: an iterator, and the context manager that closes it.

    **Closing** is possible from any thread; a reader that waits then ends at once.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._events = connect(url, **options)
        self._thread = LoopThread()
        self._ready: deque[ServerSentEvent] = deque()
        self._last_id = self._events.last_id

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        if not self._ready:
            try:
                self._ready.extend(self._thread.run(self._events.batch()))
            except CancelledError:  # somebody has closed it
                raise StopIteration from None
        if not self._ready:
            self._last_id = self._events.last_id
            raise StopIteration
        event = self._ready.popleft()
        self._last_id = (event.id or self._last_id) if self._ready else self._events.last_id
        return event

    def close(self) -> None:
        """Close the connection; nothing more is read."""
        self._ready.clear()
        self._thread.close(self._events.aclose())

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None: not yet, or the server said only that it has ended."""
        return self._events.outcome

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out: what `after` takes."""
        return self._last_id

    @property
    def resumes(self) -> int:
        """How many connections were opened after the first."""
        return self._events.resumes

    @property
    def ended(self) -> bool:
        """Whether the server said that the stream has ended."""
        return self._events.ended


class LoopThread:
    """A thread that runs an event loop, while the block runs."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._work: Future[Any] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented; get_running_loop raises outside of one
            raise RuntimeError("this would block the running event loop; use connect or collect")
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=[started], name="sse_relay client", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Run a coroutine there, and wait for it.

        Raises:
            concurrent.futures.CancelledError: The thread is closed, or was meanwhile.
        """
        with self._lock:
            if self._loop is None:
                work.close()
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._work = future
        try:
            return future.result()
        finally:
            future.cancel()  # Ctrl-C, say

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Stop what runs, run this at last, and end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
            if self._work is not None:
                self._work.cancel()
        if loop is None or self._thread is None:
            if last is not None:
                last.close()
            return
        try:
            if last is not None:
                asyncio.run_coroutine_threadsafe(last, loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()

    def _serve(self, started: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            started.set()
            self._loop.run_forever()
