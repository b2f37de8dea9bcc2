"""
A subscription → the bytes that one client reads, in its dialect.

The native dialect is what logs hold: records are passed on as stored, behind their ids. Every other one decodes and
renders them. A renderer remembers, so that one who joins at offset k has to see 1 to k first: they are read from the
store, a page at a time, and what comes of them is dropped, unless the dialect's clients want the whole stream again.
Then only is the stream opened: what a renderer says ahead of its records may depend on those that it has seen.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sse_relay.adapters.connection import Client, ClientGoneError
from sse_relay.adapters.messages import body
from sse_relay.adapters.rendering import TrimmedError, encoded, rendered
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, RenderContext, Renderer, interrupted
from sse_relay.exceptions import (
    CursorMismatchError,
    DrainingError,
    RunExpiredError,
    RunNotFoundError,
    StoreUnavailableError,
)
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.subscription import Subscription
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.event import ServerSentEvent

__all__ = ["TRIMMED", "Viewer"]

_logger = logging.getLogger("sse_relay")
_AGAIN = 0.25  # seconds until a nudge is repeated that came while its reader was awake

TRIMMED = ErrorInfo("history_trimmed", "The beginning of the stream is no longer kept.", None, 410)
"""What a client learns of lost records, where its dialect has no word for them."""

_CUT_OFF = (CursorMismatchError, DrainingError, RunExpiredError, RunNotFoundError, StoreUnavailableError)
"""What a client that comes back is told by its next answer, or finds gone."""


class Viewer:
    """
    Writes one run for one client.

    A heartbeat comes at once, then chunks of whole events, and a heartbeat in each silence. A client that has seen the
    end gets it again. Where the viewing ends before the run does (the relay drains, the store fails), a dialect that
    resumes at an offset just ends: its client comes back. Any other would take that for success, and gets a typed
    error, which is no end of the run.

    Args:
        events: The subscription, entered.
        client: Who reads.
        dialect: What it reads.
        errors: What it learns of exceptions.
        keepalive: The silence before a heartbeat, in seconds; None: none but the first.
        why: Tells why the viewing was ended early by somebody else; None: the relay drains.
    """

    __slots__ = (
        "_client", "_dialect", "_due", "_errors", "_events", "_keepalive", "_loop", "_rendered_beat", "_timer",
        "_why", "_wrote_at",
    )  # fmt: skip

    def __init__(
        self,
        events: Subscription,
        client: Client,
        dialect: Dialect,
        errors: ErrorCatalog,
        *,
        keepalive: float | None,
        why: Callable[[], ErrorInfo | None],
    ) -> None:
        self._events = events
        self._client = client
        self._dialect = dialect
        self._rendered_beat: Callable[[], bytes] | None = None
        self._errors = errors
        self._keepalive = keepalive
        self._why = why
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wrote_at = 0.0
        self._due = False

    async def show(self) -> None:
        """Write until the run has ended, or the viewing has to."""
        if self._keepalive is not None:  # one timer, armed anew when it fires: what is written costs none
            self._timer = self._loop.call_later(self._keepalive, self._tick, self._keepalive)
        try:
            if type(self._dialect) is not Native:
                await self._show_rendered()
                return
            events = self._events
            await self._write(self._beat())
            if (seen := events.outcome) is not None:
                await self._write(encoded(_renderer(events, self._dialect).end(seen), str(events.cursor)))
            while not events.done:
                if (batch := await events.read()) is not None:
                    for chunk in batch.native():
                        await self._write(chunk)
                elif not events.done:
                    await self._write(self._beat())
        except _CUT_OFF as error:
            run_id = self._events.run_id
            _logger.warning(
                "a viewer of run %s was cut off (%r); it may resume", run_id, error, extra={"run_id": run_id}
            )
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _show_rendered(self) -> None:
        events, dialect = self._events, self._dialect
        renderer = _renderer(events, dialect)
        resumable = dialect.has_ids and dialect.resume == "offset"
        seen = events.outcome
        error: ErrorInfo | None = None
        try:
            await self._open(renderer)
            while not events.done:
                if (batch := await events.read()) is not None:
                    for chunk in rendered(batch, renderer, dialect):
                        await self._write(chunk)
                if not events.done and (batch is None or self._due):
                    await self._write(self._beat())
            if events.outcome is None and not resumable:
                error = self._why() or self._errors.resolve(DrainingError())
        except TrimmedError:
            error = None if seen else TRIMMED
        except ClientGoneError:
            raise
        except Exception as failure:
            if resumable and isinstance(failure, _CUT_OFF):
                raise
            error = self._errors.resolve(failure)
        if error is not None:
            await self._write_some(interrupted(renderer, error))
        elif seen is not None:
            await self._write(encoded(renderer.end(seen), str(events.cursor) if dialect.has_ids else None))

    async def _open(self, renderer: Renderer) -> None:
        """Write what is ahead of the records to come, with a heartbeat at once."""
        beat: Callable[[], bytes] | None = getattr(renderer, "heartbeat", None)
        # One that tells where the client is must not take it back while its past is read.
        joins = self._events.cursor.offset > 0
        await self._write(self._beat() if joins or beat is None else beat())
        if joins and self._dialect.resume == "offset":
            await self._fold(renderer)
            await self._write_some(renderer.preamble())
        else:
            await self._write_some(renderer.preamble())
            await self._fold(renderer)
        self._rendered_beat = beat

    async def _fold(self, renderer: Renderer) -> None:
        """Show the renderer what the client has seen already, but for the end."""
        events, dialect = self._events, self._dialect
        place: Cursor | int = 0
        until = events.cursor
        if events.outcome is not None:
            until = Cursor(until.epoch, until.offset - 1)
        while (batch := await events.read_before(place, until)) is not None:
            place = Cursor(batch.epoch, batch.last)
            for chunk in rendered(batch, renderer, dialect):
                if dialect.resume == "from_start":
                    await self._write(chunk)
            if self._due:
                await self._write(self._beat())
            await asyncio.sleep(0)  # nobody else is held up by a long past

    def _beat(self) -> bytes:
        return self._dialect.heartbeat if self._rendered_beat is None else self._rendered_beat()

    async def _write_some(self, events: Sequence[ServerSentEvent]) -> None:
        if events:
            await self._write(encoded(events, None))

    async def _write(self, chunk: bytes) -> None:
        await self._client.send(body(chunk))
        self._due = False
        self._wrote_at = self._loop.time()

    def _tick(self, keepalive: float) -> None:
        left = self._wrote_at + keepalive - self._loop.time()
        if left <= 0:
            self._due = True
            self._events.nudge()  # which a reader that is awake does not notice
            left = min(keepalive, _AGAIN)
        self._timer = self._loop.call_later(left, self._tick, keepalive)


def _renderer(events: Subscription, dialect: Dialect) -> Renderer:
    info = events.info
    return dialect.renderer(RenderContext(info.id, info.epoch, info.created_at, info.metadata))
