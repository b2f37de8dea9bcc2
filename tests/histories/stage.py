"""Two processes on one recorded store, what may be done with them, and what has to hold then."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import Any

from sse_relay import (
    Cursor,
    CursorMismatchError,
    DrainingError,
    IdempotencyConflictError,
    Relay,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
    StoreUnavailableError,
)
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import History
from tests.histories.ground import Ground
from tests.histories.world import END, LEASE, Fault, Process, Script, View

REFUSALS = (
    DrainingError,
    IdempotencyConflictError,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
    StoreUnavailableError,
    TimeoutError,
)
OURS = {"log_full", "store_unavailable"}  # why a run fails though its source has not
CALLS: dict[str, Callable[[Relay, str], Awaitable[object]]] = {
    "active": lambda relay, _: relay.active("a"),
    "cancel": lambda relay, run_id: relay.cancel(run_id),
    "cancel at once": lambda relay, run_id: relay.cancel(run_id, grace=0),
    "info": lambda relay, run_id: relay.info(run_id),
    "latest": lambda relay, _: relay.latest("b"),
    "wait": lambda relay, run_id: relay.wait(run_id),
    "wait a little": lambda relay, run_id: relay.wait(run_id, timeout=0.5),
}
FAULTS: dict[str, Fault] = {
    "deaf": lambda handle: handle.dropped_wakeups(),
    "frozen": lambda handle: handle.frozen(),
    "frozen for appends": lambda handle: handle.frozen("append"),
    "late": lambda handle: handle.late_wakeups(0.1),
    "late and at once": lambda handle: handle.late_wakeups(0.1, twice=True),
    "lossy": lambda handle: handle.lost_replies(times=2),
    "lossy appends": lambda handle: handle.lost_replies("append", times=3),
    "lossy opens": lambda handle: handle.lost_replies("open", times=1),
    "outage": lambda handle: handle.outage(),
    "outage of appends": lambda handle: handle.outage("append", "renew"),
    "outage of reads": lambda handle: handle.outage("read", "end"),
    "slow": lambda handle: handle.delays(0.3),
}
LATENCIES: dict[str, Fault] = {
    "a loop": lambda handle: handle.delays(0),
    "a millisecond": lambda handle: handle.delays(0.001),
    "any": lambda handle: handle.delays(partial(Random(1).choice, (0, 0.001, 0.03))),
    "none": lambda handle: handle.late_wakeups(0),
}


class Stage:
    """
    Two processes, their runs and their viewers.

    Args:
        ground: What they share.
        latencies: How long each process's way to the store takes.

    Attributes:
        ground: What they share.
        history: What has happened.
        processes: The two that are alive.
        dead: Those that have vanished.
        made: The sources of all runs that were asked for, by run id; a run may never have been made.
        viewers: All viewers that ever came.
        calls: The calls that are under way, and of which process.
        gone: The runs that were taken from the store, or forgotten by it.
        holed: The runs whose records were taken from the store.
    """

    def __init__(self, ground: Ground, *latencies: str) -> None:
        self.ground = ground
        self.history = History(trims=ground.trims)
        self.store = self.history.recorded(ground.store)
        self.latencies = [LATENCIES[latency] for latency in latencies]
        self.processes = [self._process(place) for place in range(len(latencies))]
        self.dead: list[Process] = []
        self.made: dict[str, Script] = {}
        self.viewers: list[View] = []
        self.calls: dict[asyncio.Task[None], Process] = {}
        self.gone: set[str] = set()
        self.holed: set[str] = set()

    async def open(self) -> None:
        """Open the relays."""
        for process in self.processes:
            await process.relay.__aenter__()

    def start(self, process: int, count: int, kind: str = "generator", **options: Any) -> str:
        """Ask for a run whose source has something to say at once."""
        script = Script(f"run-{len(self.made)}", kind)
        self.made[script.run_id] = script
        script.say(count)

        async def start(relay: Relay) -> None:
            info = await relay.start(script.source(), run_id=script.run_id, **options)
            assert info.joined or info.id == script.run_id, f"a start of {script.run_id} made {info}"

        self.call(process, start)
        return script.run_id

    def ask(self, process: int, run_id: str, what: str) -> None:
        """Ask a relay something of a run, and do not wait for the answer."""

        async def ask(relay: Relay) -> None:
            answer = await CALLS[what](relay, run_id)
            if what.startswith("cancel"):
                assert isinstance(answer, RunInfo)
                assert answer.outcome is not None, f"L3: a run that was cancelled has not ended: {answer}"

        self.call(process, ask)

    def call(self, process: int, call: Callable[[Relay], Awaitable[object]]) -> None:
        """Call a relay, in a task."""

        async def asked() -> None:
            with suppress(*REFUSALS):
                await call(there.relay)

        there = self.processes[process]
        self.calls[asyncio.create_task(asked())] = there

    async def enter(self, view: View, process: int, after: Cursor | str | int | None) -> None:
        """Let a viewer come, or try to."""
        with suppress(*REFUSALS, CursorMismatchError):
            view.process = self.processes[process]
            await view.enter(self.history.subscribe(self.processes[process].relay, view.run_id, after))

    async def join(
        self, process: int, run_id: str, after: int | None, *, named: bool = False, native: bool = False
    ) -> View:
        """Let a viewer come: from the beginning, from an offset, or with a cursor that somebody has remembered."""
        self.viewers.append(view := View(run_id, native=native))
        log = self.history.log(run_id)
        place = after and after % (len(log) + 1)
        await self.enter(view, process, log[place - 1].cursor if named and place else place)
        return view

    async def join_wrongly(self, process: int, run_id: str, other: str) -> None:
        """Let viewers come with a cursor that is beyond, and with one of another run."""
        cursors = [Cursor(log[0].epoch, 10_000) for log in [self.history.log(run_id)] if log]
        cursors += [log[-1].cursor for log in [self.history.log(other)] if log and other != run_id]
        for cursor in cursors:
            view = View(run_id)
            await self.enter(view, process, cursor)
            assert view.subscription is None, f"I11: {cursor} was taken for a place of {run_id}"

    async def read(self, view: View, count: int, patience: float) -> None:
        """Let a viewer read on, and be nudged, and cancelled, when its patience is over."""
        if view.reading is None:
            if view.native and view.subscription is not None:
                asyncio.get_running_loop().call_later(patience / 2, view.subscription.subscription.nudge)
            with suppress(TimeoutError), self._refusals(view):
                async with asyncio.timeout(patience):
                    await view.read(count)

    def begin_to_read(self, view: View) -> None:
        """Let a viewer read while other things happen."""

        async def read() -> None:
            with self._refusals(view):
                await view.read(10_000)

        if view.reading is None:
            view.reading = asyncio.create_task(read())

    def disturb(self, process: int, what: str) -> None:
        """Let a fault of a process begin; it has one of a kind."""
        self.processes[process].fault(what.partition(" ")[0], FAULTS[what])

    def heal(self, process: int, which: int | None = None) -> None:
        """Let one of its faults end, or all of them."""
        faults = self.processes[process].faults
        self.processes[process].heal(None if which is None or not faults else faults[which % len(faults)])

    async def vanish(self, process: int) -> None:
        """Let a process die, and another one be started in its place."""
        self.processes[process].vanish()
        self.dead.append(self.processes[process])
        another = self._process(process)
        await another.relay.__aenter__()
        self.processes[process] = another

    async def drain(self, process: int, grace: float) -> None:
        """Drain a relay, and open it again."""
        there, loop = self.processes[process], asyncio.get_running_loop()
        began = loop.time()
        await there.relay.drain(grace)
        assert loop.time() <= began + max(grace, 0.5) + self.ground.slack, "L8: the drain took longer than its grace"
        there.heal()
        await there.relay.__aenter__()

    async def check(self) -> None:
        """Check what has to hold at every instant."""
        self.history.check()
        for call in [call for call in self.calls if call.done()]:
            del self.calls[call]
            if not call.cancelled():
                call.result()
            else:
                assert call.cancelling(), f"I9: {call!r} was cancelled by nobody"
        active = Counter(info.key for info in await self.ground.running(self.made) if info.key is not None)
        assert not active or max(active.values()) == 1, f"§1.7: a key has more than one active run: {active}"

    async def end(self) -> None:
        """Heal everything, let time pass, and check that all ends as it should."""
        for process in [*self.processes, *self.dead]:
            process.heal()
        await asyncio.sleep(LEASE + 2)
        for script in self.made.values():
            script.stubborn = False
            script.tell(END)
        await asyncio.sleep(30)
        assert not await self.ground.running(self.made), "§1.1: a run has not ended"
        for call, process in self.calls.items():
            assert call.done() or process.vanished, f"{call!r} hangs"
            call.cancel()
        await asyncio.sleep(0)
        for view in self.viewers:
            await self._see_all(view)
        for process in [*self.processes, *self.dead]:
            await process.relay.drain(0)
        await self.ground.clear()
        told = sum((process.told for process in [*self.processes, *self.dead]), Counter[tuple[str, bool]]())
        assert not told or max(told.values()) == 1, f"row B9: a transition was told twice: {told}"
        infos = {info.id: info async for info in self.store.runs()}
        for script in self.made.values():
            await self._check_log(script, infos.get(script.run_id))
        await self.check()

    @contextmanager
    def _refusals(self, view: View) -> Generator[None]:
        """A reader may always hear that the store does not answer, and that there is no run only if it is gone."""
        try:
            yield
        except StoreUnavailableError:
            pass
        except (RunNotFoundError, RunExpiredError) as refusal:
            if view.run_id not in self.gone:
                raise AssertionError(f"I7: {view.run_id} is there, and its viewer was told something else") from refusal

    def _process(self, place: int) -> Process:
        return Process(self.history.recorded(self.ground.process(place)), self.latencies[place])

    async def _see_all(self, view: View) -> None:
        """A viewer that is there reads on to the end; one that has left, or whose relay is gone, comes back."""
        if view.began is None:
            return
        await view.stop_reading()
        with self._refusals(view):
            if not await view.read_to_the_end():
                assert view.process in self.dead, f"a viewer of {view.run_id} hangs at {view.place}"
        if view.run_id in self.gone:
            await self.enter(view, 0, view.place)
            assert view.subscription is None, f"I7: {view.run_id} is gone, and somebody views it"
            return
        if view.subscription is None or view.subscription.outcome is None:
            view.process = self.processes[0]
            await view.enter(self.history.subscribe(view.process.relay, view.run_id, view.place))
            assert await view.read_to_the_end(), f"a viewer of {view.run_id} hangs at {view.place}"
        assert view.subscription is not None
        assert view.subscription.outcome is not None, f"a viewer of {view.run_id} has no outcome"
        first, log = await self._log(view.run_id)
        if "gap" in view.seen or view.run_id in self.holed:
            seen = [text for text in view.seen if text != "gap"]
            assert _in_order(seen, [*self.made[view.run_id].said, "end"]), f"I1: a viewer has seen {view.seen}"
        else:
            missing = first - 1 - view.began  # of what it has seen, trimmed since
            assert view.seen[max(missing, 0) :] == log[max(-missing, 0) :], f"I1: {view.run_id} from {view.began} on"
        await view.leave()

    async def _log(self, run_id: str) -> tuple[int, list[str]]:
        """Read a whole log, on small pages, and tell where it begins and what it says."""
        said: list[str] = []
        after: Cursor | None = None
        first = 0
        while True:
            page = await self.store.read(run_id, after, limit=30)
            first = first or page.first
            said += [frame.decode().removeprefix("data: ").strip() for frame in page.frames]
            if page.last >= page.info.last_offset:
                return first, [*said[:-1], "end"]
            after = Cursor(page.epoch, page.last)

    async def _check_log(self, script: Script, info: RunInfo | None) -> None:
        owned = script.given if script.kind == "generator" else script.opened
        assert script.closed or not owned, f"the source of {script.run_id} was not closed"
        if script.run_id in self.gone:
            assert info is None, f"I7: {info} is there again"
            return
        if info is None:
            assert not script.opened, "a source ran, and there is no run"
            return
        reason = None if info.outcome is None else info.outcome.reason
        assert info.status != "failed" or script.failed or reason in OURS, f"{info} failed, its source has not"
        assert reason != "rolled_back", f"the producer of {info} lost count"
        first, log = await self._log(script.run_id)
        if script.run_id in self.holed:
            assert _in_order(log[:-1], script.said), f"I5: the log of {info} is {log}"
            return
        said = script.said[first - 1 :]
        if info.status not in {"completed", "failed"} or reason in OURS:
            said = said[: len(log) - 1]
        assert log[:-1] == said, f"I5: the log of {info} is {log} from {first} on, and its source has said {said}"


def _in_order(some: list[str], texts: list[str]) -> bool:
    """Tell whether some texts are among others, in the same order."""
    rest = iter(texts)
    return all(text in rest for text in some)
