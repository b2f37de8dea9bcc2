"""Another process that produces runs, and views its own and others."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from sse_relay import Relay
from tests.deployments.sentinels import Place, store_at
from tests.deployments.viewing import View, numbers

_ROOT = Path(__file__).parents[2]


class Worker:
    """
    A process that works.

    Attributes:
        run_ids: What it produces.
    """

    def __init__(self, process: Process, run_ids: list[str]) -> None:
        self.run_ids = run_ids
        self._process = process

    def kill(self) -> None:
        """Kill it, with SIGKILL."""
        self._process.kill()

    async def finish(self) -> list[View]:
        """Let its sources end; tell what its viewers saw."""
        told, _ = await self._process.communicate(b"")
        return [View(**each) for each in json.loads(told)]


@asynccontextmanager
async def working(
    places: Sequence[Place], prefix: str, *, lease: float, produces: int, views: Sequence[str] = ()
) -> AsyncGenerator[Worker, None]:
    """Have a process that produces so many runs, and views them and others."""
    asked = json.dumps([places, prefix, lease, produces, views])
    command = [sys.executable, "-m", "tests.deployments.working", asked]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=_ROOT, limit=1 << 24)
    try:
        assert process.stdout is not None
        yield Worker(process, json.loads(await process.stdout.readline()))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def work(places: Sequence[Place], prefix: str, lease: float, produces: int, views: Sequence[str]) -> None:
    """Produce and view until standard input is closed and every run has ended."""
    enough = asyncio.Event()
    async with store_at(places, prefix) as store, Relay(store, lease=lease) as relay:
        run_ids = [(await relay.start(numbers(enough))).id for _ in range(produces)]
        sys.stdout.write(json.dumps(run_ids) + "\n")
        sys.stdout.flush()
        seen = [View(run_id) for run_id in [*run_ids, *views]]
        async with asyncio.TaskGroup() as group:
            for view in seen:
                group.create_task(view.follow(relay))
            await asyncio.to_thread(sys.stdin.read)
            enough.set()
    sys.stdout.write(json.dumps([asdict(view) for view in seen]))


if __name__ == "__main__":
    asyncio.run(work(*json.loads(sys.argv[1])))
