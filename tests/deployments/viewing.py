"""Runs whose content is known, and viewers that come back from whatever breaks them off."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from sse_relay import CursorMismatchError, Relay, RunNotFoundError, StoreUnavailableError

_PAUSE = 0.01  # seconds

Told = TypeVar("Told")


async def numbers(enough: asyncio.Event) -> AsyncIterator[str]:
    """Count until it is enough: the record at offset k says k."""
    number = 0
    while not enough.is_set():
        number += 1
        yield str(number)
        await asyncio.sleep(_PAUSE)


@dataclass
class View:
    """
    One viewer of one run.

    Attributes:
        run_id: The run.
        seen: The id and the data of each record, but for the end.
        times: When each was seen.
        refused: Why its last id was refused, each time.
        status: How the run ended; None: its end was not seen.
        over: Whether it sees no more.
    """

    run_id: str
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    status: str | None = None
    over: bool = False

    async def follow(self, relay: Relay) -> None:
        """See the run to its end; a viewer whose last id is refused asks again until the run has ended."""
        while self.status is None:
            try:
                await self._subscribe(relay)
            except StoreUnavailableError:
                await asyncio.sleep(_PAUSE)
            except RunNotFoundError:
                self.refused.append("gone")
                break
            except CursorMismatchError as error:
                self.refused.append(error.kind)
                if (await persistently(lambda: relay.info(self.run_id))).outcome is not None:
                    break
                await asyncio.sleep(_PAUSE)
        self.over = True

    def check(self) -> None:
        """I1: each record was seen once, in order, and it is what the source yielded."""
        epoch = str(self.seen[0][0]).partition(":")[0]
        assert [tuple(each) for each in self.seen] == [(f"{epoch}:{k}", str(k)) for k in range(1, len(self.seen) + 1)]

    @property
    def silence(self) -> float:
        """The longest time between two records."""
        return max(later - earlier for earlier, later in pairwise(self.times))

    async def _subscribe(self, relay: Relay) -> None:
        async with relay.subscribe(self.run_id, self.seen[-1][0] if self.seen else None) as events:
            async for event in events:
                if event.outcome is not None:
                    self.status = event.outcome.status
                else:
                    self.seen.append((event.id, event.data))
                    self.times.append(time.monotonic())


async def persistently(ask: Callable[[], Awaitable[Told]]) -> Told:
    """Ask until the store answers."""
    while True:
        try:
            return await ask()
        except StoreUnavailableError:
            await asyncio.sleep(_PAUSE)
