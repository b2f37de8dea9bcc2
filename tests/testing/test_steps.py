"""Let a fault happen at the n-th thing that a process asks of its store, for every n."""

from typing import NoReturn

import pytest

from sse_relay import MemoryStore
from sse_relay.testing import FaultyStore, fault_at_every_step, run_virtual, steps
from sse_relay.testing.stores.under_test import frames, opening


async def nothing(step: int) -> None:
    del step


async def work(handle: FaultyStore) -> None:
    opened = await handle.open(opening())
    assert opened.grant is not None
    for offset in (1, 2):
        await handle.append(opened.grant, offset, frames(offset))


def test_every_step_is_found() -> None:
    """Each operation of the work has the fault before it once, on a new handle; then it gets through without."""

    async def main() -> None:
        store = MemoryStore()
        checked: list[tuple[int, list[str], int]] = []

        async def check(step: int) -> None:
            runs = [info async for info in store.runs()]
            checked.append((step, [info.status for info in runs], runs[0].last_offset))

        assert await fault_at_every_step(store, FaultyStore.takeover_at, work, check) == 3
        assert checked == [
            (1, ["running"], 2),
            (2, ["lost", "lost"], 1),
            (3, ["lost", "lost", "lost"], 2),
        ]

    run_virtual(main())


def test_work_that_fails_says_at_which_step() -> None:
    """What the work raises passes, and is marked with the step; what the check raises passes as it is."""

    async def main() -> None:
        async def fails(handle: FaultyStore) -> None:
            await work(handle)
            raise ValueError

        async def disagrees(step: int) -> NoReturn:
            raise AssertionError(f"not at {step}")

        with pytest.raises(ValueError) as raised:  # noqa: PT011 - its note is looked at
            await fault_at_every_step(MemoryStore(), FaultyStore.takeover_at, fails, nothing)
        assert raised.value.__notes__ == ["with the fault at step 1"]
        with pytest.raises(AssertionError, match="not at 1"):
            await fault_at_every_step(MemoryStore(), FaultyStore.takeover_at, work, disagrees)

    run_virtual(main())


def test_work_without_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that asks more each round is an error, and not a test without end."""
    monkeypatch.setattr(steps, "_MOST_STEPS", 20)

    async def main() -> None:
        rounds = 0

        async def grows(handle: FaultyStore) -> None:
            nonlocal rounds
            rounds += 1
            for _ in range(rounds):
                await handle.lapsed()

        with pytest.raises(AssertionError, match="never ends"):
            await fault_at_every_step(MemoryStore(), FaultyStore.takeover_at, grows, nothing)

    run_virtual(main())
