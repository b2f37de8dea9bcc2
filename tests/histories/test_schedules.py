"""Two relays under load, with faults at random: the same schedule for the same seed."""

import asyncio
from random import Random

import pytest

from sse_relay.testing import run_virtual
from tests.histories.ground import Ground
from tests.histories.stage import CALLS, FAULTS, LATENCIES, Stage
from tests.histories.world import END

SHORT = (0.0, 0.0, 0.001, 0.01, 0.05)
LONG = (0.05, 0.3, 1.0, 4.0)


class Schedule:
    """Everybody who does something, each in a task of its own, for so many seconds."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.random = Random(seed)
        latencies = [self.random.choice(sorted(LATENCIES)) for _ in range(2)]
        bound, trims = self.random.choice(((None, False), (None, False), (20, False), (10, True)))
        self.stage = Stage(Ground(bound, trims=trims), *latencies)
        self.until = asyncio.get_running_loop().time() + seconds

    async def play(self) -> None:
        """Let it all happen, and then come to an end."""
        await self.stage.open()
        actors = [self.starts(), self.calls(), self.checks(), *(self.views() for _ in range(5))]
        actors += [self.disturbs(process) for process in range(2)]
        playing = [asyncio.create_task(actor) for actor in actors]
        try:
            await asyncio.gather(*playing)
            await self.stage.end()
        finally:
            for actor in playing:
                actor.cancel()

    async def goes_on(self, pauses: tuple[float, ...]) -> bool:
        """Let some time pass, and tell whether there is more."""
        await asyncio.sleep(self.random.choice(pauses))
        return asyncio.get_running_loop().time() < self.until

    def anywhere(self) -> int:
        """Pick a process."""
        return self.random.randrange(2)

    def anyone(self) -> str:
        """Pick a run."""
        return self.random.choice(list(self.stage.made))

    async def starts(self) -> None:
        """Start runs, and let each of their sources speak."""
        speaking: set[asyncio.Task[None]] = set()
        while True:
            run_id = self.stage.start(
                self.anywhere(),
                self.random.choice((0, 1, 3)),
                self.random.choice(("generator", "callable", "awaitable")),
                key=self.random.choice(("a", "b", None)),
                on_conflict=self.random.choice(("reject", "join", "replace")),
                idempotency_key=self.random.choice((None, None, None, "once")),
                timeout=self.random.choice((None, None, None, 3.0)),
            )
            speaking.add(asyncio.create_task(self.speaks(run_id)))
            if not await self.goes_on(LONG):
                break
        await asyncio.wait(speaking)

    async def speaks(self, run_id: str) -> None:
        """Let a source speak, fall silent for a while, and end, one way or another."""
        script = self.stage.made[run_id]
        for _ in range(self.random.choice((0, 1, 10, 30))):
            script.say(self.random.choice((1, 1, 2, 5)))
            if not await self.goes_on((*SHORT, 0.3)):
                return
        script.stubborn = self.random.random() < 0.1
        await self.goes_on(LONG)
        script.tell(self.random.choice((END, END, END, ValueError("secret"))))

    async def views(self) -> None:
        """View a run from somewhere, read or wait, leave, and come back elsewhere."""
        while await self.goes_on(SHORT):
            named = self.random.random() < 0.5
            view = await self.stage.join(
                self.anywhere(), self.anyone(), self.random.choice((None, 0, 1, 9)), named=named
            )
            for _ in range(self.random.choice((1, 3, 10))):
                await self.stage.read(view, self.random.choice((1, 3, 1000)), self.random.choice((*SHORT, 0.5, 4.0)))
                if self.random.random() < 0.3 and view.began is not None:
                    await self.stage.enter(view, self.anywhere(), view.place)
                if not await self.goes_on((*SHORT, 2.0)):
                    return
            if self.random.random() < 0.5:
                await view.leave()
            else:
                self.stage.begin_to_read(view)  # and stay

    async def calls(self) -> None:
        """Ask for all sorts of things, and give up on some."""
        while await self.goes_on(LONG):
            what = self.random.choice([*CALLS, "info", "wait", "wait"])
            self.stage.ask(self.anywhere(), self.anyone(), what)
            await self.stage.join_wrongly(self.anywhere(), self.anyone(), self.anyone())
            if self.random.random() < 0.3 and self.stage.calls:
                self.random.choice(list(self.stage.calls)).cancel()

    async def disturbs(self, process: int) -> None:
        """Let faults come and go."""
        while await self.goes_on(LONG):
            for _ in range(self.random.choice((1, 1, 2))):
                self.stage.disturb(process, self.random.choice(sorted(FAULTS)))
            await self.goes_on((*SHORT, *LONG, 8.0))
            self.stage.heal(process)
            if self.random.random() < 0.1:
                await self.stage.vanish(process)
            elif self.random.random() < 0.1:
                await self.stage.drain(process, self.random.choice((0.0, 1.0)))

    async def checks(self) -> None:
        """Look all the time."""
        while await self.goes_on((0.25,)):
            await self.stage.check()


def play(seeds: range) -> None:
    async def main(seed: int) -> None:
        await Schedule(seed, 12.0).play()

    for seed in seeds:
        try:
            run_virtual(main(seed))
        except BaseException as error:
            error.add_note(f"with seed {seed}")
            raise


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_any_schedule(first: int) -> None:
    """I1-I9, L2, L6-L8: over 200 schedules each run ends once, and every viewer has seen exactly what follows."""
    play(range(first, first + 20))


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_many_more_schedules() -> None:
    """I1-I9, L2, L6-L8: the same, over 5,000 schedules more."""
    play(range(1000, 6000))
