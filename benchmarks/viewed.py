"""
One run and the many who view it, over uvicorn: the process that serves them.

Its run is silent, or yields an event at each beat of a pace; the bare application does the same with a run of its own.
``python -m benchmarks.viewed FD NAME STORE RATE VIEWERS TRACED`` serves it on a socket that is open already.
"""

import asyncio
import gc
import os
import resource
import sys
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

from benchmarks.servers import BARE, HEADERS, Address, App, Message, Receive, Send, answering, listen, spawned
from sse_relay import MemoryStore, Relay, ServerSentEvent
from sse_relay.adapters.asgi import EventStreamResponse, relay_app
from sse_relay.stores.redis import RedisStore

__all__ = ["PATH", "RESPONSE", "ROUTES", "STAMP", "Case", "allowed", "viewed"]

RESPONSE = "EventStreamResponse(subscription)"
ROUTES = "relay_app"
RUN_ID = "crowded"
PATH = f"/runs/{RUN_ID}/events"
STAMP = 18
"""The digits of the time at which an event was made, which is all that its text is."""

_EPOCH = "0123456789abcdef"
_STATM = Path("/proc/self/statm")
_SPARE = 100  # descriptors for what is no connection


@dataclass(frozen=True, slots=True)
class Case:
    """
    How a run is served.

    Attributes:
        name: By which application.
        in_redis: Whether it is kept in Redis.
    """

    name: str
    in_redis: bool = False

    def __str__(self) -> str:
        return self.name if self.name == BARE else f"{self.name}, {'RedisStore' if self.in_redis else 'MemoryStore'}"

    def store(self, redis: str) -> str:
        """Tell the URL of its store, if that is the one of Redis; nothing for memory."""
        return redis if self.in_redis else ""


def viewed(
    name: str, viewers: int, *, store: str = "", rate: float = 0, traced: bool = False
) -> AbstractContextManager[Address]:
    """Serve in a process of its own; 0 events a second are a silent run, and no URL of a store is memory."""
    backlog = max(128, viewers)
    return spawned("benchmarks.viewed", name, store, rate, viewers, int(traced), backlog=backlog)


def allowed(viewers: int) -> int:
    """Allow this process a descriptor for each viewer; tell for how many the system lets it have one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = viewers + _SPARE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(viewers, wanted - _SPARE)


async def paced(rate: float) -> AsyncGenerator[ServerSentEvent, None]:
    """Yield an event at each beat, which says when; at no pace, none."""
    start = monotonic()
    beat = 0
    while rate:
        beat += 1
        await asyncio.sleep(max(start + beat / rate - monotonic(), 0))
        yield ServerSentEvent(f"{monotonic():0{STAMP}.6f}", event="text")
    await asyncio.Event().wait()


class _Bare:
    """Send what one loop makes to all who have come: the least that anybody would write."""

    def __init__(self, rate: float) -> None:
        self._source = paced(rate)
        self._news = asyncio.Event()
        self._frame = b""
        self._producing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        del scope, receive
        if self._producing is None:
            self._producing = asyncio.create_task(self._produce())
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
        while True:
            await self._news.wait()
            await send({"type": "http.response.body", "body": self._frame, "more_body": True})

    async def _produce(self) -> None:
        number = 0
        async for event in self._source:
            number += 1
            self._frame = event.replace(id=f"{_EPOCH}:{number}").encode()
            self._news.set()
            self._news = asyncio.Event()


async def _silent(scope: Message, receive: Receive, send: Send) -> None:
    """Send a comment, and wait for the client to leave: the least that a viewer of nothing holds."""
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def _application(name: str, url: str, rate: float) -> AsyncIterator[App]:
    if name == BARE:
        yield _Bare(rate) if rate else _silent
        return
    redis = RedisStore.from_url(url) if url else None
    try:
        async with Relay(redis or MemoryStore()) as relay:
            await relay.start(paced(rate), run_id=RUN_ID)
            yield relay_app(relay, authorize=lambda _: True) if name == ROUTES else _showing(relay)
    finally:
        if redis is not None:
            await redis.aclose()


def _showing(relay: Relay) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await EventStreamResponse(relay.subscribe(RUN_ID))(scope, receive, send)

    return app


class _Counted:
    """An application that knows how many view."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.viewers = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.viewers += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.viewers -= 1


def _memory() -> int:
    """Tell what Python has allocated, if that is traced; else the process's resident memory, or at least its peak."""
    gc.collect()
    if tracemalloc.is_tracing():
        return tracemalloc.get_traced_memory()[0]
    if _STATM.exists():
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def _main(number: int, name: str, url: str, rate: float) -> None:
    async with _application(name, url, rate) as app:
        counted = _Counted(app)
        questions = {"/viewers": lambda: counted.viewers, "/memory": _memory, "/cpu": process_time}
        await listen(answering(counted, questions), number)


if __name__ == "__main__":
    allowed(int(sys.argv[5]))
    if int(sys.argv[6]):
        tracemalloc.start()
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
