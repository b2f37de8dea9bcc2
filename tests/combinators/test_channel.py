"""Push from callbacks, iterate elsewhere."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest

from sse_relay import ChannelClosedError, ChannelFullError, EventChannel, IdleTimeoutError, keepalive
from sse_relay.testing import cancel_at_every_await, run_virtual
from tests.combinators.blocking import WatchedChannel, joined

Channel = EventChannel[Any]


async def everything(channel: Channel) -> list[Any]:
    return [item async for item in channel]


async def read_into(seen: list[Any], channel: Channel) -> None:
    async for item in channel:
        seen.append(item)  # noqa: PERF401 - what came before an error or a cancellation counts


async def aclose(channel: Channel) -> None:
    await channel.aclose()


async def close(channel: Channel) -> None:
    channel.close()


async def fail(channel: Channel) -> None:
    channel.fail(ValueError("boom"))


ENDS: list[Callable[[Channel], Awaitable[None]]] = [close, fail, aclose]


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run `work` in a thread; the list has what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            raised.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


# ── Order and delivery ───────────────────────────────────────────────────────────────────────────────────────────────


def test_items_come_in_order_then_the_end() -> None:
    """H5: what was pushed before the end comes before the end, in order; nothing is undelivered."""

    async def main() -> None:
        channel: Channel = EventChannel()
        for number in range(1000):
            channel.push(number)
        channel.close()
        assert await everything(channel) == list(range(1000))
        assert await everything(channel) == []

    run_virtual(main())


def test_items_pushed_before_the_loop_runs_are_delivered() -> None:
    """A channel needs no loop until it is read."""
    channel: Channel = EventChannel()
    channel.push("a")
    channel.push("b")
    channel.close()
    assert run_virtual(everything(channel)) == ["a", "b"]


def test_reader_gets_items_as_they_come() -> None:
    """A reader that waits is woken by each push, at once."""

    async def main() -> None:
        channel: Channel = EventChannel()
        loop = asyncio.get_running_loop()
        for number in range(3):
            loop.call_later(number, channel.push, number)
        loop.call_later(3, channel.close)
        seen = [(loop.time(), item) async for item in channel]
        assert [(round(when), item) for when, item in seen] == [(0, 0), (1, 1), (2, 2)]

    run_virtual(main())


def test_error_comes_after_the_items() -> None:
    """Defect 5: `fail` is the exception itself, after all items, and once; the channel is then at its end."""

    async def main() -> None:
        channel: Channel = EventChannel()
        error = ValueError("boom")
        channel.push(1)
        channel.push(2)
        channel.fail(error)
        seen: list[int] = []
        with pytest.raises(ValueError, match="boom") as raised:
            await read_into(seen, channel)
        assert raised.value is error
        assert seen == [1, 2]
        assert await everything(channel) == []

    run_virtual(main())


@pytest.mark.parametrize("stop", [StopAsyncIteration("boom"), StopIteration("boom")], ids=["async", "sync"])
def test_stop_iteration_is_no_clean_end(stop: Exception) -> None:
    """Defect 5: an exception that means a clean end in Python is no clean end of a channel that failed."""

    async def main() -> None:
        channel: Channel = EventChannel()
        channel.fail(stop)
        with pytest.raises(RuntimeError, match="failed with Stop") as raised:
            await everything(channel)
        assert raised.value.__cause__ is stop

    run_virtual(main())


def test_first_end_stays() -> None:
    """`close` after `fail` keeps the error, and `fail` after `close` makes none."""

    async def main() -> None:
        failed: Channel = EventChannel()
        failed.fail(ValueError("first"))
        failed.close()
        failed.fail(ValueError("second"))
        with pytest.raises(ValueError, match="first"):
            await everything(failed)
        closed: Channel = EventChannel()
        closed.close()
        closed.fail(ValueError("late"))
        assert await everything(closed) == []

    run_virtual(main())


# ── Threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_push_through_a_small_channel() -> None:
    """H5, L6: items of several threads all arrive, each thread's in its order, at most `capacity` of them unread."""
    channel: Channel = EventChannel(capacity=3, idle_timeout=None)

    def push(name: int) -> None:
        for number in range(200):
            channel.push((name, number))

    threads = [in_thread(partial(push, name))[0] for name in range(4)]

    async def main() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        while len(seen) < 800:
            assert channel._size <= 3
            seen.append(await anext(channel))
        return seen

    seen = run_virtual(main())
    joined(*threads)
    for name in range(4):
        assert [number for thread, number in seen if thread == name] == list(range(200))


