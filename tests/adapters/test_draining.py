"""Drains: a relay for the time that a server runs, and signals that wait for it. Real servers: tests/servers."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from types import FrameType

import pytest

from sse_relay import CancelToken, DrainingError, Outcome, Relay
from sse_relay.adapters.asgi import drained_app, draining
from sse_relay.adapters.messages import Message, Receive, Scope, Send
from sse_relay.runs.tail import Tail
from tests.adapters.relays import memory
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play, silence

LIFESPAN: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}}


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer requests, and no lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello", "more_body": False})


class Server:
    """A server's side of a lifespan."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stop = asyncio.Event()
        self.up = asyncio.Event()
        self._asked = False

    async def receive(self) -> Message:
        """Start up, then wait to be stopped."""
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self.stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        """Take a message."""
        self.said.append(message["type"])
        self.up.set()


class Heard:
    """Who has heard of a signal, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.changed = asyncio.Event()

    def say(self, word: str) -> None:
        """Add a word."""
        self.said.append(word)
        self.changed.set()

    def handler(self, number: int, frame: FrameType | None) -> None:
        """Take a signal, as a server does."""
        del number, frame
        self.say("server")

    async def has(self, count: int) -> Sequence[str]:
        """Wait for so many words."""
        async with asyncio.timeout(5):
            while len(self.said) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.said


@pytest.fixture
def heard() -> Iterator[Callable[[], Heard]]:
    """Take SIGTERM as a server does, and give it back after the test."""
    before = signal.getsignal(signal.SIGTERM)

    def take() -> Heard:
        heard = Heard()
        signal.signal(signal.SIGTERM, heard.handler)
        return heard

    yield take
    signal.signal(signal.SIGTERM, before)


@on_virtual_time
async def test_a_relay_is_open_while_the_server_runs() -> None:
    """L8: the relay is open from the startup to the shutdown, where live runs get the grace, and the rest is `lost`."""
    relay, server = Relay(memory()), Server()
    loop = asyncio.get_running_loop()
    app = drained_app(hello, relay, grace=10)
    life = asyncio.ensure_future(app(LIFESPAN, server.receive, server.send))
    await server.up.wait()
    assert server.said == ["lifespan.startup.complete"]
    assert (await Exchange().view(app)).body == b"hello"
    brief, long = await relay.start(play("a", 5.0)), await relay.start(play("a", silence()))
    ends = [asyncio.Task(relay.wait(run.id)) for run in (brief, long)]
    began = loop.time()
    server.stop.set()
    await life
    assert server.said[1:] == ["lifespan.shutdown.complete"]
    assert 5 < loop.time() - began <= 10
    outcomes = [await end for end in ends]
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [("completed", None), ("lost", "shutdown")]
    with pytest.raises(DrainingError):
        await relay.start(play("a"))


@on_virtual_time
async def test_a_relay_that_cannot_be_opened_stops_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """I13, L8: the server is told that the startup failed, and the reason is in the log only."""
    relay, server = Relay(memory()), Server()
    async with relay:  # a relay is entered once
        await drained_app(hello, relay)(LIFESPAN, server.receive, server.send)
    assert server.said == ["lifespan.startup.failed"]
    assert "this relay is open already" in caplog.text


@pytest.mark.parametrize("grace", [0, -1, float("nan")])
def test_a_grace_is_positive(grace: float) -> None:
    """L8: a grace that is none is refused before anything is opened."""
    with pytest.raises(ValueError, match="grace"):
        drained_app(hello, Relay(), grace=grace)
    with pytest.raises(ValueError, match="grace"):
        asyncio.run(draining(Relay(), grace=grace).__aenter__())


def test_a_signal_waits_for_the_drain(heard: Callable[[], Heard]) -> None:
    """L8: at a signal the relay drains, then whoever had the signal before gets it; streams of no relay are told."""

    async def main() -> None:
        words, leaving = heard(), CancelToken()
        async with draining(relay := Relay(), grace=0.6, signals=[signal.SIGTERM], leaving=leaving):
            run = await relay.start(play("a", silence()))
            ended = asyncio.Task(relay.wait(run.id))
            ended.add_done_callback(lambda end: words.say(end.result().status))
            signal.raise_signal(signal.SIGTERM)
            assert await words.has(2) == ["lost", "server"]
            await leaving.wait()
            assert leaving.reason == "shutdown"
        assert signal.getsignal(signal.SIGTERM) == words.handler

    asyncio.run(main())


def test_a_loop_hears_of_a_signal_after_the_drain() -> None:
    """L8: so does a server that hears of signals from its event loop; of others it hears at once."""

    async def main() -> None:
        words = Heard()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, words.say, "server")
        loop.add_signal_handler(signal.SIGUSR1, words.say, "other")
        async with draining(relay := Relay(), grace=0.6, signals=[signal.SIGTERM]):
            run = await relay.start(play("a", silence()))
            ended = asyncio.Task(relay.wait(run.id))
            ended.add_done_callback(lambda end: words.say(end.result().status))
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR1)
            assert await words.has(3) == ["other", "lost", "server"]
        signal.raise_signal(signal.SIGTERM)
        assert await words.has(4) == ["other", "lost", "server", "server"]

    asyncio.run(main())


def test_a_second_signal_does_not_wait(heard: Callable[[], Heard]) -> None:
    """L8: who asks twice is in a hurry: the server gets the second one at once, and leaving cuts what is left."""

    async def main() -> None:
        words = heard()
        async with draining(relay := Relay(), grace=600, signals=[signal.SIGTERM]):
            await relay.start(play("a", silence()))
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            assert await words.has(1) == ["server"]

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_signal_that_somebody_took_after_us_is_passed_on(heard: Callable[[], Heard]) -> None:
    """L8: a handler that was set later, and calls ours, reaches the server once we have left."""

    async def main() -> None:
        words = heard()
        async with draining(Relay(), signals=[signal.SIGTERM]):
            ours = signal.getsignal(signal.SIGTERM)
            assert callable(ours)

            def later(number: int, frame: FrameType | None) -> None:
                words.say("later")
                ours(number, frame)

            signal.signal(signal.SIGTERM, later)
        signal.raise_signal(signal.SIGTERM)
        assert words.said == ["later", "server"]

    asyncio.run(main())


def wake_up() -> int:
    """Tell to which descriptor the interpreter writes signals."""
    current = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(current, warn_on_full_buffer=False)
    return current


def test_a_loop_that_takes_the_wake_up_back_hears_after_the_drain() -> None:
    """L8: asyncio takes it for each handler, uvloop whenever it is run anew, as granian does: it is taken again."""

    async def main() -> None:
        words = Heard()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, words.say, "server")
        theirs = wake_up()
        async with draining(Relay(), signals=[signal.SIGTERM]), asyncio.timeout(5):
            loop.add_signal_handler(signal.SIGUSR1, words.say, "other")
            assert wake_up() == theirs
            while wake_up() == theirs:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR1)
            assert await words.has(2) == ["other", "server"]

    asyncio.run(main())


def test_two_relays_are_drained() -> None:
    """L8: where two take one signal both are drained, then the server hears of it; of others it hears once."""

    async def main() -> None:
        words = Heard()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, words.say, "server")
        loop.add_signal_handler(signal.SIGUSR1, words.say, "other")
        relays = Relay(), Relay()
        ended = list[asyncio.Task[Outcome]]()
        async with AsyncExitStack() as stack:
            for relay in relays:
                await stack.enter_async_context(draining(relay, grace=0.6, signals=[signal.SIGTERM]))
                run = await relay.start(play("a", silence()))
                ended.append(asyncio.Task(relay.wait(run.id)))
                ended[-1].add_done_callback(lambda end: words.say(end.result().status))
            await asyncio.sleep(0.1)  # both have looked after the wake-up several times
            signal.raise_signal(signal.SIGUSR1)
            assert await words.has(1) == ["other"]
            signal.raise_signal(signal.SIGTERM)
            assert await words.has(4) == ["other", "lost", "lost", "server"]

    asyncio.run(main())


def test_a_wake_up_that_a_loop_took_after_us_stays_its_own() -> None:
    """L8: uvloop takes a new socket whenever it runs anew, and closes the one before: that is not given back."""

    async def main() -> None:
        before, after = socket.socketpair(), socket.socketpair()
        for each in (*before, *after):
            each.setblocking(False)  # noqa: FBT003 - its name
        first = signal.set_wakeup_fd(before[1].fileno())
        async with draining(Relay(), signals=[signal.SIGTERM]):
            for each in before:
                each.close()
            signal.set_wakeup_fd(after[1].fileno())
        assert signal.set_wakeup_fd(first) == after[1].fileno()
        for each in after:
            each.close()

    asyncio.run(main())


def test_no_signal_is_taken_outside_the_main_thread(heard: Callable[[], Heard]) -> None:
    """L8: a lifespan that runs in a thread, where the interpreter allows no handlers, opens all the same."""

    async def main() -> None:
        async with draining(relay := Relay(), signals=[signal.SIGTERM]):
            await relay.start(play("a"))

    async def aside() -> None:
        words = heard()
        await asyncio.to_thread(asyncio.run, main())
        signal.raise_signal(signal.SIGTERM)
        assert words.said == ["server"]

    asyncio.run(aside())


def test_a_drain_that_fails_does_not_hold_the_server_up(
    heard: Callable[[], Heard], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """L8: whatever a drain raises is logged, and the server gets its signal."""

    async def main() -> None:
        words = heard()
        async with draining(Relay(), signals=[signal.SIGTERM]):
            with monkeypatch.context() as patch:
                patch.setattr(Tail, "aclose", broken)
                signal.raise_signal(signal.SIGTERM)
                assert await words.has(1) == ["server"]

    async def broken(tail: Tail) -> None:
        del tail
        raise OSError("the store is gone")

    asyncio.run(main())
    assert "the relay could not be drained" in caplog.text
