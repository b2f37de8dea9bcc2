"""Cancel a coroutine at its n-th await, whatever it awaits there."""

import asyncio
from contextlib import suppress
from itertools import count

import pytest

from sse_relay.testing import cancel_at_every_await, cancelled_at, interruption, run_virtual


async def nothing(step: int) -> None:
    del step


def test_every_await_is_found() -> None:
    """Each await that waits is cancelled once, whatever it is, and awaits that do not wait do not count."""

    async def main() -> None:
        reached: list[str] = []
        rounds: list[list[str]] = []

        async def inner() -> None:
            reached.append("inner")
            await asyncio.sleep(0)
            reached.append("inner ended")

        async def work() -> str:
            reached.clear()
            reached.append("sleep")
            await asyncio.sleep(10)
            reached.append("task")
            await asyncio.create_task(asyncio.sleep(10))
            await inner()
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            await done  # does not wait
            reached.append("lock")
            async with asyncio.Lock():  # does not wait either
                await asyncio.sleep(0)
            reached.append("end")
            return "done"

        async def check(step: int) -> None:
            assert step == len(rounds) + 1
            rounds.append(list(reached))

        assert await cancel_at_every_await(work, check) == 4
        assert [steps[-1] for steps in rounds] == ["sleep", "task", "inner", "lock"]
        assert reached[-1] == "end"

    run_virtual(main())


def test_work_that_never_waits_has_no_awaits() -> None:
    """Work that does not wait is never cancelled, and is checked in no round."""

    async def main() -> None:
        checked: list[int] = []

        async def work() -> None:
            pass

        async def check(step: int) -> None:
            checked.append(step)

        assert await cancel_at_every_await(work, check) == 0
        assert not checked

    run_virtual(main())


def test_cancellation_comes_at_the_await() -> None:
    """The CancelledError is raised at the very await, inside the work's own task, once, also where the wait is over."""

    async def main() -> None:
        where: list[str] = []
        loop = asyncio.get_running_loop()

        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                future: asyncio.Future[str] = loop.create_future()
                loop.call_soon(future.set_result, "resolved in the same turn")
                await future
            except asyncio.CancelledError:
                where.append(f"first, {task.cancelling()}")
                raise
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                where.append(f"second, {task.cancelling()}")
                raise

        assert await cancel_at_every_await(work, nothing) == 2
        assert where == ["first, 1", "second, 1"]

    run_virtual(main())


def test_swallowed_cancellation_is_found() -> None:
    """I9: work that ends as if nothing had happened is an AssertionError that says at which await."""

    async def main() -> None:
        async def work() -> None:
            await asyncio.sleep(1)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

        with pytest.raises(AssertionError, match="cancelled at await 2, the work ended with"):
            await cancel_at_every_await(work, nothing)

    run_virtual(main())


def test_replaced_cancellation_is_found() -> None:
    """I9: work that raises something else in place of the CancelledError is an AssertionError with it as its cause."""

    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError as exc:
                raise ValueError("replaced") from exc

        with pytest.raises(AssertionError, match="cancelled at await 1") as raised:
            await cancel_at_every_await(work, nothing)
        assert isinstance(raised.value.__cause__, ValueError)

    run_virtual(main())


def test_swallowed_second_cancellation_is_found() -> None:
    """I9: with `again`, a cleanup that turns the cancellation into an end is found, which one alone would not show."""

    async def main() -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    return
                raise

        assert await cancel_at_every_await(work, nothing) == 1
        with pytest.raises(AssertionError, match="cancelled at await 1"):
            await cancel_at_every_await(work, nothing, again=1)

    run_virtual(main())


def test_again_counts_awaits() -> None:
    """The second cancellation comes so many awaits after the first, in the cleanup, or not at all."""

    async def main() -> None:
        cut: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(1)
            finally:
                for name in ("a", "b", "c"):
                    try:
                        await asyncio.sleep(1)
                    except asyncio.CancelledError:
                        cut.append(name)
                        raise

        for again, first in ((0, []), (1, ["a"]), (2, ["b"]), (3, ["c"]), (4, [])):
            cut.clear()

            async def check(step: int, first: list[str] = first) -> None:
                if step == 1:  # the cancellation of the work's own await; later ones are in the cleanup
                    assert cut == first

            assert await cancel_at_every_await(work, check, again=again) == 4
            assert cut == [*first, "a", "b", "c"]

    run_virtual(main())


def test_work_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work with no end to its awaits is an AssertionError, and not a test that hangs."""
    monkeypatch.setattr(interruption, "_MOST_AWAITS", 20)

    async def main() -> None:
        rounds: list[int] = []

        async def work() -> None:
            for _ in count():
                await asyncio.sleep(0)

        async def check(step: int) -> None:
            rounds.append(step)

        with pytest.raises(AssertionError, match="the work never ends"):
            await cancel_at_every_await(work, check)
        assert rounds == list(range(1, 20))

    run_virtual(main())


def test_check_may_fail() -> None:
    """What the check finds wrong comes out, and ends the rounds."""

    async def main() -> None:
        checked: list[int] = []

        async def work() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        async def check(step: int) -> None:
            checked.append(step)
            assert step < 3, "wrong after 3"

        with pytest.raises(AssertionError, match="wrong after 3"):
            await cancel_at_every_await(work, check)
        assert checked == [1, 2, 3]

    run_virtual(main())


def test_error_of_the_work_itself_comes_out() -> None:
    """Work that fails without being cancelled is not taken for work that got through."""

    async def main() -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            raise ValueError("broken by itself")

        with pytest.raises(ValueError, match="broken by itself"):
            await cancel_at_every_await(work, nothing)

    run_virtual(main())


def test_cancelled_at_runs_once() -> None:
    """`cancelled_at` cancels at the given awaits only; work that outlives them returns its result and its awaits."""

    async def main() -> None:
        async def work(*, stubborn: bool) -> str:
            for _ in range(3):
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    if not stubborn:
                        raise
            return "done"

        assert await cancelled_at(work(stubborn=False), ()) == ("done", 3)
        assert await cancelled_at(work(stubborn=False), {4}) == ("done", 3)
        assert await cancelled_at(work(stubborn=True), {1, 3}) == ("done", 3)
        with pytest.raises(asyncio.CancelledError):
            await cancelled_at(work(stubborn=False), [2])

    run_virtual(main())


def test_work_keeps_its_results_and_errors() -> None:
    """What the work awaits comes back to it unchanged: results, exceptions, and the task that it runs in."""

    async def main() -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError("boom")

        async def work() -> tuple[object, ...]:
            task = asyncio.current_task()
            value = await asyncio.create_task(asyncio.sleep(1, "value"))
            with pytest.raises(ValueError, match="boom"):
                await asyncio.create_task(fail())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(2)
            return value, task is asyncio.current_task()

        assert await cancelled_at(work(), ()) == (("value", True), 3)

    run_virtual(main())
