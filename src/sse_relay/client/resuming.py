"""One stream, over as many connections as it takes."""

import asyncio
import logging
from typing import Self

from sse_relay.client.answers import refusal
from sse_relay.client.place import Place, Request
from sse_relay.client.reconnect import Reconnection
from sse_relay.client.transport import Client, Connection, ask, make_client
from sse_relay.dialects.protocol import Dialect, Recogniser
from sse_relay.exceptions import EventTooLargeError, InvalidEventError, StreamIncompleteError
from sse_relay.outcome import Outcome
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent

__all__ = ["ResumingEvents"]

_logger = logging.getLogger("sse_relay")

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
        self._connection: Connection | None = None
        self._connected = False
        self._closed = False
        self._failure: Exception | None = None
        self._batch: list[ServerSentEvent] = []
        self._at = 0  # of the batch: what is handed out next
        self._id_before: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        at = self._at
        if self._closed:
            raise StopAsyncIteration
        if at == len(self._batch):
            if not await self._next_batch():
                raise StopAsyncIteration
            at = 0
        self._at = at + 1
        return self._batch[at]

    async def batch(self) -> list[ServerSentEvent]:
        """Read the next events, as many as have come; none: that was all."""
        if self._closed:
            return []
        if self._at == len(self._batch):
            await self._next_batch()
        events = self._batch[self._at :]
        self._at = len(self._batch)
        return events

    @property
    def last_id(self) -> str | None:
        """The id of the last event that was handed out: what `after` takes."""
        if self._at == len(self._batch):
            return self._place.text
        ids = (event.id for event in reversed(self._batch[: self._at]) if event.id is not None)
        return next(ids, self._id_before) or None

    async def _next_batch(self) -> bool:
        self._batch, self._at = [], 0
        self._id_before = self._place.text
        self._batch = await self._receive_more()
        return bool(self._batch)

    async def aclose(self) -> None:
        """Close the connection; nothing more is read."""
        self._closed = True
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
        return connection

    async def _receive(self, connection: Connection) -> list[ServerSentEvent]:
        if connection.status == 204:
            self.ended = True
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
        except BaseException:
            await self.aclose()
            raise
        _logger.info("a stream was cut (%s); connecting again in %.1f s", type(error).__name__, seconds)
        await asyncio.sleep(seconds)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()
