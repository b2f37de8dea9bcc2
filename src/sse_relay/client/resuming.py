"""One stream, over as many connections as it takes."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from operator import attrgetter, length_hint
from typing import Self

from sse_relay.client.answers import refusal
from sse_relay.client.interruption import Interruptible
from sse_relay.client.place import Place, Request
from sse_relay.client.reconnect import Reconnection
from sse_relay.client.transport import Client, Connection, ask, make_client
from sse_relay.dialects.protocol import Dialect, Recogniser
from sse_relay.exceptions import EventTooLargeError, InvalidEventError, StreamIncompleteError
from sse_relay.outcome import Outcome
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent

__all__ = ["OnRetry", "ResumingEvents"]

OnRetry = Callable[[Exception, float], object]

_logger = logging.getLogger("sse_relay")

_name_of = attrgetter("event")
_SAFE = frozenset({"GET", "HEAD"})


class ResumingEvents:
    """
    What `connect` makes: an async iterator, and the context manager that closes it.

    Attributes:
        outcome: How the stream ended; None: not yet, or the server said only that it has ended.
        resumes: How many connections were opened after the first.
        ended: Whether the server said that the stream has ended.
    """

    def __init__(
        self,
        request: Request,
        place: Place,
        *,
        client: Client | None,
        read_timeout: float,
        max_event_bytes: int,
        dialect: Dialect,
        reconnection: Reconnection,
        on_retry: OnRetry | None,
    ) -> None:
        self.outcome: Outcome | None = None
        self.resumes: int = 0
        self.ended: bool = False
        self._request = request
        self._place = place
        self._client = client
        self._own_client: Client | None = None
        self._read_timeout = read_timeout
        self._max_event_bytes = max_event_bytes
        self._decoder = EventDecoder(max_event_bytes)
        self._dialect = dialect
        self._recogniser = Recogniser(dialect)
        self._reconnection = reconnection
        self._on_retry = on_retry
        self._connection: Connection | None = None
        self._connected = False
        self._reading = Interruptible()
        self._closed = False
        self._failure: Exception | None = None
        self._batch: list[ServerSentEvent] = []
        self._ready: Iterator[ServerSentEvent] = iter(())  # what of the batch was not handed out yet
        self._unread = 0  # what will not be, because the stream was closed
        self._id_before: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        for event in self._ready:  # the fastest way to the next of an iterator, or to none
            return event
        for event in await self._next_batch():
            return event
        raise StopAsyncIteration

    async def batch(self) -> list[ServerSentEvent]:
        """Read the next events, as many as have come; none: that was all."""
        return list(self._ready) or list(await self._next_batch())

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out: what `after` takes."""
        ahead = self._unread + length_hint(self._ready)
        if not ahead:
            return self._place.text
        ids = (event.id for event in reversed(self._batch[:-ahead]) if event.id is not None)
        return next(ids, self._id_before) or None

    @property
    def broken_by(self) -> Exception | None:
        """What broke the connection first, since the last event; None: nothing did."""
        return self._reconnection.original

    async def _next_batch(self) -> Iterator[ServerSentEvent]:
        if not self._closed:
            self._batch, self._ready = [], iter(())
            self._id_before = self._place.text
            with self._reading:
                self._batch = await self._receive_more()
                self._ready = iter(self._batch)
        return self._ready

    async def aclose(self) -> None:
        """Close the connection; nothing more is read, and a reader in another task is at the end."""
        self._closed = True
        self._reading.interrupt()
        self._unread += length_hint(self._ready)
        self._ready = iter(())
        await self._disconnect()
        if self._own_client is not None:
            client, self._own_client = self._own_client, None
            await client.aclose()

    async def _receive_more(self) -> list[ServerSentEvent]:
        """Read the next events, on another connection if need be; none: that was all."""
        while not (self.ended or self._closed):
            try:
                events = await self._receive(self._connection or await self._connect())
            except Exception as error:  # noqa: BLE001 - of whatever client; what cannot be mended is raised from below
                await self._disconnect()
                await self._pause(error)
                continue
            except BaseException:
                await self._disconnect()  # the read was interrupted in the middle; a later one connects again
                raise
            if events:
                return events
        if not self._closed:
            await self.aclose()
        return []

    async def _connect(self) -> Connection:
        place = self._place
        request = place.next_request(self._request)
        if self._client is None and self._own_client is None:
            self._own_client = make_client()
        client = self._client or self._own_client
        assert client is not None  # noqa: S101 - for the type checker
        connection = self._connection = await ask(client, request, self._read_timeout)
        if connection.status != 204 and not connection.is_stream:
            answer = await connection.answer()
            raise refusal(answer, place=place.text, resumed=self._connected)
        self.resumes += self._connected
        self._connected = True
        self._decoder = EventDecoder(self._max_event_bytes)
        self._decoder.last_event_id = place.text or ""
        place.connected()
        self._reconnection.connected()
        return connection

    async def _receive(self, connection: Connection) -> list[ServerSentEvent]:
        if connection.status == 204:
            self.ended = True
            if self._recogniser.may_end:  # it has said why, and nothing follows
                self.outcome = self._recogniser.completed()
            return []
        if self._failure is not None:
            raise self._failure
        chunk = await connection.chunk()
        if chunk is None:
            raise StreamIncompleteError(self._dialect.name)
        try:
            events = self._decoder.feed(chunk)
        except EventTooLargeError as error:
            self._failure = error
            events = [event for event in error.events if isinstance(event, ServerSentEvent)]
        fresh = self._place.new_of(self._until_the_end(events))
        if not self.ended:
            self._place.stick(self._decoder.last_event_id)
        if self._decoder.retry is not None:
            self._reconnection.retry = self._decoder.retry
        if fresh:
            self._reconnection.progressed()
        return fresh

    def _until_the_end(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Drop what comes behind the terminal."""
        marks = self._recogniser.marks
        if not any(map(marks.__contains__, map(_name_of, events))):
            return events
        for index, event in enumerate(events, 1):
            if event.event in marks and (outcome := self._outcome_of(event)) is not None:
                self.outcome = outcome
                self.ended = True
                return events[:index]
        return events

    def _outcome_of(self, event: ServerSentEvent) -> Outcome | None:
        try:
            return self._recogniser.outcome_of(event)
        except InvalidEventError:  # a gap, or another server's event of that name
            return None

    async def _pause(self, error: Exception) -> None:
        names = {name.lower() for name in self._request.headers}
        seen = self._connected and self._place.text is not None
        repeatable = seen or self._request.method in _SAFE or "idempotency-key" in names
        try:
            seconds = self._reconnection.pause_after(error, repeatable=repeatable)
            if self._on_retry is not None:
                self._on_retry(error, seconds)
        except BaseException:
            await self.aclose()
            raise
        _logger.info("a stream was cut (%s); connecting again in %.1f s", type(error).__name__, seconds)
        await asyncio.sleep(seconds)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()
