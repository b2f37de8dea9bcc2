"""Exactly one terminal, last: for every way a source can end or misbehave."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from sse_relay.combinators.source import to_event
from sse_relay.combinators.stage import Stage, close, nobody_asked, one_to_one, require_source
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, Recogniser, RenderContext, render_end
from sse_relay.outcome import ErrorCatalog, ErrorInfo, Outcome
from sse_relay.wire.encoder import require_encodable
from sse_relay.wire.event import ServerSentEvent

__all__ = ["guard_terminal", "watch_outcome"]

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")
_NATIVE = Native()
_callbacks: set["asyncio.Task[None]"] = set()


def guard_terminal(
    source: AsyncIterable[object], *, dialect: Dialect = _NATIVE, errors: ErrorCatalog | None = None
) -> Stage[ServerSentEvent]:
    """
    End a stream with exactly one terminal, last, whatever the source does.

    - The source returns: ``completed``, with the stop reason that it stated, if any.
    - It yields a terminal of the dialect, or one that another combinator recognised: passed on. What it yields later is
      dropped.
    - It raises, also `SystemExit` or a `CancelledError` that nobody asked for: the catalog's outcome.
    - It yields what is no event, or what cannot be encoded: ``failed``. So does ``(item, status)`` with a status other
      than 2xx, after the item.

    The last event carries the `Outcome` in its ``outcome``. The guarantee covers what is *inside*: a combinator that
    raises belongs below. A reader that closes the stream or is cancelled gets no terminal.

    **Order and delivery**: one event an item, in order, then the terminal. **Closing**: closes the source, right after
    the terminal. **Cancellation** of the reader closes it too. **Buffering**: none.

    Args:
        source: Whatever `as_events` takes.
        dialect: Which terminals to recognise, and how to render one.
        errors: What clients learn of exceptions; None: the built-in entries.

    Raises:
        TypeError: `source` is not an async iterable.

    Example:
        >>> async def source():
        ...     yield "Hello"
        >>> async def main():
        ...     return [event.event async for event in guard_terminal(source())]
        >>> asyncio.run(main())
        [None, 'end']
    """
    require_source(source)
    return one_to_one(_guarded(source, dialect, errors or ErrorCatalog()), source, guarded=True)


async def _guarded(
    source: AsyncIterable[object], dialect: Dialect, errors: ErrorCatalog
) -> AsyncGenerator[ServerSentEvent, None]:
    recogniser = Recogniser(dialect)
    recognise, marks = recogniser.outcome_of, recogniser.marks
    outcome = terminal = None
    try:
        try:
            async for item in source:
                event = item if type(item) is ServerSentEvent else to_event(item)
                name = event.event
                if (name is not None and not name.isprintable()) or event.id is not None:
                    require_encodable(event)
                if (name in marks or event.outcome is not None) and (outcome := recognise(event)) is not None:
                    terminal = event.replace(outcome=outcome)
                    break
                yield event
                if event.status is not None and not 200 <= event.status <= 299:
                    outcome = _refused(event.status)
                    break
        except BaseException as exc:  # SystemExit too: a source must not end the server
            if _from_the_reader(exc):
                raise
            outcome = errors.outcome_of(exc)
        if terminal is not None:
            yield terminal
        else:
            for event in render_end(dialect.renderer(RenderContext()), outcome or recogniser.completed()):
                yield event
    finally:
        await close(source)


def _from_the_reader(exc: BaseException) -> bool:
    """Tell whether the reader left, by closing the stream or by being cancelled, rather than the source raised."""
    if isinstance(exc, GeneratorExit):
        return exc.__traceback__ is None or exc.__traceback__.tb_next is None  # thrown in at our own `yield`
    return isinstance(exc, asyncio.CancelledError) and not nobody_asked()


def _refused(status: int) -> Outcome:
    return Outcome(
        "failed", "error", ErrorInfo("source_status", f"The source answered with status {status}.", None, status)
    )


def watch_outcome(
    source: AsyncIterable[T],
    callback: Callable[[Outcome], Awaitable[None] | None],
    *,
    dialect: Dialect = _NATIVE,
) -> Stage[T]:
    """
    Tell how a stream ended, once, after its source is closed.

    A terminal says so itself; an exception is told by the built-in catalog entries; a source that returns is
    ``completed``; a reader that leaves first makes it ``cancelled`` with the reason ``closed``. What the callback
    raises is logged and never changes the stream. It runs in a task of its own, which a cancelled reader does not stop.

    **Order and delivery**: every item, unchanged, and the source's error. **Closing**: closes the source.
    **Cancellation** of the reader closes it too. **Buffering**: none.

    Args:
        source: Any async iterable.
        callback: Gets the outcome; sync or async.
        dialect: Which terminals to recognise.

    Raises:
        TypeError: `source` is not an async iterable, or `callback` not callable.
    """
    require_source(source)
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {type(callback).__qualname__}")
    watch = _Watch(source, callback)
    return one_to_one(_watched(source, watch, dialect), source, owner=watch)


class _Watch:
    """Closes the source and tells the outcome, once, also when nothing was ever read."""

    __slots__ = ("_callback", "_source", "_told", "outcome")

    def __init__(self, source: object, callback: Callable[[Outcome], Awaitable[None] | None]) -> None:
        self._source = source
        self._callback = callback
        self._told = False
        self.outcome: Outcome | None = None

    async def aclose(self) -> None:
        try:
            await close(self._source)
        finally:
            if not self._told:
                self._told = True
                task = asyncio.Task(self._tell(self.outcome or Outcome("cancelled", "closed")))
                _callbacks.add(task)
                task.add_done_callback(_callbacks.discard)
                await asyncio.shield(task)

    async def _tell(self, outcome: Outcome) -> None:
        try:
            telling = self._callback(outcome)
            if isawaitable(telling):
                await telling
        except Exception:
            _logger.exception("an outcome callback failed")


async def _watched(source: AsyncIterable[T], watch: _Watch, dialect: Dialect) -> AsyncGenerator[T, None]:
    recogniser = Recogniser(dialect)
    try:
        try:
            async for item in source:
                if watch.outcome is None and isinstance(item, ServerSentEvent):
                    watch.outcome = recogniser.outcome_of(item)
                yield item
        except BaseException as exc:
            if watch.outcome is None and not _from_the_reader(exc):
                watch.outcome = ErrorCatalog().outcome_of(exc)
            raise
        watch.outcome = watch.outcome or recogniser.completed()
    finally:
        await watch.aclose()
