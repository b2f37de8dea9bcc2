"""A virtual clock: a day of silence in milliseconds."""

import asyncio
import socket
import threading
import time

import pytest

from sse_relay.testing import VirtualClockLoop, clock, run_virtual


def test_a_day_takes_no_time() -> None:
    """Twenty-four silent hours, a minute at a time, pass in well under a second of this process, and on the dot."""

    async def main() -> float:
        for _ in range(24 * 60):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    before = time.process_time()
    assert run_virtual(main()) == pytest.approx(86_400, abs=1e-6)
    assert time.process_time() - before < 1


def test_one_long_sleep_is_one_step() -> None:
    """A week in one timer takes no time either, though a loop sleeps for a day at most at once."""

    async def main() -> float:
        await asyncio.sleep(7 * 86_400)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(7 * 86_400, abs=1e-6)


def test_timers_come_in_order_at_their_times() -> None:
    """Timers fire in the order of their times, each at its time, whatever order they were set in."""

    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        def fire(name: str) -> None:
            fired.append((name, loop.time()))

        for name, delay in (("c", 30.0), ("a", 0.1), ("d", 3600.0), ("b", 0.2)):
            loop.call_later(delay, fire, name)
        await asyncio.sleep(4000)
        return fired

    fired = run_virtual(main())
    assert [name for name, _ in fired] == ["a", "b", "c", "d"]
    assert [when for _, when in fired] == pytest.approx([0.1, 0.2, 30, 3600], abs=1e-6)


def test_time_stands_still_while_there_is_work() -> None:
    """However many turns a task takes, no timer is due before every task waits."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired: list[bool] = []
        loop.call_later(1e-3, fired.append, True)  # noqa: FBT003 - an item
        for _ in range(1000):
            await asyncio.sleep(0)
        assert loop.time() == 0
        assert not fired
        await asyncio.sleep(1e-3)
        assert fired

    run_virtual(main())


def test_timeouts_are_virtual() -> None:
    """What asyncio builds on timers runs on the virtual clock: `timeout`, `wait_for`, `wait`."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await loop.create_future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 1000)
        done, _ = await asyncio.wait({loop.create_future()}, timeout=1000)
        assert not done
        assert loop.time() == pytest.approx(3000, abs=1e-6)

    run_virtual(main())


def test_deadlock_raises() -> None:
    """A loop in which everything waits, without a timer and with nobody who could wake it, raises, and at once."""
    others = threading.active_count() > 1  # of other tests: one of them might wake the loop
    before = time.perf_counter()
    with pytest.raises(RuntimeError, match="deadlock: every task waits, and no timer is set"):
        run_virtual(asyncio.Event().wait())
    assert others or time.perf_counter() - before < clock._DEADLOCK_AFTER


def test_deadlock_cleans_up() -> None:
    """L7: the tasks of a deadlock are cancelled, so that their cleanup runs."""
    cleaned: list[bool] = []

    async def main() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())
    assert cleaned


def test_thread_wakes_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop without a timer waits in real time for a thread that may wake it."""
    waits = threading.Event()

    def patience(selector: object) -> float:
        waits.set()
        return clock._DEADLOCK_AFTER

    monkeypatch.setattr(clock._VirtualSelector, "_patience", patience)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            assert waits.wait(clock._DEADLOCK_AFTER)
            loop.call_soon_threadsafe(woken.set)

        thread = threading.Thread(target=wake)
        thread.start()
        await woken.wait()
        thread.join()
        return loop.time()

    assert run_virtual(main()) == 0


def test_thread_that_never_wakes_the_loop_is_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience with a thread ends, and then it is a deadlock."""
    monkeypatch.setattr(clock, "_DEADLOCK_AFTER", 0.01)
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="deadlock"):
            run_virtual(asyncio.Event().wait())
    finally:
        release.set()
        thread.join()


def test_patience_is_for_those_who_may_wake_the_loop() -> None:
    """A loop that is alone is not waited for; a thread or a socket gets five seconds of real time."""
    if threading.active_count() == 1:  # else another test's thread may wake the loop
        loop = VirtualClockLoop()
        assert loop._selector_clock._patience() == 0
        release = threading.Event()
        thread = threading.Thread(target=release.wait)
        thread.start()
        assert loop._selector_clock._patience() == 5
        release.set()
        thread.join()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, print)
            assert loop._selector_clock._patience() == 5
            loop.remove_reader(ours)
        assert loop._selector_clock._patience() == 0
        loop.close()


def test_thread_wakes_the_loop_while_a_timer_is_set() -> None:
    """What a thread has done already comes before the next timer, however near that is."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(woken.set))
        thread.start()
        thread.join()
        async with asyncio.timeout(1e-9):
            await woken.wait()
        assert loop.time() == 0

    run_virtual(main())


def test_socket_wakes_the_loop() -> None:
    """What a socket has already comes before the next timer, and no time passes for it."""

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)  # noqa: FBT003 - the standard library's
            loop = asyncio.get_running_loop()
            reading = asyncio.create_task(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            timer = loop.call_later(1000, reading.cancel)
            theirs.send(b"hello")
            received = await reading
            timer.cancel()
            assert loop.time() == 0
            return received

    assert run_virtual(main()) == b"hello"


def test_each_loop_starts_at_zero() -> None:
    """Two loops share no time."""

    async def main() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        return before

    assert [run_virtual(main()), run_virtual(main())] == [0, 0]


def test_run_virtual_is_like_run() -> None:
    """The result comes back, an exception comes out, what is left is cancelled, and the loop is closed."""
    loops: list[asyncio.AbstractEventLoop] = []
    left: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            left.append("cancelled")
            raise

    async def main(error: Exception | None) -> str:
        loops.append(asyncio.get_running_loop())
        loops[-1].set_task_factory(None)
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        assert not task.done()
        if error is not None:
            raise error
        return "result"

    assert run_virtual(main(None)) == "result"
    with pytest.raises(ValueError, match="boom"):
        run_virtual(main(ValueError("boom")))
    assert left == ["cancelled"] * 2
    assert all(isinstance(loop, VirtualClockLoop) and loop.is_closed() for loop in loops)
