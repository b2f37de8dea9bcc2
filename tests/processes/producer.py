"""A process that produces runs at many speeds, until it is told to stop."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from random import Random

from sse_relay import ErrorCatalog, Relay, StoreUnavailableError
from sse_relay.runs.source import RunContext
from sse_relay.stores.protocol import Answer, Appended, Grant, RunInfo, Seal
from sse_relay.stores.redis import RedisStore
from sse_relay.testing.handle import StoreHandle
from tests.processes.lines import commands, errors_only, say
from tests.processes.trail import text

_KEYS = 5  # runs with a key are replaced by others, of other processes too
_DONE = {Answer.OK, Answer.DUPLICATE}


class PlannedError(Exception):
    """A source fails, as some do."""


ERRORS = ErrorCatalog()
ERRORS.register(PlannedError, "planned", "This was to happen.")


@dataclass(frozen=True)
class Plan:
    """
    What a run is to be like.

    Attributes:
        count: How many events it has.
        burst: How many of them come at once.
        pause: The time before each burst, in seconds.
        key: Its key.
        fails: Whether it raises at its end.
        timeout: The longest that it may take.
    """

    count: int
    burst: int
    pause: float
    key: str | None
    fails: bool
    timeout: float | None

    @classmethod
    def draw(cls, random: Random) -> "Plan":
        """Make one: even, in bursts, in one flood, or slow."""
        count, burst, pause = random.choice(
            [
                (random.randint(50, 400), 1, random.uniform(0.01, 0.04)),
                (random.randint(200, 900), random.randint(10, 60), random.uniform(0.1, 0.5)),
                (random.randint(200, 1500), 1500, 0.5),
                (random.randint(3, 12), 1, random.uniform(0.3, 1.0)),
            ]
        )
        key = f"key {random.randrange(_KEYS)}" if random.random() < 0.25 else None
        timeout = random.uniform(0.5, 4.0) if random.random() < 0.1 else None
        return cls(count, burst, pause, key, random.random() < 0.1, timeout)

    async def source(self, stop: asyncio.Event, context: RunContext) -> AsyncGenerator[str, None]:
        """Yield the events; when all is to stop, end early."""
        for number in range(1, self.count + 1):
            if number % self.burst == 1 % self.burst:
                await asyncio.sleep(self.pause)
                if stop.is_set():
                    say(yielded=context.run_id, count=number - 1)
                    return
            yield text(context.run_id, number)
        say(yielded=context.run_id, count=self.count)
        if self.fails:
            raise PlannedError


class Telling(StoreHandle):
    """A store whose answers are told before anybody here relies on them, and before this process is killed."""

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records."""
        appended = await super().append(grant, first_offset, frames, seal)
        if appended.answer is not Answer.OK:
            say(answer=appended.answer.value)
        if appended.answer in _DONE:
            say(acked=grant.run_id, offset=first_offset - 1 + len(frames) + (seal is not None))
        return appended


def told(info: RunInfo) -> None:
    """Tell of an end that this process made."""
    if info.outcome is not None:
        say(ended=info.id, outcome=[info.outcome.status, info.outcome.reason])


async def produce(relay: Relay, random: Random, stop: asyncio.Event) -> None:
    """Start one run after the other."""
    while not stop.is_set():
        plan = Plan.draw(random)
        try:
            run = await relay.start(
                partial(plan.source, stop), key=plan.key, on_conflict="replace", timeout=plan.timeout
            )
        except StoreUnavailableError:
            continue
        say(started=run.id)
        await over(relay, run.id)


async def over(relay: Relay, run_id: str) -> None:
    """Wait until a run has ended."""
    while True:
        try:
            await relay.wait(run_id)
        except StoreUnavailableError:
            await asyncio.sleep(0.1)
        else:
            return


async def main(url: str, prefix: str, lease: str, seed: str, runs: str) -> None:
    """Produce so many runs at a time."""
    errors_only()
    random, stop = Random(seed), asyncio.Event()
    store = Telling(RedisStore.from_url(url, prefix=prefix, probe=1.0))
    async with (
        Relay(store, lease=float(lease), errors=ERRORS, on_transition=told) as relay,
        asyncio.TaskGroup() as group,
        aclosing(commands()) as orders,
    ):
        for _ in range(int(runs)):
            group.create_task(produce(relay, Random(random.random()), stop))
        await anext(orders, None)
        stop.set()
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
