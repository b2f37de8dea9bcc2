"""Many processes on one server, and a fault a second; then everything is held against everything else."""

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sse_relay import Relay
from tests.processes.child import Child
from tests.processes.faults import Fault, Faults, schedule
from tests.processes.server import KeptServer
from tests.processes.story import Story, judge
from tests.processes.trail import Trail
from tests.processes.wire import Wire, wire
from tests.stores.redis.waiting import eventually

_PRODUCERS, _RUNS = 3, 4
_VIEWERS = 3
_MOST_VIEWS = 9  # of a run


class Member:
    """One process and its wire; killed, another one takes its place."""

    def __init__(self, soak: "Soak", program: str, number: int, laid: Wire, url: str) -> None:
        self.wire = laid
        self.name = f"{program} {number}"
        self.child: Child
        self._soak = soak
        self._program = program
        self._url = url
        self._born = 0

    async def start(self) -> None:
        """Start it."""
        self._born += 1
        args = [self._url, self._soak.prefix, f"{self._soak.lease}"]
        if self._program == "producer":
            args += [f"{self._soak.seed} {self.name}.{self._born}", f"{_RUNS}"]
        self.child = await Child.start(self._program, *args, heard=lambda told: self._soak.hear(self.name, told))

    async def replace(self) -> None:
        """Kill it, and start another one in its place."""
        self._soak.complain(self.name, await self.child.kill())
        await self.start()


@dataclass
class _View:
    """Where one viewer is."""

    trail: Trail
    at: str