def test_full_channel_blocks_a_thread() -> None:
    """With `on_full="wait"` a thread's push returns when the reader has made room, and not before."""
    channel = WatchedChannel(capacity=2, idle_timeout=None)
    pushed: list[int] = []

    def push() -> None:
        for number in range(3):
            channel.push(number)
            pushed.append(number)
        channel.close()

    thread, _ = in_thread(push)
    channel.until_a_thread_blocks()
    assert pushed == [0, 1]
    assert run_virtual(everything(channel)) == [0, 1, 2]
    joined(thread)
    assert pushed == [0, 1, 2]


@pytest.mark.parametrize(
    ("act", "result"),
    [
        (lambda channel: channel.push("x"), "x"),
        (lambda channel: channel.step_end(), "end"),
        (lambda channel: channel.close(), "end"),
        (lambda channel: channel.fail(ValueError("boom")), "boom"),
    ],
    ids=["push", "step_end", "close", "fail"],
)
def test_other_thread_wakes_the_reader(act: Callable[[Channel], object], result: str) -> None:
    """A reader that waits is woken from any thread, by whatever ends its wait."""

    async def main() -> None:
        channel: Channel = EventChannel(idle_timeout=None)
        reader = asyncio.create_task(_one(channel))
        await asyncio.sleep(0)
        assert channel._reader is not None
        thread, _ = in_thread(lambda: act(channel))
        assert await reader == result
        joined(thread)

    run_virtual(main())


async def _one(channel: Channel) -> object:
    try:
        return await anext(channel, "end")
    except ValueError as error:
        return str(error)


def test_burst_of_pushes_interrupts_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that pushes a thousand items before the reader runs wakes the loop for the first only."""

    async def main() -> None:
        channel: Channel = EventChannel(idle_timeout=None)
        loop = asyncio.get_running_loop()
        wakes: list[object] = []
        wake = loop.call_soon_threadsafe

        def counted(callback: Callable[..., object]) -> asyncio.Handle:
            wakes.append(callback)
            return wake(callback)

        def push() -> None:
            for number in range(1000):
                channel.push(number)
            channel.close()

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        reader = asyncio.create_task(everything(channel))
        await asyncio.sleep(0)
        thread, _ = in_thread(push)
        joined(thread)  # blocks the loop, so that the reader cannot run in between
        assert await reader == list(range(1000))
        assert len(wakes) == 1

    run_virtual(main())


@pytest.mark.parametrize("end", ENDS)
def test_ended_channel_wakes_blocked_threads(end: Callable[[Channel], Awaitable[None]]) -> None:
    """A thread that waits for room gets `ChannelClosedError` when the channel ends, and its item is not delivered."""
    channel = WatchedChannel(capacity=1, idle_timeout=None)
    channel.push("kept")
    thread, raised = in_thread(lambda: channel.push("late"))
    channel.until_a_thread_blocks()
    run_virtual(_ended(channel, end))
    joined(thread)
    assert [type(error) for error in raised] == [ChannelClosedError]


async def _ended(channel: Channel, end: Callable[[Channel], Awaitable[None]]) -> None:
    await end(channel)
    kept = [] if end is aclose else ["kept"]
    for item in kept:
        assert await anext(channel) == item
    try:
        assert await everything(channel) == []
    except ValueError:
        assert end is fail


def test_thread_wakes_when_the_reader_of_a_stream_leaves() -> None:
    """L7: a combinator over a channel closes it when its reader leaves, and that ends the threads that push."""
    channel = WatchedChannel(capacity=1, idle_timeout=None)

    def push() -> None:
        for number in count():
            channel.push(number)

    thread, raised = in_thread(push)

    async def main() -> None:
        stream = keepalive(channel)
        assert await anext(stream) == 0
        await stream.aclose()

    run_virtual(main())
    joined(thread)
    assert [type(error) for error in raised] == [ChannelClosedError]


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_push_is_accepted_at_once_while_there_is_room() -> None:
    """A callback in the loop may ignore what `push` returns; awaiting it does not wait."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=2)
        channel.push(1)
        awaitable = channel.push(2)
        assert channel._size == 2
        ran: list[bool] = []
        asyncio.get_running_loop().call_soon(ran.append, True)  # noqa: FBT003 - an item
        await awaitable
        assert not ran
        channel.close()
        assert await everything(channel) == [1, 2]

    run_virtual(main())


