"""Two relays, many viewers, and everything that may happen to them, in any order."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sse_relay.testing import VirtualClockLoop
from tests.histories.ground import Ground
from tests.histories.stage import CALLS, FAULTS, LATENCIES, Stage
from tests.histories.world import END, LEASE, View
from tests.properties import examples

T = TypeVar("T")
STUBBORN = object()

PROCESSES = st.integers(0, 1)
ANY = st.integers(0, 4)
COUNTS = st.sampled_from((1, 0, 2, 5, 70))
PAUSES = st.sampled_from((0.0, 0.001, 0.02, 0.5, 2.0))
LATENCY = st.sampled_from(sorted(LATENCIES))


class TwoRelays(RuleBasedStateMachine):
    """What may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = self.clock()
        self.stage: Stage

    def clock(self) -> asyncio.AbstractEventLoop:
        """Make the loop that all of it happens in."""
        return VirtualClockLoop()

    async def ground(self) -> Ground:
        """Make what the processes share."""
        return Ground()

    async def go_on(self) -> None:
        """Let everybody go as far as they can without time."""
        for _ in range(5):
            await asyncio.sleep(0)

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something, and let what it has set off go on."""

        async def then() -> T:
            result = await work
            await self.go_on()
            return result

        return self.loop.run_until_complete(then())

    def do(self, act: Callable[[], object], pause: float = 0.0) -> None:
        """Do something in the loop, and let time pass."""

        async def work() -> None:
            act()
            await asyncio.sleep(pause)

        self.go(work())

    def run(self, which: int) -> str:
        """Pick a run, by its id: the newest is 0."""
        return list(self.stage.made)[-1 - which % len(self.stage.made)]

    def view(self, which: int) -> View:
        """Pick a viewer."""
        return self.stage.viewers[-1 - which % len(self.stage.viewers)]

    @initialize(here=LATENCY, there=LATENCY, count=COUNTS, process=PROCESSES)
    def begin(self, here: str, there: str, count: int, process: int) -> None:
        """Nothing is worth while without a run and a viewer."""

        async def begin() -> None:
            self.stage = Stage(await self.ground(), here, there)
            await self.stage.open()
            run_id = self.stage.start(0, count, key="a")
            await asyncio.sleep(0.1)
            await self.stage.join(process, run_id, None)

        self.go(begin())

    # Runs and their sources

    @rule(
        process=PROCESSES,
        count=COUNTS,
        kind=st.sampled_from(("generator", "callable", "awaitable")),
        key=st.sampled_from((None, "a", "b")),
        on_conflict=st.sampled_from(("replace", "join", "reject")),
        idempotency_key=st.sampled_from((None, None, "once")),
        limits=st.sampled_from(({}, {}, {"timeout": 2.0}, {"idle_timeout": 1.0})),
    )
    def start(self, process: int, count: int, kind: str, limits: dict[str, Any], **options: Any) -> None:
        self.do(lambda: self.stage.start(process, count, kind, **options, **limits))

    @rule(which=ANY, count=COUNTS, pause=PAUSES)
    def say(self, which: int, count: int, pause: float) -> None:
        self.do(lambda: self.stage.made[self.run(which)].say(count), pause)

    @rule(which=ANY, how=st.sampled_from((END, END, ValueError("secret"), asyncio.CancelledError(), STUBBORN)))
    def finish(self, which: int, how: object) -> None:
        script = self.stage.made[self.run(which)]
        if how is STUBBORN:
            script.stubborn = True
        else:
            self.do(lambda: script.tell(how))

    # Calls

    @rule(process=PROCESSES, which=ANY, what=st.sampled_from(sorted(CALLS)))
    def ask(self, process: int, which: int, what: str) -> None:
        self.do(lambda: self.stage.ask(process, self.run(which), what))

    @rule(which=ANY)
    def give_up(self, which: int) -> None:
        """Cancel a call that is under way."""
        if calls := list(self.stage.calls):
            self.do(calls[-1 - which % len(calls)].cancel)

    # Viewers

    @rule(process=PROCESSES, which=ANY, after=st.none() | st.integers(0, 80), named=st.booleans(), native=st.booleans())
    def join(self, process: int, which: int, after: int | None, **how: bool) -> None:
        self.go(self.stage.join(process, self.run(which), after, **how))

    @rule(process=PROCESSES, which=ANY, other=ANY)
    def join_wrongly(self, process: int, which: int, other: int) -> None:
        self.go(self.stage.join_wrongly(process, self.run(which), self.run(other)))

    @rule(which=ANY, count=st.sampled_from((1, 2, 50, 1000)), patience=PAUSES)
    def read(self, which: int, count: int, patience: float) -> None:
        self.go(self.stage.read(self.view(which), count, patience))

    @rule(which=ANY, pause=PAUSES)
    def begin_to_read(self, which: int, pause: float) -> None:
        self.do(lambda: self.stage.begin_to_read(self.view(which)), pause)

    @rule(which=ANY)
    def stop_reading(self, which: int) -> None:
        self.go(self.view(which).stop_reading())

    @rule(which=ANY, process=PROCESSES, back=st.booleans())
    def leave(self, which: int, process: int, back: bool) -> None:
        """Leave, and come back, on the same relay or the other one."""
        view = self.view(which)
        self.go(view.leave())
        if back and view.began is not None:
            self.go(self.stage.enter(view, process, view.place))

    # Faults

    @rule(process=PROCESSES, what=st.sampled_from(sorted(FAULTS)), which=ANY, count=COUNTS, pause=PAUSES)
    def disturb(self, process: int, what: str, which: int, count: int, pause: float) -> None:
        """A fault begins, and a source has something to say."""

        def act() -> None:
            self.stage.disturb(process, what)
            self.stage.made[self.run(which)].say(count)

        self.do(act, pause)

    @rule(process=PROCESSES, which=st.none() | ANY)
    def heal(self, process: int, which: int | None) -> None:
        self.do(lambda: self.stage.heal(process, which))

    @rule(process=PROCESSES, how=st.sampled_from(("vanish", "drain", "drain at once")))
    def leave_the_stage(self, process: int, how: str) -> None:
        """A process dies, and another one is started in its place; or its relay is drained, and opened again."""
        stage = self.stage
        self.go(stage.vanish(process) if how == "vanish" else stage.drain(process, float(how == "drain")))

    @rule(seconds=st.sampled_from((0.01, 0.3, 1.0, LEASE, LEASE + 2, 12.0)))
    def time_passes(self, seconds: float) -> None:
        self.go(asyncio.sleep(seconds))

    @invariant()
    def all_is_well(self) -> None:
        if hasattr(self, "stage"):
            self.go(self.stage.check())

    def teardown(self) -> None:
        try:
            if hasattr(self, "stage"):
                self.go(self.stage.end())
        finally:
            self.loop.run_until_complete(self.clear())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def clear(self) -> None:
        """Leave nothing behind, whatever has failed."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=100)


def keep_going(machine: type[TwoRelays], count: int, steps: int, *, shrink: bool = True) -> None:
    """Run examples of a machine, of so many steps at most; one that fails may be told as it was found."""
    config = settings(
        examples(count),
        stateful_step_count=steps,
        phases=[phase for phase in Phase if shrink or phase not in {Phase.shrink, Phase.explain}],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=config)


def test_whatever_happens() -> None:
    """I1-I9, L2, L6-L8: whatever happens to two relays and their viewers, each run ends once and is seen whole."""
    keep_going(TwoRelays, 150, 40)


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long() -> None:
    """I1-I9, L2, L6-L8: the same, with many more examples and longer ones."""
    keep_going(TwoRelays, 3000, 80)
