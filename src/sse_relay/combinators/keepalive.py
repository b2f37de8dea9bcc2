"""What to do about silence: say something, or end it."""

from collections.abc import AsyncIterable, Callable
from typing import Any, TypeVar, cast

from sse_relay.combinators.pump import attach
from sse_relay.combinators.stage import Stage, positive
from sse_relay.wire.event import ServerSentEvent

__all__ = ["idle_timeout", "keepalive"]

T = TypeVar("T")
PING = ServerSentEvent(None, comment="ping")


def keepalive(
    source: AsyncIterable[T], *, interval: float = 15.0, beat: object = None, first: bool = False
) -> Stage[T | ServerSentEvent]:
    """
    Fill silence, so that no proxy or client takes the stream for dead.

    **Order and delivery**: every item of the source, in order, and its error; beats only while the reader waits.
    **Closing**: closes the source. **Cancellation** of the reader closes it too.
    **Buffering**: at most 64 items. Of two keepalives on one stream the shorter interval leaves the other no silence.

    Args:
        source: Any async iterable.
        interval: The silence before each beat, in seconds.
        beat: What to say: an item, or a function that makes one each time. None: the comment ``ping``.
        first: Whether to say it once before the first item.

    Raises:
        TypeError: `source` is not an async iterable.
        ValueError: `interval` is not positive.
    """
    positive("interval", interval)
    make = cast("Callable[[], Any]", beat) if callable(beat) else lambda: PING if beat is None else beat
    stage, pump = attach(source)
    pump.beat_every(interval, make)
    if first:
        pump.say(make())
    return cast("Stage[T | ServerSentEvent]", stage)


def idle_timeout(source: AsyncIterable[T], *, seconds: float) -> Stage[T]:
    """
    End a stream whose source is silent for too long.

    The source is interrupted at its current await and closed; then the error is raised. The beats of a `keepalive`
    below are not activity: only the source's own items are.

    **Order and delivery**: items in order. **Closing**: closes the source. **Cancellation** of the reader closes it
    too. **Buffering**: at most 64 items.

    Args:
        source: Any async iterable.
        seconds: The silence that is allowed while the reader waits.

    Raises:
        IdleTimeoutError: The source was silent for `seconds`. It is a `TimeoutError`.
        TypeError: `source` is not an async iterable.
        ValueError: `seconds` is not positive.
    """
    positive("seconds", seconds)
    stage, pump = attach(source, raises=True)
    pump.limit_idle(seconds)
    return stage