def test_push_into_a_full_channel_is_accepted_when_it_is_awaited() -> None:
    """With `on_full="wait"` a task waits until the reader has made room; the loop runs on."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=1, idle_timeout=None)
        pushed: list[int] = []

        async def push() -> None:
            for number in range(4):
                await channel.push(number)
                pushed.append(number)
            channel.close()

        task = asyncio.create_task(push())
        await asyncio.sleep(1)
        assert pushed == [0]
        assert await anext(channel) == 0
        await asyncio.sleep(1)
        assert pushed == [0, 1]
        assert await everything(channel) == [1, 2, 3]
        await task

    run_virtual(main())


def test_ignored_push_into_a_full_channel_is_not_silent() -> None:
    """H5: a callback in the loop that ignores what `push` returns is warned of the item that a full channel refused."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=1)
        channel.push(1)
        with pytest.warns(RuntimeWarning, match="never awaited"):
            channel.push(2)
        channel.close()
        assert await everything(channel) == [1]

    run_virtual(main())


def test_full_channel_may_refuse() -> None:
    """With `on_full="fail"` a push into a full channel raises, in the loop and in a thread; what it holds comes."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=2, on_full="fail")
        channel.push(1)
        channel.push(2)
        with pytest.raises(ChannelFullError) as raised:
            channel.push(3)
        assert raised.value.capacity == 2
        assert raised.value.retryable
        thread, refused = in_thread(lambda: channel.push(3))
        joined(thread)
        assert [type(error) for error in refused] == [ChannelFullError]
        assert await anext(channel) == 1
        channel.push(4)
        channel.close()
        assert await everything(channel) == [2, 4]

    run_virtual(main())


def test_waiting_tasks_are_served_in_order() -> None:
    """Tasks that wait for room get it first come, first served."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=1, idle_timeout=None)
        channel.push(0)
        tasks = [asyncio.create_task(_push(channel, number)) for number in range(1, 50)]
        await asyncio.sleep(1)
        seen: list[int] = []
        async for item in channel:
            seen.append(item)
            await asyncio.sleep(1)
            if len(seen) == 50:
                break
        assert seen == list(range(50))
        await asyncio.gather(*tasks)

    run_virtual(main())


async def _push(channel: Channel, item: object) -> None:
    await channel.push(item)


@pytest.mark.parametrize("end", ENDS)
def test_ended_channel_takes_no_more(end: Callable[[Channel], Awaitable[None]]) -> None:
    """After its end a channel refuses `push` and `step_end`, with or without room; so do pushes that waited."""

    async def main() -> None:
        for capacity in (1, 2):
            channel: Channel = EventChannel(capacity=capacity)
            channel.push("kept")
            waiting = [] if capacity > 1 else [asyncio.create_task(_push(channel, number)) for number in range(2)]
            await asyncio.sleep(0)
            await end(channel)
            with pytest.raises(ChannelClosedError):
                channel.push("late")
            with pytest.raises(ChannelClosedError):
                channel.step_end()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(result, ChannelClosedError)
            await _ended(channel, end)

    run_virtual(main())


def test_tasks_of_another_loop_may_push() -> None:
    """A task of a loop in another thread waits for room in its own loop."""
    channel: Channel = EventChannel(capacity=1, idle_timeout=None)

    async def push() -> None:
        for number in range(50):
            await channel.push(number)
        channel.close()

    thread, raised = in_thread(lambda: asyncio.run(push()))
    assert run_virtual(everything(channel)) == list(range(50))
    joined(thread)
    assert not raised


