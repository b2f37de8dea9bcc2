"""Deltas or events → one dialect's events."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable

from sse_relay.combinators.source import require_dialect, to_event
from sse_relay.combinators.stage import Stage, close, require_source
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, Recogniser, RenderContext, TerminalPart, render_end
from sse_relay.wire.event import ServerSentEvent, make_event

__all__ = ["render"]

_NATIVE = Native()


def render(source: AsyncIterable[object], dialect: Dialect) -> Stage[ServerSentEvent]:
    """
    Speak one dialect: ``render(guard_terminal(source), dialect)`` also renders how the stream ended.

    A native terminal, or one that another combinator recognised, becomes the dialect's; a source that returns without
    one has ``completed``. What it raises passes through. Pure comments pass through.

    **Order and delivery**: in order; an item becomes any number of events; the last one carries the `Outcome`. The
    status of an item is on the first event that comes of it.
    **Closing**: closes the source. **Cancellation** of the reader closes it too. **Buffering**: the events of one item.

    Args:
        source: Whatever `as_events` takes.
        dialect: What the reader speaks.

    Raises:
        TypeError: `source` is not an async iterable, or `dialect` not a dialect.
    """
    require_source(source)
    require_dialect(dialect)
    return Stage(_rendered(source, dialect), source)


async def _rendered(source: AsyncIterable[object], dialect: Dialect) -> AsyncGenerator[ServerSentEvent, None]:
    recogniser = Recogniser(_NATIVE)
    outcome = status = None
    try:
        renderer = dialect.renderer(RenderContext(run_id=secrets.token_hex(16), created_at=time.time()))
        opening = renderer.preamble()  # comes with the first item, so that an error before it is still an HTTP error
        async for item in source:
            event = item if type(item) is ServerSentEvent else to_event(item)
            if event.data is None:
                yield event
                continue
            if isinstance(event, TerminalPart):
                continue  # of another dialect's end: this one makes its own of the outcome
            outcome = recogniser.outcome_of(event)
            status = event.status or status
            if outcome is not None:
                break
            events = [*opening, *renderer.event(0, event)]
            opening = ()
            if status is not None and events:
                events[0] = events[0].replace(status=status)
                status = None
            for rendered in events:
                yield rendered
        events = [_as_part(event) for event in opening]
        events += render_end(renderer, outcome or recogniser.completed())
        events[0] = events[0].replace(status=status)
        for rendered in events:
            yield rendered
    finally:
        await close(source)


def _as_part(event: ServerSentEvent) -> ServerSentEvent:
    part: ServerSentEvent = make_event(event.data, event.event, event.id, event.retry, event.comment, cls=TerminalPart)
    return part
