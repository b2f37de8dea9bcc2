"""
A relay behind a gateway that does its worst to each answer: in memory for a virtual clock, on sockets for a real one.

A fault is a coroutine that is given a `Visit`: one request, the relay's answer to it, and the wire to the client. When
it returns, the answer ends in order; `Cut` and `Truncated` break it.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sse_relay import Relay
from sse_relay.stores.protocol import RunInfo
from tests.adapters.sources import play


class Cut(Exception):  # noqa: N818 - not an error of ours
    """The connection is reset."""


class Truncated(Exception):  # noqa: N818 - not an error of ours
    """The connection is closed in the middle of a chunk."""


class Visit(ABC):
    """
    One request, as a fault sees it.

    Attributes:
        number: Which one of the gateway's, from 1.
        path: What it asks for, with its query.
        last_id: Its `Last-Event-ID`.
    """

    def __init__(self, number: int, path: str, last_id: str | None) -> None:
        self.number = number
        self.path = path
        self.last_id = last_id

    @abstractmethod
    def rest(self) -> AsyncGenerator[bytes]:
        """Ask the relay; read the body of its answer, piece by piece."""

    @abstractmethod
    async def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        """Answer."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write some of the body."""

    async def forward(self) -> None:
        """Answer as the relay does."""
        await self.head()
        async for piece in self.rest():
            await self.write(piece)


Fault = Callable[[Visit], Awaitable[None]]


def open_files() -> int:
    """Count what this process has open, sockets among them."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def silence() -> None:
    """Say nothing more, and do not close."""
    await asyncio.Event().wait()


@dataclass
class Gateway:
    """
    What a client talks to.

    Attributes:
        url: Where the run's events are.
        fault: What happens to each answer.
        visits: Each request for the run's events.
        open: How many requests are being answered.
        options: How a client is to read: on a virtual clock with its own defaults, on a real one with less patience.
    """

    url: str
    fault: Fault
    options: dict[str, Any]
    visits: list[Visit] = field(default_factory=list[Visit])
    open: int = 0

    async def answer(self, visit: Visit) -> None:
        """Answer a request for the events; anything else is the relay's."""
        self.open += 1
        try:
            await self._answer(visit)
        finally:
            self.open -= 1

    async def _answer(self, visit: Visit) -> None:
        if visit.path.partition("?")[0].endswith("/events"):
            self.visits.append(visit)
            visit.number = len(self.visits)
            await self.fault(visit)
        else:
            await visit.head(content_type="application/json")
            async for piece in visit.rest():
                await visit.write(piece)


class Ground(Protocol):
    """Where a gateway stands."""

    def __call__(self, fault: Fault, *script: object) -> AbstractAsyncContextManager[Gateway]:
        """Start a run by a script, and a gateway before it."""
        ...


async def begin(relay: Relay, script: tuple[object, ...]) -> RunInfo:
    """Start a run; one without silences is at its end."""
    run = await relay.start(play(*script))
    if not any(isinstance(step, float) for step in script):
        await relay.wait(run.id)
    return run