def test_waiting_task_of_a_dead_loop_holds_up_nobody() -> None:
    """A push that waits in a loop that was closed is passed over: the room goes to the next."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=1, idle_timeout=None)
        channel.push(0)
        dead = await asyncio.to_thread(_abandon, channel)
        alive = asyncio.create_task(_push(channel, 2))
        await asyncio.sleep(0)
        assert len(channel._pushers) == 2
        assert await anext(channel) == 0
        assert await anext(channel) == 2
        await alive
        del dead

    asyncio.run(main())  # the thread takes real time


def _abandon(channel: Channel) -> object:
    """Leave a push waiting in a loop that ends without it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(_push(channel, "dead"))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined] # it is meant to be left
    return task


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_loop_reads_one_step() -> None:
    """H5: `step_end` ends one `async for`, and the next one goes on, also where steps are empty or pushed ahead."""

    async def main() -> None:
        channel: Channel = EventChannel()
        for step in (["a", "b"], [], ["c"]):
            for item in step:
                channel.push(item)
            channel.step_end()
        channel.push("d")
        channel.close()
        assert [await everything(channel) for _ in range(5)] == [["a", "b"], [], ["c"], ["d"], []]

    run_virtual(main())


def test_step_end_wakes_the_reader() -> None:
    """A reader that waits in one step is let out by its end, and waits for the next step's items in the next."""

    async def main() -> None:
        channel: Channel = EventChannel()
        loop = asyncio.get_running_loop()
        for when, act in ((1, channel.step_end), (2, lambda: channel.push("x")), (3, channel.close)):
            loop.call_later(when, act)
        assert await everything(channel) == []
        assert round(loop.time()) == 1
        assert await everything(channel) == ["x"]
        assert round(loop.time()) == 3

    run_virtual(main())


def test_steps_share_the_capacity() -> None:
    """L6: the bound is on unread items, whatever steps they are in."""
    channel: Channel = EventChannel(capacity=2, on_full="fail")
    channel.push(1)
    channel.step_end()
    channel.push(2)
    with pytest.raises(ChannelFullError):
        channel.push(3)


def test_error_waits_for_the_steps() -> None:
    """An error comes in the step in which the channel failed, not in those before it."""

    async def main() -> None:
        channel: Channel = EventChannel()
        channel.push(1)
        channel.step_end()
        channel.fail(ValueError("boom"))
        assert await everything(channel) == [1]
        with pytest.raises(ValueError, match="boom"):
            await everything(channel)

    run_virtual(main())


# ── Silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_silence_ends_the_channel() -> None:
    """H5: after exactly 180 s without a push the reader gets a typed timeout, and pushes are refused."""

    async def main() -> None:
        channel: Channel = EventChannel()
        channel.push("a")
        seen: list[str] = []
        with pytest.raises(IdleTimeoutError) as raised:
            await read_into(seen, channel)
        assert seen == ["a"]
        assert raised.value.seconds == 180
        assert asyncio.get_running_loop().time() == pytest.approx(180, abs=1e-6)
        with pytest.raises(ChannelClosedError):
            channel.push("late")
        assert await everything(channel) == []

    run_virtual(main())


def test_items_keep_silence_away() -> None:
    """A push within each `idle_timeout` keeps a channel alive, however long; so does a reader that is busy itself."""

    async def main() -> None:
        channel: Channel = EventChannel(idle_timeout=10)
        loop = asyncio.get_running_loop()
        for number in range(20):
            loop.call_later(9.9 * (number + 1), channel.push, number)
        for number in range(20):
            assert await anext(channel) == number
        channel.push("unread")
        await asyncio.sleep(100)
        assert await anext(channel) == "unread"
        before = loop.time()
        with pytest.raises(IdleTimeoutError):
            await anext(channel)
        assert loop.time() - before == pytest.approx(10, abs=1e-6)

    run_virtual(main())


def test_silence_may_be_endless() -> None:
    """With `idle_timeout=None` a reader waits for as long as it takes."""

    async def main() -> None:
        for endless in (None, float("inf")):
            channel: Channel = EventChannel(idle_timeout=endless)
            loop = asyncio.get_running_loop()
            reader = asyncio.create_task(everything(channel))
            await asyncio.sleep(0)
            assert not loop._scheduled  # type: ignore[attr-defined] # no timer at all
            loop.call_later(1e6, channel.push, "late")
            loop.call_later(1e6, channel.close)
            assert await reader == ["late"]

    run_virtual(main())


