"""What a process does to runs until it dies: produce, reap, cancel, replace, or hang."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from sse_relay import Relay
from sse_relay.runs.source import RunContext
from sse_relay.stores.protocol import Appended, Ended, Grant, OnConflict, Opened, Seal, StreamStore
from sse_relay.stores.redis import RedisStore
from sse_relay.testing.handle import StoreHandle
from tests.processes.lines import errors_only, say
from tests.processes.trail import text

T = TypeVar("T")
Role = Literal["produce", "hold", "block", "reap", "sweep", "start", "replace", "cancel"]
_FOR_EVER = 3600.0


@dataclass(frozen=True)
class Task:
    """
    What a process is to do.

    Attributes:
        role: What.
        url: Where the server is.
        prefix: What names begin with.
        lease: How long it may be silent, in seconds.
        run: The run.
        key: Its key.
        events: How many events it has.
        call: At which call of the store to die, "append 2" being the one of record 2; none: at no call.
        moment: Before it is sent, or after it was answered.
        seconds: How long to hang, or the grace.
    """

    role: Role
    url: str
    prefix: str
    lease: float
    run: str = ""
    key: str | None = None
    events: int = 3
    call: str = ""
    moment: str = "before"
    seconds: float = 0.0


class Dying(StoreHandle):
    """
    A store whose process dies at one of its calls.

    Attributes:
        appended: Released whenever a record was appended.
        answers: The answers to all appends.
        grant: The right to produce.
    """

    def __init__(self, store: StreamStore, task: Task) -> None:
        super().__init__(store)
        self.appended = asyncio.Semaphore(0)
        self.answers: list[str] = []
        self.grant: Grant
        self._task = task
        self._last = 0

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records."""
        with self._dying(f"append {first_offset}"):
            appended = await super().append(grant, first_offset, frames, seal)
        self.answers.append(appended.answer.value)
        if first_offset > self._last:  # and not one that is asked again
            self._last = first_offset
            self.appended.release()
        return appended

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run, or look whether its producer is dead."""
        with self._dying("look" if lapsed_only else "end"):
            return await super().end(run_id, seal, lapsed_only=lapsed_only)

    async def _ask(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        with self._dying(operation if operation != "end" else "end, whatever it is for"):
            answer = await super()._ask(operation, ask)
        if isinstance(answer, Opened) and answer.grant is not None:
            self.grant = answer.grant
        return answer

    @contextmanager
    def _dying(self, call: str) -> Generator[None, None, None]:
        """Die before what is done here, or once it was answered."""
        here = call == self._task.call
        if here and self._task.moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        yield
        if here:
            os.kill(os.getpid(), signal.SIGKILL)


async def play(task: Task) -> None:
    """Do it."""
    errors_only()
    store = Dying(RedisStore.from_url(task.url, prefix=task.prefix), task)
    async with Relay(store, lease=task.lease) as relay:
        match task.role:
            case "produce" | "hold" | "block" | "start" | "replace":
                await _produce(relay, store, task)
            case "reap":
                await relay.info(task.run)
            case "sweep":
                await asyncio.sleep(_FOR_EVER)
            case "cancel":
                await relay.cancel(task.run, grace=task.seconds)
    await store.aclose()


async def _produce(relay: Relay, store: Dying, task: Task) -> None:
    async def source(context: RunContext) -> AsyncGenerator[str, None]:
        for number in range(1, task.events + 1):
            yield text(context.run_id, number)
            await store.appended.acquire()
        say(ready=os.getpid())
        if task.role == "hold":
            await asyncio.sleep(_FOR_EVER)
        if task.role == "block":
            time.sleep(task.seconds)  # noqa: ASYNC251 - that is the point
            yield "too late"

    on_conflict: OnConflict = "replace" if task.role == "replace" else "reject"
    info = await relay.start(source, run_id=task.run or None, key=task.key, on_conflict=on_conflict)
    outcome = await relay.wait(info.id)
    await _tell_zombie(store, info.id, outcome.status)


async def _tell_zombie(store: Dying, run_id: str, status: str) -> None:
    """Say what became of who was taken for dead, and whether its fence holds nothing back any more."""
    before = len(store.answers)
    with suppress(ConnectionError):
        info = await store.info(run_id)
        await store.append(store.grant, info.last_offset + 1, [b"data: too late\n\n"])
    say(zombie=os.getpid(), status=status, answers=store.answers[:before], last_answer=store.answers[-1])
