"""What a run is made of: an async iterable, an awaitable of one, or a callable that makes one."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Self, cast

from sse_relay.combinators.cancellation import CancelToken
from sse_relay.combinators.stage import close, require_source

__all__ = ["OwnedSource", "RunContext", "Source", "discard", "require_openable"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """
    What a source that is a callable learns of its run.

    Attributes:
        run_id: The run's id.
        key: The caller's name for what has one active run.
        token: Cancelled when the run is to stop: for work that an interrupted await does not reach.
        metadata: The caller's own.
    """

    run_id: str
    key: str | None
    token: CancelToken
    metadata: Mapping[str, object]


Source = (
    AsyncIterable[Any]
    | Awaitable[AsyncIterable[Any]]
    | Callable[[RunContext], AsyncIterable[Any] | Awaitable[AsyncIterable[Any]]]
)
"""What `Relay.start` takes."""


class OwnedSource:
    """
    A source, opened by whoever iterates it first: what it fails with there is the run's outcome.

    **Closing** closes whatever there is by then: an unawaited coroutine, what it returned, what a callable made.
    """

    def __init__(self, source: Source, context: RunContext) -> None:
        self._source: Any = source
        self._context = context
        self._next: Callable[[], Awaitable[Any]] | None = None  # of the source, once it is open

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._first() if self._next is None else self._next()  # a generator in between would cost each item more

    async def aclose(self) -> None:
        """Close it, read or not; idempotent."""
        await discard(self._source)

    async def _first(self) -> Any:  # noqa: ANN401 - the application's item
        if not hasattr(self._source, "__aiter__") and not isawaitable(self._source) and callable(self._source):
            self._source = self._source(self._context)
        if isawaitable(self._source):
            self._source = await self._source
        require_source(self._source)
        self._next = following = aiter(cast("AsyncIterable[Any]", self._source)).__anext__
        return await following()


def require_openable(source: object) -> None:
    """
    Refuse what can be no source.

    Raises:
        TypeError: Says what to use instead.
    """
    if not callable(source) and not isawaitable(source):
        require_source(source)


async def discard(source: object) -> None:
    """Close a source, whatever became of it: no run is made of it, or no more."""
    if isinstance(source, asyncio.Future):
        future = cast("asyncio.Future[object]", source)
        if not future.cancel() and not future.cancelled() and future.exception() is None:
            await close(future.result())
        return
    await close(source)
