"""What may stand between one process and its wake-ups."""

import asyncio
from typing import Any

from sse_relay import MemoryStore
from sse_relay.stores.protocol import Wake
from sse_relay.testing import run_virtual
from sse_relay.testing.hearing import Deafness, Ear, Lateness


def test_an_ear_hears_of_what_is_watched() -> None:
    """A wake-up that comes when the run is watched no more, or the ear is closed, does not reach it."""

    async def main() -> None:
        store: Any = MemoryStore()
        heard: list[str] = []
        ear = Ear(lambda wake: heard.append(wake.run_id))
        ear.hear(Wake("a"))
        ear.follower = await store.follow(ear.hear)
        for run_id in ("a", "b"):
            ear.watch(run_id)
            ear.watch(run_id)
        assert set(store._watchers) == {"a", "b"}
        for run_id in ("a", "b", "c"):
            ear.hear(Wake(run_id))
        ear.unwatch("a")
        ear.unwatch("c")
        for run_id in ("a", "b"):
            ear.hear(Wake(run_id))
        assert heard == ["a", "b", "b"]
        await ear.aclose()
        await ear.aclose()
        ear.hear(Wake("b"))
        assert heard == ["a", "b", "b"]
        assert not store._watchers

    run_virtual(main())


def test_late_is_so_many_seconds() -> None:
    """A pause is seconds, or is asked for each time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: list[tuple[str, float]] = []
        pauses = iter((5, 1))
        for late in (Lateness(2, twice=False), Lateness(lambda: next(pauses), twice=True)):
            for run_id in ("a", "b"):
                late.later(lambda wake: heard.append((wake.run_id, loop.time())), Wake(run_id))
        await asyncio.sleep(10)
        assert heard == [("b", 1), ("a", 2), ("b", 2), ("a", 5)]
        assert late.twice

    run_virtual(main())


def test_deaf_to_some() -> None:
    """A deafness tells which wake-ups are lost."""
    deafness = Deafness(lambda wake: wake.cancel is not None)
    assert deafness.drops(Wake("a", cancel="user"))
    assert not deafness.drops(Wake("a"))
