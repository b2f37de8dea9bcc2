"""
What every combinator takes and returns: how a source is checked, owned and closed.

A combinator is an async generator in a `Stage`, so that a reader that leaves by ``break``, error, cancellation or
garbage collection closes the source as with any generator. What a source raises while it is being *closed* is logged:
whoever closes has no use for it, and a cancellation in flight must not be replaced.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from inspect import isasyncgenfunction, isawaitable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

if TYPE_CHECKING:
    from sse_relay.combinators.pump import Pump

__all__ = ["Stage", "close", "nobody_asked", "one_to_one", "positive", "require_source"]

T = TypeVar("T")
_logger = logging.getLogger("sse_relay")


class Stage(Generic[T]):
    """
    An async iterator that owns the source below it, and an async context manager that closes it.

    A reader that may leave early closes the stream, and with it the source, by ``async with``::

        async with keepalive(source) as events:
            async for event in events:
                if enough(event):
                    break

    **Closing** is idempotent, and closes the source even if nothing was ever read.

    Attributes:
        pump: The pump below, where a timed combinator may attach: every stage in between makes one item of one item,
            without waiting. None: there is none.
        guarded: Whether one of the stages in between turns exceptions into a terminal.
    """

    __slots__ = ("_items", "_source", "guarded", "pump")

    def __init__(
        self, items: AsyncGenerator[T, None], source: object, *, pump: "Pump | None" = None, guarded: bool = False
    ) -> None:
        self._items = items
        self._source = source
        self.pump: Pump | None = pump
        self.guarded: bool = guarded

    def __aiter__(self) -> AsyncIterator[T]:
        return self._items  # an `async for` then runs without this class in between

    def __anext__(self) -> Awaitable[T]:
        return self._items.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading, close the source, and wait until that is done or its grace is over."""
        try:
            await self._items.aclose()
        finally:
            await close(self._source)  # a generator that never started runs no `finally`


def one_to_one(
    items: AsyncGenerator[T, None], source: object, *, owner: object = None, guarded: bool = False
) -> Stage[T]:
    """
    Wrap a generator that makes one item of each of the source's, without waiting for anything else.

    Args:
        items: The generator.
        source: What it reads.
        owner: What to close in place of the source.
        guarded: Whether the generator turns exceptions into a terminal.
    """
    owner = source if owner is None else owner
    if not isinstance(source, Stage):
        return Stage(items, owner)
    below = cast("Stage[object]", source)
    return Stage(items, owner, pump=below.pump, guarded=guarded or below.guarded)


async def close(source: object) -> None:
    """Close a source by its ``aclose``, else its ``close``; log what it raises."""
    closer: Callable[[], Any] | None = getattr(source, "aclose", None) or getattr(source, "close", None)
    if closer is None:
        return
    try:
        closing = closer()
        if isawaitable(closing):
            await closing
    except BaseException as exc:
        if isinstance(exc, asyncio.CancelledError) and not nobody_asked():
            raise
        _logger.warning("%s raised while it was being closed", _kind(source), exc_info=exc)


def nobody_asked() -> bool:
    """Tell whether a `CancelledError` came without anyone having cancelled the current task."""
    task = asyncio.current_task()
    return task is None or task.cancelling() == 0


def require_source(source: Any) -> None:  # noqa: ANN401 - whatever a caller passes by mistake
    """
    Refuse what is not an async iterable.

    Raises:
        TypeError: Says what to use instead.
    """
    if hasattr(source, "__aiter__"):
        return
    if isasyncgenfunction(source):
        advice = "call it: pass generator(), not generator"
    elif isawaitable(source):
        advice = "await it first"
    elif isinstance(source, (str, bytes)):
        advice = "yield it from an async generator"
    elif hasattr(source, "__iter__"):
        advice = "use from_thread(iterable) for a blocking iterable"
    else:
        advice = "pass an async generator or another async iterable"
    raise TypeError(f"a source must be an async iterable, not {_kind(source)}; {advice}")


def positive(name: str, value: float) -> float:
    """
    Refuse a duration that is not a positive number.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is zero, negative or NaN.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be a number of seconds, not {_kind(value)}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value}")
    return value


def _kind(value: Any) -> str:  # noqa: ANN401
    return getattr(value, "__qualname__", None) or type(value).__qualname__
