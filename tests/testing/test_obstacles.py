"""What may stand between one process and its store, in the way of what it asks."""

import asyncio
import inspect

import pytest

from sse_relay import StoreUnavailableError
from sse_relay.stores.protocol import StreamStore
from sse_relay.testing import run_virtual
from sse_relay.testing.obstacles import OPERATIONS, Delay, Gate, LostReplies, Obstacle, Outage, Step


def test_the_operations_are_those_of_a_store() -> None:
    """A fault can be of whatever a store is asked for, but of closing and of making ids."""
    asked = {name for name, _ in inspect.getmembers(StreamStore, inspect.isfunction) if not name.startswith("_")}
    assert set(OPERATIONS) == asked - {"aclose", "new_run_id"}


def test_a_name_that_no_operation_has_is_refused() -> None:
    """A typo is a ValueError that lists the names; no names are all of them."""
    with pytest.raises(ValueError, match=r"no operation apend, sael: use open, append"):
        Obstacle(["sael", "append", "apend"])
    assert Obstacle().operations == frozenset(OPERATIONS)
    assert Obstacle(["append", "end"]).operations == {"append", "end"}


def test_an_outage_comes_before_and_a_lost_answer_after() -> None:
    """What is refused is never done; what is lost was done, as often as it was to be."""

    async def main() -> None:
        with pytest.raises(StoreUnavailableError):
            await Outage().before()
        lost = LostReplies((), 2)
        for _ in range(2):
            await lost.before()
            with pytest.raises(StoreUnavailableError):
                await lost.after()
        await lost.after()
        for_ever = LostReplies((), None)
        for _ in range(5):
            with pytest.raises(StoreUnavailableError):
                await for_ever.after()

    run_virtual(main())


def test_a_delay_is_there_and_back() -> None:
    """Seconds, a callable that tells them, and one that waits itself: each before and after."""

    async def main() -> None:
        loop, told = asyncio.get_running_loop(), iter((1, 2.5))
        for pause, took in ((3, 6), (0.5, 1), (lambda: next(told), 3.5), (lambda: asyncio.sleep(4), 8)):
            delay, began = Delay((), pause), loop.time()
            await delay.before()
            await delay.after()
            assert loop.time() - began == pytest.approx(took)

    run_virtual(main())


def test_a_gate_of_everything_holds_wake_ups_too() -> None:
    """A gate of some operations lets wake-ups through."""
    assert Gate().holds_wakeups
    assert not Gate(["append"]).holds_wakeups


def test_a_step_happens_once() -> None:
    """Something is done before the n-th operation, once; steps are counted from 1."""

    async def main() -> None:
        done: list[int] = []

        async def do() -> None:
            done.append(asked)

        step = Step(3, do, ())
        for asked in range(1, 6):
            assert step.reached == (asked > 3)
            await step.before()
        assert done == [3]
        with pytest.raises(ValueError, match="counted from 1"):
            Step(0, do, ())

    run_virtual(main())
