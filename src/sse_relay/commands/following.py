"""Where the events of a stream come from: a run in a store, or a URL."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from sse_relay.commands.exits import Exit, UserError, require
from sse_relay.exceptions import ConnectionLostError, StoreUnavailableError
from sse_relay.outcome import Outcome
from sse_relay.runs.relay import Relay
from sse_relay.stores.protocol import StreamStore
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Listener", "follow_run", "follow_url", "is_url"]

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

    from sse_relay.client import connect  # noqa: PLC0415
    from sse_relay.client.find import outcome_at  # noqa: PLC0415
    from sse_relay.client.transport import make_client  # noqa: PLC0415

    client = make_client()
    events = connect(
        url,
        headers=headers,
        client=client,
        after=_place_of(after),
        fail_fast=True,
        on_retry=lambda error, seconds: _worry(error, seconds, listener, events.last_id),
    )
    try:
        async with events:
            async for event in events:
                listener.hear(event)
        return events.outcome or await outcome_at(client, url, headers)
    except ConnectionLostError as error:
        raise UserError(f"no stream: {_words(error.original)}") from error
    except httpx2.InvalidURL as error:
        raise UserError("that is no URL: write https://host/path", Exit.MISUSED) from error
    except httpx2.HTTPError as error:
        raise UserError(f"no stream: {_words(error)}") from error
    finally:
        await client.aclose()


def _worry(error: Exception, seconds: float, listener: Listener, last_id: str | None) -> None:
    """Let the listener hear why nothing comes; nobody goes on in a stream that cannot say where it was."""
    if listener.heard and last_id is None:
        raise UserError(f"the stream was cut, and has no ids to go on after: {_words(error)}")
    listener.worry(f"the stream was cut ({_words(error)}); connecting again in {seconds:.0f} s")


def _words(error: Exception) -> str:
    """Say what happened, without the advice to a programmer."""
    return str(error).partition(";")[0] or type(error).__name__


def _place_of(after: str | None) -> str | int | None:
    return int(after) if after is not None and after.isascii() and after.isdigit() and len(after) <= _DIGITS else after