@pytest.mark.parametrize("first", ["push", "timeout"])
def test_push_that_races_with_the_timeout_is_not_lost(first: str) -> None:
    """A push at the instant of the timeout is delivered and keeps the channel alive, or is refused: never neither."""

    async def main() -> None:
        channel: Channel = EventChannel(idle_timeout=10)
        loop = asyncio.get_running_loop()
        accepted: list[str] = []

        def push() -> None:
            try:
                channel.push("x")
            except ChannelClosedError:
                return
            accepted.append("x")

        if first == "push":
            loop.call_at(loop.time() + 10, push)
        reader = asyncio.create_task(_until_silence(channel))
        await asyncio.sleep(0)
        if first == "timeout":
            loop.call_at(loop.time() + 10, push)
        assert await reader == accepted
        assert accepted == (["x"] if first == "push" else [])
        assert round(loop.time()) == (20 if first == "push" else 10)

    run_virtual(main())


async def _until_silence(channel: Channel) -> list[Any]:
    seen: list[Any] = []
    with pytest.raises(IdleTimeoutError):
        await read_into(seen, channel)
    return seen


def test_no_timer_is_left() -> None:
    """L7: a reader that got its item, or was cancelled, leaves no timer behind."""

    async def main() -> None:
        channel: Channel = EventChannel(idle_timeout=10)
        asyncio.get_running_loop().call_later(1, channel.push, "x")
        assert await anext(channel) == "x"
        reader = asyncio.create_task(everything(channel))
        await asyncio.sleep(1)
        reader.cancel()
        await asyncio.wait({reader})
        await asyncio.sleep(100)
        channel.push("y")
        assert await anext(channel) == "y"

    run_virtual(main())


# ── Cancellation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cancelled_reader_loses_nothing() -> None:
    """I9: whoever reads on after a reader that was cancelled at any await gets each item once, in order."""

    async def main() -> None:
        seen: list[int] = []
        channels: list[Channel] = []
        feeders: list[asyncio.Task[None]] = []

        async def feed(channel: Channel) -> None:
            for number in range(6):
                await channel.push(number)
                if number % 2:
                    await asyncio.sleep(1)
            channel.close()

        def make() -> Coroutine[Any, Any, None]:
            seen.clear()
            channels.append(EventChannel(capacity=1))
            feeders.append(asyncio.create_task(feed(channels[-1])))
            return read_into(seen, channels[-1])

        async def check(step: int) -> None:
            seen.extend(await everything(channels[-1]))
            assert seen == list(range(6)), f"cancelled at await {step}"
            await feeders[-1]

        assert await cancel_at_every_await(make, check) >= 4

    run_virtual(main())


def test_push_that_wakes_a_cancelled_reader_is_no_error() -> None:
    """I9: a thread whose push finds the reader waiting, and then cancelled, disturbs nobody; its item is kept."""

    async def main() -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
        channel: Channel = EventChannel(idle_timeout=None)
        reader = asyncio.create_task(everything(channel))
        await asyncio.sleep(0)
        thread, _ = in_thread(lambda: channel.push("x"))
        joined(thread)
        channel._reader.future.cancel()  # type: ignore[union-attr] # before what the thread scheduled
        reader.cancel()
        await asyncio.wait({reader})
        await asyncio.sleep(0)
        assert not problems
        assert await anext(channel) == "x"

    run_virtual(main())


def test_cancelled_push_delivers_nothing() -> None:
    """I9: an item whose push was cancelled at any await is not delivered; those whose push returned are, once."""

    async def main() -> None:
        accepted: list[int] = []
        channels: list[Channel] = []
        readers: list[asyncio.Task[list[Any]]] = []

        async def read(channel: Channel) -> list[Any]:
            seen: list[Any] = []
            await asyncio.sleep(1)
            async for item in channel:
                seen.append(item)
                await asyncio.sleep(1)
            return seen

        async def push(channel: Channel) -> None:
            for number in range(5):
                await channel.push(number)
                accepted.append(number)

        def make() -> Coroutine[Any, Any, None]:
            accepted.clear()
            channels.append(EventChannel(capacity=1))
            readers.append(asyncio.create_task(read(channels[-1])))
            return push(channels[-1])

        async def check(step: int) -> None:
            channels[-1].close()
            assert await readers[-1] == accepted, f"cancelled at await {step}"

        assert await cancel_at_every_await(make, check) == 4
        await check(0)

    run_virtual(main())


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
def test_cancelled_push_passes_its_turn_on(late: bool) -> None:
    """I9: a push that is cancelled, even after it was woken, leaves the room to the next in line."""

    async def main() -> None:
        channel: Channel = EventChannel(capacity=1, idle_timeout=None)
        channel.push(0)
        first, second = (asyncio.create_task(_push(channel, number)) for number in (1, 2))
        await asyncio.sleep(0)
        if late:
            assert await anext(channel) == 0  # wakes the first, which has not run yet
        first.cancel()
        await asyncio.wait({first})
        if not late:
            assert await anext(channel) == 0
        assert await anext(channel) == 2
        await second
        assert first.cancelled()

    run_virtual(main())


