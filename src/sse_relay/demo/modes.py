"""The ways in which a source can misbehave, put over any source of deltas."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from sse_relay import ErrorCatalog, from_sse
from sse_relay.dialects import Delta, Native, TextDelta, event_of

__all__ = ["MODES", "Mode", "ModelBrokeError", "ModelBusyError", "Timings", "misbehave", "register_errors"]

Mode = Literal["normal", "fail", "silent", "hang", "vanish", "refuse"]
MODES: frozenset[str] = frozenset(get_args(Mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """
    How long things take, in seconds.

    Attributes:
        tokens_per_second: The pace of the built-in text.
        first_token: How long it takes to begin.
        trouble_after: After how many deltas a source misbehaves.
        idle: The silence that ends a stream.
        upstream_idle: The same for a model that was asked to finish: some think for long.
        heartbeat: The silence before each heartbeat.
        lease: After how long a worker that shows no sign of life is taken for dead.
        grace: How long a stopped source may clean up.
        stubborn: How long a source in the mode ``hang`` stays after its cancellation.
        drain: How long the live runs may go on when the server leaves.
        away: How long a page that cut its connection stays away: long enough to be seen.
    """

    tokens_per_second: float = 45.0
    first_token: float = 0.4
    trouble_after: int = 120
    idle: float = 8.0
    upstream_idle: float = 90.0
    heartbeat: float = 2.0
    lease: float = 3.0
    grace: float = 2.0
    stubborn: float = 6.0
    drain: float = 2.0
    away: float = 1.2


class ModelBrokeError(Exception):
    """The source failed in mid-run."""


class ModelBusyError(Exception):
    """The source took no request."""


def register_errors(errors: ErrorCatalog) -> None:
    """Say what clients learn of the errors of this module."""
    message = "The model failed in the middle of its answer."
    errors.register(ModelBrokeError, "llm_error", message, status=502, reason="llm_api_error")
    message = "The model takes no more requests just now. Try again in a minute."
    errors.register(ModelBusyError, "llm_rate_limit", message, status=429, reason="llm_api_error")


def misbehave(source: AsyncGenerator[Delta, None], mode: Mode, timings: Timings) -> AsyncIterator[object]:
    """Put a mode over a source: the same deltas, up to where it goes wrong."""
    match mode:
        case "normal":
            return source
        case "fail":
            return _fail(source, timings.trouble_after)
        case "silent":
            return _go_silent(source, timings.trouble_after)
        case "hang":
            return _hang(source, timings.stubborn)
        case "vanish":
            return from_sse(_hang_up(source, timings.trouble_after), dialect=Native())
        case "refuse":
            return _refuse(source)


async def _first(source: AsyncIterable[Delta], count: int) -> AsyncGenerator[Delta, None]:
    async for delta in source:
        yield delta
        count -= 1
        if count == 0:
            return


async def _fail(source: AsyncGenerator[Delta, None], after: int) -> AsyncGenerator[Delta, None]:
    try:
        async for delta in _first(source, after):
            yield delta
        raise ModelBrokeError("worker 7 ran out of memory at 10.0.0.12")  # no client may ever see this
    finally:
        await source.aclose()


async def _go_silent(source: AsyncGenerator[Delta, None], after: int) -> AsyncGenerator[Delta, None]:
    try:
        async for delta in _first(source, after):
            yield delta
        await asyncio.Event().wait()
    finally:
        await source.aclose()


async def _hang(source: AsyncGenerator[Delta, None], stubborn: float) -> AsyncGenerator[Delta, None]:
    try:
        async for delta in source:
            yield delta
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        end = loop.time() + stubborn
        while (left := end - loop.time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
    finally:
        await source.aclose()


async def _hang_up(source: AsyncGenerator[Delta, None], after: int) -> AsyncGenerator[bytes, None]:
    try:
        async for delta in _first(source, after):
            if isinstance(delta, TextDelta):  # a finish would count as an end
                yield event_of(delta).encode()
    finally:
        await source.aclose()


async def _refuse(source: AsyncGenerator[Delta, None]) -> AsyncGenerator[Delta, None]:
    await source.aclose()
    raise ModelBusyError("429 from the provider, quota of project 1234")
    yield  # what makes it a generator
