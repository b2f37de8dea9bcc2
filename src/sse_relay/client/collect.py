"""Read a whole stream, and tell how that went."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import Any

from sse_relay.client.connect import connect
from sse_relay.client.diary import Diary, Entry
from sse_relay.client.find import Finder, FindRun, outcome_at
from sse_relay.client.pending import PendingCalls, ReadDelta, tool_delta_of
from sse_relay.client.place import with_query
from sse_relay.client.result import CollectResult, NotResumed
from sse_relay.client.resuming import ResumingEvents
from sse_relay.client.transport import Client, make_client
from sse_relay.combinators.cancellation import CancelToken
from sse_relay.combinators.stage import close
from sse_relay.exceptions import ConnectionLostError, ResponseRefusedError, StreamIncompleteError
from sse_relay.outcome import ErrorCatalog, Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["collect"]

OnEvent = Callable[[ServerSentEvent], Outcome | Awaitable[Outcome | None] | None]
OnFirstEvent = Callable[[ServerSentEvent], object]

_ERRORS = ErrorCatalog()
_ERRORS.register(ConnectionLostError, "connection_lost", "The connection was lost.", status=502)
_ERRORS.register(ResponseRefusedError, "refused", "The server refused the request.", status=502)
for _client in ("httpx", "httpx2"):  # whose errors mean a model's provider elsewhere
    for _name in ("HTTPError", "TransportError", "TimeoutException"):
        _ERRORS.register(f"{_client}.{_name}", "connection_lost", "The connection was lost.", status=502)
    for _name in ("TooManyRedirects", "UnsupportedProtocol", "InvalidURL"):
        _ERRORS.register(f"{_client}.{_name}", "refused", "The request could not be made.", status=502)

_OF_THE_REQUEST = ("method", "json", "after", "starting_after")


async def collect(
    url_or_events: str | AsyncIterable[ServerSentEvent],
    *,
    on_event: OnEvent | None = None,
    on_first_event: OnFirstEvent | None = None,
    abort: CancelToken | None = None,
    find: FindRun | None = None,
    read_delta: ReadDelta = tool_delta_of,
    write_diary: Callable[[Entry], object] | None = None,
    **options: Any,  # noqa: ANN401 - those of `connect`
) -> CollectResult:
    """
    Read a stream to its end, over as many connections as that takes, and tell how that went.

    A stream that cannot be read to its end is a result, too; only what a hook raises is raised.

    Args:
        url_or_events: Where it is, or the events of `connect`, or of a relay's `subscribe`; they are closed.
        on_event: Called with each event, sync or async. An outcome that it returns is the result's; the stream is read
            on, and the last one counts.
        on_first_event: Called with the first event, ahead of `on_event`.
        abort: Closes the connection at once, also while nothing comes; looked at before and after each event.
        find: Where to look for the run if the connection dies before the first event.
        read_delta: Tells the tool call or the result that an event carries; by default that of native events.
        write_diary: Called with a note on each event; what it raises is logged, and never breaks the stream.
        **options: Those of `connect`.

    Raises:
        TypeError: There are options, or `find`, and no URL.

    Example:
        >>> async def ask(url):
        ...     result = await collect(url, method="POST", json={"prompt": "Hi"}, on_event=print)
        ...     print(result.outcome, result.ttft, result.resumes)
    """
    if not isinstance(url_or_events, str) and (options or find):
        raise TypeError("options go with a URL; of events, they were given to connect")
    reading = _Reading(on_event, on_first_event, abort, read_delta, Diary(write_diary))
    async with AsyncExitStack() as stack:
        if isinstance(url_or_events, str):
            client: Client | None = options.get("client")
            if client is None:
                client = options["client"] = make_client()
                stack.push_async_callback(client.aclose)
            await reading.read_url(url_or_events, find, client, options)
        else:
            await reading.read(url_or_events)
    return reading.result()


class _Reading:
    """What has been read so far."""

    def __init__(
        self,
        on_event: OnEvent | None,
        on_first_event: OnFirstEvent | None,
        abort: CancelToken | None,
        read_delta: ReadDelta,
        diary: Diary,
    ) -> None:
        self._on_event = on_event
        self._on_first_event = on_first_event
        self._abort = abort
        self._pending = PendingCalls(read_delta)
        self._diary = diary
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._first_at: float | None = None
        self._count = 0
        self._resumes = 0
        self._last_id: str | None = None
        self._outcome: Outcome | None = None
        self._override: Outcome | None = None
        self._error: Exception | None = None
        self._resume_error: Exception | None = None
        self._not_resumed: NotResumed | None = None

    async def read_url(self, url: str, find: FindRun | None, client: Client, options: Mapping[str, Any]) -> None:
        """Read the stream at `url`; if it is lost before its first event, find its run, and read that."""
        headers: Mapping[str, str] = options.get("headers") or {}
        finder = Finder(find, client, headers) if find is not None else None
        events = connect(url, **options)
        if finder is not None:
            await self._unless_aborted(finder.look_before())
        await self.read(events)
        if finder is not None and self._not_resumed == "not_repeatable" and not self._count:
            await self._unless_aborted(self._read_found(finder, options))
        if self._outcome is None and self._error is None and events.ended:
            self._outcome = await outcome_at(client, url, headers)

    async def _read_found(self, finder: Finder, options: Mapping[str, Any]) -> None:
        url = await finder.url()
        if url is None:
            self._not_resumed = "run_not_found"
            return
        lost, self._error, self._outcome, self._not_resumed = self._error, None, None, None
        if (dialect := options.get("dialect")) is not None:
            url = with_query(url, dialect=dialect.name)
        rest = {name: value for name, value in options.items() if name not in _OF_THE_REQUEST}
        await self._read(connect(url, **rest))
        self._resumes += 1
        if self._error is not None:
            self._error, self._resume_error = lost, self._resume_error or self._error

    async def read(self, events: AsyncIterable[ServerSentEvent]) -> None:
        """Read events to their end, or to the abort."""
        await self._unless_aborted(self._read(events))

    async def _unless_aborted(self, work: Awaitable[None]) -> None:
        deadline = asyncio.timeout(None)

        def stop() -> None:
            deadline.reschedule(self._now())

        try:
            async with deadline:
                if self._abort is not None:
                    self._abort.watch(stop)
                try:
                    await work
                finally:
                    if self._abort is not None:
                        self._abort.unwatch(stop)
        except TimeoutError:
            if not deadline.expired():
                raise
            self._aborted()

    def _aborted(self) -> bool:
        if self._abort is None or not self._abort.cancelled:
            return False
        self._outcome = self._override = Outcome("cancelled", self._abort.reason)
        self._not_resumed = "aborted"
        return True

    async def _read(self, events: AsyncIterable[ServerSentEvent]) -> None:
        iterator = aiter(events)
        try:
            while not self._aborted():
                try:
                    event = await anext(iterator)
                except StopAsyncIteration:
                    self._ended(events)
                    return
                except Exception as error:  # noqa: BLE001 - of whatever client; it is the result's
                    self._failed(error, events.broken_by if isinstance(events, ResumingEvents) else None)
                    return
                await self._take(event)
        finally:
            if isinstance(events, ResumingEvents):
                self._last_id = events.last_id or self._last_id
                self._resumes += events.resumes
            await close(events)

    async def _take(self, event: ServerSentEvent) -> None:
        now = self._now() - self._began
        self._count += 1
        self._last_id = event.id or self._last_id
        self._diary.note(now, event)
        self._pending.take(event)
        self._outcome = event.outcome or self._outcome
        if self._first_at is None:
            self._first_at = now
            if self._on_first_event is not None and isawaitable(done := self._on_first_event(event)):
                await done
        if self._on_event is not None:
            said = self._on_event(event)
            if isawaitable(said):
                said = await said
            self._override = said or self._override

    def _ended(self, events: AsyncIterable[ServerSentEvent]) -> None:
        self._outcome = getattr(events, "outcome", None) or self._outcome
        if self._outcome is None and not getattr(events, "ended", False):
            self._failed(StreamIncompleteError("event"))

    def _failed(self, error: Exception, broken_by: Exception | None = None) -> None:
        self._outcome = _ERRORS.outcome_of(error)
        if isinstance(error, ConnectionLostError):
            self._error = error.original
            if error.reason in {"not_repeatable", "fail_fast"} or error.__cause__ is error.original:
                self._not_resumed = error.reason
            elif isinstance(error.__cause__, Exception):
                self._resume_error = error.__cause__
        elif broken_by is not None:
            self._error, self._resume_error = broken_by, error
        else:
            self._error, self._not_resumed = error, "refused"

    def result(self) -> CollectResult:
        """Tell it."""
        return CollectResult(
            outcome=self._override or self._outcome,
            last_cursor=self._last_id,
            ttft=self._first_at,
            duration=self._now() - self._began,
            events=self._count,
            resumes=self._resumes,
            error=self._error,
            resume_error=self._resume_error,
            not_resumed=self._not_resumed,
            pending=self._pending.calls,
            diary=tuple(self._diary.entries),
        )