# ── The reader ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_reader_only() -> None:
    """A second reader is refused while the first waits, and the first is not disturbed."""

    async def main() -> None:
        channel: Channel = EventChannel()
        first = asyncio.create_task(everything(channel))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(channel)
        channel.push("x")
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(channel)
        channel.close()
        assert await first == ["x"]

    run_virtual(main())


def test_reader_that_closes_drops_what_is_unread() -> None:
    """After `aclose` nothing is left to read: no item, no step, no error; a reader that waits is let out."""

    async def main() -> None:
        channel: Channel = EventChannel()
        channel.push(1)
        channel.step_end()
        channel.fail(ValueError("unread"))
        await channel.aclose()
        await channel.aclose()
        assert await everything(channel) == []
        waiting: Channel = EventChannel()
        reader = asyncio.create_task(everything(waiting))
        await asyncio.sleep(0)
        await waiting.aclose()
        assert await reader == []

    run_virtual(main())


def test_error_is_released() -> None:
    """An error that was raised is not kept: no reference cycle holds what its frames hold."""

    async def main() -> None:
        channel: Channel = EventChannel()
        gone = threading.Event()

        class OwnError(Exception):
            def __del__(self) -> None:
                gone.set()

        channel.fail(OwnError())
        with suppress(OwnError):
            await everything(channel)
        assert gone.is_set()

    gc.disable()
    try:
        run_virtual(main())
    finally:
        gc.enable()


# ── Options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"capacity": 0}, ValueError, "capacity must be at least 1, not 0"),
        ({"capacity": -1}, ValueError, "capacity must be at least 1, not -1"),
        ({"capacity": 1.5}, TypeError, "capacity must be a whole number, not float"),
        ({"capacity": True}, TypeError, "capacity must be a whole number, not bool"),
        ({"capacity": "9"}, TypeError, "capacity must be a whole number, not str"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout must be more than 0"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout must be more than 0"),
        ({"idle_timeout": "9"}, TypeError, "idle_timeout must be a number"),
        ({"on_full": "drop"}, ValueError, 'on_full must be "wait" or "fail", not \'drop\''),
        ({"on_full": []}, ValueError, "on_full must be"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """An option of the wrong type or out of range is refused at once, by name."""
    with pytest.raises(error, match=message):
        EventChannel(**options)


@pytest.mark.parametrize("exc", [None, "boom", ValueError], ids=["None", "text", "class"])
def test_fail_takes_an_exception(exc: Any) -> None:
    """What is no exception is refused, and the channel goes on."""
    channel: Channel = EventChannel()
    with pytest.raises(TypeError, match="fail takes an exception"):
        channel.fail(exc)
    channel.push("x")
    channel.close()
    assert run_virtual(everything(channel)) == ["x"]


def test_ended_tells_a_step_from_the_end() -> None:
    """H5: a reader of steps knows when there is no further one, and does not miss the error at the end."""

    async def main() -> None:
        channel: EventChannel[str] = EventChannel()
        channel.push("a")
        channel.step_end()
        channel.push("b")
        channel.close()
        steps: list[list[str]] = []
        while not channel.ended:
            steps.append([item async for item in channel])
        assert steps == [["a"], ["b"]]

        failing: EventChannel[str] = EventChannel()
        failing.fail(ValueError("boom"))
        assert not failing.ended
        with pytest.raises(ValueError, match="boom"):
            await anext(failing)
        assert failing.ended

    run_virtual(main())
