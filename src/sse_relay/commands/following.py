"""Where the events of a stream come from: a run in a store, or a URL."""

import asyncio
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Protocol

from sse_relay.commands.exits import Exit, UserError, require
from sse_relay.exceptions import StoreUnavailableError
from sse_relay.outcome import Outcome
from sse_relay.runs.relay import Relay
from sse_relay.stores.protocol import StreamStore
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Listener", "follow_run", "follow_url", "is_url"]

_logger = logging.getLogger("sse_relay")
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_DIGITS = 18  # of an offset


class Listener(Protocol):
    """Who is told of a stream."""

    @property
    def heard(self) -> bool:
        """Tell whether any event has come."""
        ...

    def hear(self, event: ServerSentEvent) -> None:
        """Hear an event."""
        ...

    def worry(self, trouble: str) -> None:
        """Hear why nothing comes just now."""
        ...


def is_url(target: str) -> bool:
    """Tell a URL from a run's id."""
    return target.lower().startswith(("http://", "https://"))


async def follow_run(store: StreamStore, run_id: str, after: str | None, listener: Listener) -> Outcome | None:
    """
    Follow a run to its end; once it was seen, through outages of the store, too.

    Raises:
        SSERelayError: The run or the cursor is not there, or the store does not answer from the beginning.
    """
    place = _place_of(after)
    pause, was_there = _FIRST_PAUSE, False
    async with Relay(store) as relay:
        while True:
            try:
                async with relay.subscribe(run_id, place) as events:
                    was_there = True
                    async for event in events:
                        pause, place = _FIRST_PAUSE, event.id or place
                        listener.hear(event)
            except StoreUnavailableError as error:
                if not was_there:
                    raise
                listener.worry(f"{error.detail or 'the store does not answer'}; trying again")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return events.outcome


async def follow_url(url: str, headers: Mapping[str, str], after: str | None, listener: Listener) -> Outcome | None:
    """
    Follow a stream over HTTP to its end; once it was there, through cuts, too.

    Raises:
        UserError: What it needs is not installed, or the server cannot be reached from the beginning.
        SSERelayError: As the client says.
    """
    require("httpx2", "client")
    import httpx2  # noqa: PLC0415 - runs of a store are followed without it

    from sse_relay.client import ConnectionLostError, connect  # noqa: PLC0415

    sent, place = dict(headers), _place_of(after)
    retries: int | None = 0
    try:
        with _worries(listener):
            while True:
                async with connect(url, headers=sent, after=place, max_retries=retries) as events:
                    try:
                        async for event in events:
                            listener.hear(event)
                    except ConnectionLostError as error:
                        why = str(error.original) or type(error.original).__name__
                        if not listener.heard:
                            raise UserError(f"no stream: {why}") from error
                        if events.last_id is None:
                            raise UserError(f"the stream was cut, and has no ids to go on after: {why}") from error
                        listener.worry(f"the stream was cut ({why}); connecting again")
                        place, retries = events.last_id, None
                    else:
                        return events.outcome
    except httpx2.InvalidURL as error:
        raise UserError("that is no URL: write https://host/path", Exit.MISUSED) from error
    except httpx2.HTTPError as error:
        raise UserError(f"no stream: {error}") from error


def _place_of(after: str | None) -> str | int | None:
    return int(after) if after is not None and after.isascii() and after.isdigit() and len(after) <= _DIGITS else after


@contextmanager
def _worries(listener: Listener) -> Generator[None]:
    """Let the listener hear what the client logs."""
    handler = _Worries(listener)
    level = _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.setLevel(level)
        _logger.removeHandler(handler)


class _Worries(logging.Handler):
    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        self._listener.worry(record.getMessage())
