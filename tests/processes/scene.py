"""What is there when a process of ours appears: nothing, a run whose producer is dead, or one that goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sse_relay import Relay, RunNotFoundError, ServerSentEvent
from sse_relay.runs.producer import seal_of
from sse_relay.runs.reaper import LOST
from sse_relay.runs.source import RunContext
from sse_relay.stores.protocol import Opening
from sse_relay.stores.redis import RedisStore
from sse_relay.wire.encoder import frame
from tests.processes.roles import Task
from tests.processes.server import KeptServer
from tests.processes.story import replayed
from tests.processes.trail import Trail, text
from tests.stores.redis.waiting import eventually

EVENTS = 2  # of a run that is there already
KEY = "a key"
LATE = 2.0  # seconds after a lease within which whoever looks knows that a producer is dead


class Scene:
    """
    One prefix, a relay of the parent's, and perhaps a run.

    Args:
        store: The store.
        lease: How long a producer of the task's may be silent, in seconds.

    Attributes:
        relay: The parent's.
        run: The run.
        let_go: Lets a live run complete.
        looks_on: Whether the relay is open.
        within: How long it takes at most until whoever died is known to be dead, in seconds.
    """

    def __init__(self, store: RedisStore, lease: float) -> None:
        self.relay = Relay(store, lease=10 * lease)  # the parent is no subject here, and may be slow
        self.run = store.new_run_id(KEY)
        self.let_go = asyncio.Event()
        self.looks_on = False
        self.within = lease + LATE
        self._store = store
        self._watching: asyncio.Task[Trail] | None = None

    async def look_on(self) -> None:
        """Open the relay, if it is not."""
        if not self.looks_on:
            self.looks_on = True
            await self.relay.__aenter__()

    async def orphan(self, lease: float) -> None:
        """Let there be a run whose producer is silent from now on."""
        self.within = lease + LATE
        opening = Opening(lease, seal_of(LOST), seal_of(LOST), run_id=self.run, key=KEY)
        opened = await self._store.open(opening)
        assert opened.grant is not None
        frames = [frame(ServerSentEvent(text(self.run, number))) for number in range(1, EVENTS + 1)]
        await self._store.append(opened.grant, 1, frames)

    async def lapsed(self) -> None:
        """Wait until its lease has passed."""

        async def is_lapsed() -> bool:
            return self.run in await self._store.lapsed()

        await eventually(is_lapsed)

    async def live(self) -> None:
        """Let there be a run that goes on until it is let go."""

        async def source(context: RunContext) -> AsyncGenerator[str, None]:
            for number in range(1, EVENTS + 1):
                yield text(context.run_id, number)
            await self.let_go.wait()

        await self.relay.start(source, run_id=self.run, key=KEY)

        async def is_there() -> bool:
            return (await self.relay.info(self.run)).last_offset == EVENTS

        await eventually(is_there)

    def watch(self) -> asyncio.Task[Trail]:
        """View the run from when it is there until its end."""
        self._watching = asyncio.create_task(self._watch())
        return self._watching

    async def leave(self) -> None:
        """Look on no more."""
        if self._watching is not None:
            self._watching.cancel()
        await self.relay.drain(0)
        await self._store.aclose()

    async def _watch(self) -> Trail:
        while True:
            try:
                return await replayed(self.relay, self.run)
            except RunNotFoundError:
                await asyncio.sleep(0.01)

    async def all_seen(self) -> dict[str, Trail]:
        """View the run, and the latest one of its key, to their ends."""
        trails = dict[str, Trail]()
        latest = await self.relay.latest(KEY)
        for run in {self.run, self.run if latest is None else latest.id}:
            with suppress(RunNotFoundError):
                trails[run] = await replayed(self.relay, run)
        return trails


@asynccontextmanager
async def scene(server: KeptServer, task: Task) -> AsyncGenerator[Scene, None]:
    """Set what the task is to find; the parent looks on, but where it would do itself what the task is to do."""
    store = server.store(task.prefix)
    here = Scene(store, task.lease)
    match task.role:
        case "reap" | "sweep" | "start":
            await here.orphan(0.2)
            await here.lapsed()
            here.within = task.lease + LATE  # of the process that dies now
        case "cancel" if task.call in {"look", "end"}:
            await here.orphan(2 * task.lease)
        case "cancel" | "replace":
            await here.look_on()
            await here.live()
        case _:
            await here.look_on()
    try:
        yield here
    finally:
        await here.leave()
