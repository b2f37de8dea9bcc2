"""Whatever a generator yields → events."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Generic, TypeVar, cast

from sse_relay.combinators.channel import EventChannel
from sse_relay.combinators.pump import GRACE, LOOK_AHEAD
from sse_relay.combinators.stage import Stage, close, one_to_one, require_source
from sse_relay.dialects.deltas import DELTA_NAMES, Delta, event_of
from sse_relay.dialects.protocol import Dialect, Recogniser
from sse_relay.exceptions import ChannelClosedError, EventTooLargeError, StreamIncompleteError
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.encoder import to_utf8
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["as_events", "from_sse", "from_thread", "to_event"]

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")
_dialects: set[type] = set()  # the classes that were looked at: to look at a protocol's members costs 10 μs


def as_events(source: AsyncIterable[object]) -> Stage[ServerSentEvent]:
    """
    Turn whatever a generator yields into events.

    A string is data; a dict, list, pydantic model or dataclass is JSON data; a delta is its canonical event; an event
    is itself; ``(item, status)`` is the item with a note of the HTTP status that the source asks for.

    **Order and delivery**: one event an item, in order. **Closing**: closes the source. **Cancellation** of the reader
    closes it too. **Buffering**: none.

    Raises:
        TypeError: `source` is not an async iterable (when called); an item is bytes or of an unknown type (when read).
        InvalidEventError: An item is not JSON, or a delta's field has the wrong type.
    """
    require_source(source)
    return one_to_one(_as_events(source), source)


async def _as_events(source: AsyncIterable[object]) -> AsyncGenerator[ServerSentEvent, None]:
    try:
        async for item in source:
            yield item if type(item) is ServerSentEvent else to_event(item)
    finally:
        await close(source)


def to_event(item: object) -> ServerSentEvent:
    """Turn one item into its event, as `as_events` says."""
    event: ServerSentEvent
    if isinstance(item, str):
        event = make_event(str.__str__(item))  # not str(item): an enum's is its name
    elif type(item) in DELTA_NAMES:
        event = event_of(cast("Delta", item))
    elif isinstance(item, ServerSentEvent):
        event = item
    elif isinstance(item, tuple):
        inner, status = _without_status(cast("object", item))
        event = to_event(inner).replace(status=status)
    elif _is_json(item):
        event = ServerSentEvent.json(item)
    elif isinstance(item, (bytes, bytearray, memoryview)):
        raise TypeError("a source of events must not yield bytes; use from_sse(source) if they are an event stream")
    else:
        kinds = "str, dict, list, pydantic models, dataclasses, deltas, events or (item, status)"
        raise TypeError(f"a source must yield {kinds}, not {type(item).__qualname__}")
    return event


def _is_json(item: object) -> bool:
    if isinstance(item, type):
        return False
    return isinstance(item, (dict, list)) or hasattr(item, "__pydantic_serializer__") or is_dataclass(item)


def _without_status(item: object) -> tuple[object, int | None]:
    if not isinstance(item, tuple):
        return item, None
    match cast("tuple[object, ...]", item):
        case (inner, int(status)) if 100 <= status <= 599 and not isinstance(inner, tuple):
            return inner, status
        case pair:
            raise TypeError(f"a tuple must be (item, status), its status from 100 to 599, not {pair!r:.80}")


def from_sse(
    source: AsyncIterable[str | bytes | tuple[str | bytes, int]],
    *,
    dialect: Dialect | None = None,
    max_event_bytes: int = 1 << 20,
) -> Stage[ServerSentEvent]:
    """
    Parse a source that is an event stream already: text or bytes, split anywhere.

    With a dialect, its terminal is recognised: the event carries the `Outcome`, it is the last one, and a source that
    ends without it was cut off. (A dialect may say that a stop reason stated ahead is enough: `reason_ends`.)

    **Order and delivery**: each whole event, in order, also those ahead of one that is too large.
    **Closing**: closes the source. **Cancellation** of the reader closes it too.
    **Buffering**: `max_event_bytes` and the events of one chunk.

    Args:
        source: Chunks; ``(chunk, status)`` notes the HTTP status on the next whole event, or where none follows on one
            without data: an error's body need not be an event stream.
        dialect: What the source speaks; None: it has no terminals, and its end is its end.
        max_event_bytes: The largest event.

    Raises:
        StreamIncompleteError: The dialect's terminal did not come.
        EventTooLargeError: An event exceeds the bound.
        TypeError: `source` is no async iterable or `dialect` no dialect; a chunk is neither text nor bytes (when read).
        ValueError: `max_event_bytes` is not positive.
    """
    require_source(source)
    if dialect is not None:
        require_dialect(dialect)
    decoder = EventDecoder(max_event_bytes)
    return Stage(_from_sse(source, dialect, decoder), source)


def require_dialect(dialect: Dialect) -> None:
    """Refuse what is no dialect with a `TypeError` that says what to pass."""
    cls = type(dialect)
    if cls in _dialects:
        return
    if isinstance(dialect, type) or not isinstance(dialect, Dialect):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"dialect must be a Dialect such as Native(), not {dialect!r:.80}")
    _dialects.add(cls)


async def _from_sse(
    source: AsyncIterable[object], dialect: Dialect | None, decoder: EventDecoder
) -> AsyncGenerator[ServerSentEvent, None]:
    recogniser = None if dialect is None else Recogniser(dialect)
    error = status = None
    try:
        async for item in source:
            chunk, asked = _without_status(item)
            status = asked or status
            try:
                events = decoder.feed(_bytes(chunk))
            except EventTooLargeError as exc:
                events, error = cast("list[ServerSentEvent]", list(exc.events)), exc
            if status is not None and events:
                events[0] = events[0].replace(status=status)
                status = None
            for event in events:
                if recogniser is not None and (outcome := recogniser.outcome_of(event)) is not None:
                    yield event.replace(outcome=outcome)
                    return
                yield event
            if error is not None:
                raise error
        if status is not None:
            yield ServerSentEvent(None, status=status)
        if dialect is not None and recogniser is not None and not recogniser.may_end:
            raise StreamIncompleteError(dialect.name)
    finally:
        await close(source)


def _bytes(chunk: object) -> bytes:
    if isinstance(chunk, str):
        return to_utf8(chunk)
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", chunk))
    raise TypeError(f"an event stream must come as text or bytes, not {type(chunk).__qualname__}; use as_events")


def from_thread(iterable: Iterable[T]) -> Stage[T]:
    """
    Read a blocking iterable in one thread of its own.

    The thread runs in a copy of the context of the first read, and closes the iterable. It cannot be interrupted: when
    the reader leaves, it stops before the next item; if the grace is over first, it is abandoned with a warning.

    **Order and delivery**: items in order, then the iterable's error. **Closing** and **cancellation**: as above.
    **Buffering**: at most 64 items.

    Raises:
        TypeError: `iterable` is an async iterable, a string or bytes, or no iterable at all.
    """
    if isinstance(iterable, (str, bytes, AsyncIterable)) or not isinstance(iterable, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"from_thread takes a blocking iterable, not {type(iterable).__qualname__}")
    reading = _Reading(iterable)
    return Stage(reading.items(), reading)


class _Reading(Generic[T]):
    """A thread that reads a blocking iterable and closes it, and the channel to its reader."""

    def __init__(self, iterable: Iterable[T]) -> None:
        self._iterable = iterable
        self._channel: EventChannel[T] = EventChannel(capacity=LOOK_AHEAD - 1, idle_timeout=None)  # and one in its hand
        self._started = self._left = False
        self._done = asyncio.Event()

    async def items(self) -> AsyncGenerator[T, None]:
        try:
            self._start()
            async for item in self._channel:
                yield item
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop reading, and wait until the thread is done or its grace is over."""
        if self._left:
            return
        self._left = True
        await self._channel.aclose()
        if not self._started:
            self._start()  # what nobody read is closed in a thread, too: it may block
        try:
            async with asyncio.timeout(GRACE):
                await self._done.wait()
        except TimeoutError:
            _logger.warning("a blocking source ignored its close for %g s and was abandoned", GRACE)

    def _start(self) -> None:
        run = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        threading.Thread(target=run, args=(self._read, loop), name="sse_relay.from_thread", daemon=True).start()
        self._started = True

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in () if self._left else self._iterable:
                self._channel.push(item)
        except BaseException as exc:  # the reader gets it
            if self._left and not isinstance(exc, ChannelClosedError):
                _logger.warning("a blocking source raised while it was being stopped", exc_info=exc)
            self._finish(loop)
            self._channel.fail(exc)
        else:
            self._finish(loop)
            self._channel.close()

    def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            if (closer := getattr(self._iterable, "close", None)) is not None:
                closer()
        except BaseException:
            _logger.warning("a blocking source raised while it was being closed", exc_info=True)
        with suppress(RuntimeError):  # the loop is closed: the thread was abandoned
            loop.call_soon_threadsafe(self._done.set)