class Soak:
    """
    One soak.

    Args:
        server: The server.
        prefix: What names begin with.
        seed: What the faults and runs are drawn from.
        lease: How long a producer may be silent, in seconds.

    Attributes:
        counts: What happened, and how often.
    """

    def __init__(self, server: KeptServer, prefix: str, seed: int, lease: float) -> None:
        self.seed = seed
        self.lease = lease
        self.prefix = prefix
        self.counts: Counter[str] = Counter()
        self._server = server
        self._random = Random(seed)
        self._producers: list[Member] = []
        self._viewers: list[Member] = []
        self._stories: dict[str, Story] = {}
        self._views: dict[int, _View] = {}
        self._wrong: list[str] = []
        self._faults: list[str] = []
        self._began = time.monotonic()

    async def run(self, seconds: float, finish: float) -> None:
        """Let faults happen for so long; then everything has to end in its time, and to fit together."""
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sse"))
            for program, those, many in (
                ("producer", self._producers, _PRODUCERS),
                ("viewer", self._viewers, _VIEWERS),
            ):
                for number in range(many):
                    path = str(Path(folder) / f"{program}{number}")
                    laid = await stack.enter_async_context(wire(path, self._server.socket))
                    those.append(Member(self, program, number, laid, f"unix://{path}"))
            members = [*self._producers, *self._viewers]
            try:
                await asyncio.gather(*[member.start() for member in members])
                async with asyncio.timeout(finish):
                    await eventually(lambda: len(self._stories) >= _PRODUCERS * _RUNS)
                await self._strike(schedule(self._random, seconds))
                await self._finish(finish)
            finally:
                for member in members:
                    self.complain(member.name, await member.child.kill())
            self.counts["connections cut"] = sum(member.wire.cuts for member in members)
            self.counts["wake-ups dropped"] = sum(member.wire.dropped for member in members)
        await self._judge(finish)

    def hear(self, name: str, told: dict[str, Any]) -> None:
        """Take what a process says."""
        match told:
            case {"acked": run, "offset": offset}:
                story = self._story(run)
                story.acked = max(story.acked, offset)
            case {"started": run}:
                self._note(run, f"started by {name}")
                self._send_viewers(run)
            case {"yielded": run, "count": count}:
                self._story(run).yielded = count
            case {"ended": run, "outcome": outcome}:
                self._note(run, f"ended by {name}: {outcome}")
                self._story(run).ended.append(outcome)
            case {"viewer": viewer, "how": how, "trail": trail}:
                self._viewed(viewer, how, Trail(**trail))
            case {"cancelled": run, "how": how}:
                self._note(run, f"cancelled by {name}: {how}")
                self.counts["cancels"] += 1
                self._check(how, f"cancel of {run}")
            case {"answer": answer}:
                self.counts[f"append {answer}"] += 1
            case _:
                self._wrong.append(f"{name} said {told}")

    def complain(self, name: str, complaint: str) -> None:
        """Take what a process wrote where nothing should be written."""
        if complaint:
            self._wrong.append(f"{name} complained at {self._now()}: {complaint}")

    def _send_viewers(self, run: str) -> None:
        for _ in range(self._random.randint(_MOST_VIEWS // 2, _MOST_VIEWS)):
            viewer = len(self._views)
            self._views[viewer] = _View(Trail(run), "")
            self._view(viewer, delay=self._random.choice([0, 0, self._random.uniform(0, 3)]))
        if self._random.random() < 0.15:
            canceller = self._random.choice(self._viewers)
            asyncio.get_running_loop().call_later(self._random.uniform(0, 3), lambda: canceller.child.tell(cancel=run))

    def _view(self, viewer: int, delay: float = 0.0) -> None:
        view, member = self._views[viewer], self._random.choice(self._viewers)
        self.counts["resumes in another process"] += view.at not in {"", member.name}
        view.at = member.name
        most = self._random.choice([20, 200, 1000])
        member.child.tell(viewer=viewer, trail=view.trail.told(), most=most, delay=delay)

    def _viewed(self, viewer: int, how: str, trail: Trail) -> None:
        view = self._views[viewer]
        view.trail = trail
        self._note(trail.run, f"viewer {viewer} in {view.at}: {how} at {trail.cursor}")
        if how == "ended":
            self._story(trail.run).trails[viewer] = trail
            self.counts["deliveries"] += trail.seen
        elif how in {"dropped", "cut"}:
            self.counts[f"resumes, {how}"] += 1
            self._view(viewer, delay=0.1)
        self._check(how, f"viewer {viewer} of {trail.run}")

    async def _strike(self, planned: list[Fault]) -> None:
        faults = Faults(self._server, self._producers, self._viewers, self.lease)
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in planned:
                await asyncio.sleep(max(0.0, self._began + fault.at - time.monotonic()))
                self._faults.append(str(fault))
                self.counts[f"fault: {fault.kind}"] += 1
                group.create_task(faults.strike(fault))

    async def _finish(self, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                for member in self._producers:
                    member.child.tell(stop=True)
                for member in self._producers:
                    self.complain(member.name, await member.child.over())
                await eventually(lambda: all(view.trail.outcome for view in self._views.values()))
                for member in self._viewers:
                    self.complain(member.name, await member.child.over())
        except TimeoutError:
            late = {view.trail.run for view in self._views.values() if not view.trail.outcome}
            self._wrong += [f"not over after {within} s: {run} {self._story(run).lines}" for run in late]
            self._wrong.append(f"not over after {within} s; {len(late)} runs have not ended for all who view them")

    async def _judge(self, within: float) -> None:
        store = self._server.store(self.prefix)
        async with Relay(store, lease=self.lease) as relay:
            try:
                async with asyncio.timeout(within):
                    wrong, outcomes = await judge(relay, self._stories)
                self._wrong += wrong
                self.counts.update({f"runs {outcome}": times for outcome, times in outcomes.items()})
            except TimeoutError:
                self._wrong.append(f"could not be replayed in {within} s: some run never ends")
        await store.aclose()
        report = "\n".join([*self._wrong, *self._faults, f"SSE_RELAY_SEED={self.seed}"])
        assert not self._wrong, f"{len(self._wrong)} wrongs\n{report}"

    def _story(self, run: str) -> Story:
        return self._stories.setdefault(run, Story())

    def _note(self, run: str, what: str) -> None:
        self._story(run).lines.append(f"{self._now()} {what}")

    def _check(self, how: str, whose: str) -> None:
        if how.startswith("wrong"):
            self._wrong.append(f"{whose} at {self._now()}: {how}")

    def _now(self) -> str:
        return f"{time.monotonic() - self._began:.3f} s"
