"""Every way in which a client can go, in memory: the response returns in time, and its source ends as it should."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from sse_relay import Relay
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.connection import Client
from sse_relay.adapters.messages import Message, Send
from sse_relay.adapters.viewing import Viewer
from sse_relay.combinators.pump import GRACE
from sse_relay.dialects import Dialect, Native
from sse_relay.testing import FaultyStore, Probe, cancel_at_every_await
from tests.adapters.relays import BEAT, Totals, memory, open_to_all
from tests.adapters.servers import App, Exchange, on_virtual_time
from tests.adapters.sources import Mode, Watched, fail, hang, hang_on, play, silence

modes = pytest.mark.parametrize("mode", ["close", "continue"])


@modes
@pytest.mark.parametrize(
    ("on_send", "goes", "noticed"),
    [
        (None, True, 10),
        (fail, False, 15),
        (hang, False, 45),
        (hang, True, 10),
        (hang_on, False, 45),
        (hang_on, True, 10),
    ],
)
@on_virtual_time
async def test_a_client_goes(mode: Mode, on_send: Send | None, goes: bool, noticed: float) -> None:
    """Defect 4, F, L4, L7: `receive`, OSError or a write past `send_timeout` says so; its source ends in time."""
    exchange = Exchange(on_send=on_send)
    if goes:
        asyncio.get_running_loop().call_later(10, exchange.gone.set)
    watched = Watched("a", 20.0, "b", 100.0, "c")
    await exchange.ask(watched.response(mode))
    assert watched.closed == [noticed + 1 if mode == "close" else 121]  # before the response returned
    assert watched.outcomes == ["cancelled" if mode == "close" else "completed"]
    assert exchange.names == ["a"]  # and nothing is sent to a client that is gone
    assert not exchange.complete
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@modes
@on_virtual_time
async def test_a_silent_send_is_no_sign_of_life(mode: Mode) -> None:
    """F: a source that never waits, and a `send` that drops everything at once: `receive` is heard all the same."""

    async def drop(message: Message) -> None:
        del message
        if len(exchange.messages) == 5:
            exchange.gone.set()

    exchange = Exchange(on_send=drop)
    probe = Probe(None if mode == "close" else 10_000)
    await exchange.ask(EventStreamResponse(probe, on_disconnect=mode))
    assert probe.closed
    assert len(exchange.messages) <= 8
    assert mode == "close" or probe.read == 10_000


@modes
@pytest.mark.parametrize("again", [0, 1, 1_000])
@on_virtual_time
async def test_the_server_cancels_the_request(mode: Mode, again: int) -> None:
    """I9, F: cancelled once, twice or at each turn, the request's task ends at once, and the source as it should."""
    watched = Watched("a", 20.0, "b", 100.0, "c")
    exchange = Exchange()
    task = asyncio.create_task(exchange.ask(watched.response(mode)))
    await asyncio.sleep(10)
    task.cancel()
    for _ in range(again):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert again or mode == "continue" or watched.closed == [11]
    await asyncio.sleep(200)
    assert watched.closed == [11 if mode == "close" else 121]
    assert watched.outcomes == ["cancelled" if mode == "close" else "completed"]
    assert exchange.names == ["a"]  # and nothing after the response has returned
    assert exchange.times == [0, 0]


@modes
@pytest.mark.parametrize("again", [0, 1, 2])
@on_virtual_time
async def test_the_server_cancels_at_any_await(mode: Mode, again: int) -> None:
    """I9, L7: wherever it is cancelled, it lets the cancellation through; the source is closed, its end told once."""
    rounds: list[Watched] = []

    def make() -> Coroutine[Any, Any, object]:
        async def slow(message: Message) -> None:
            del message
            await asyncio.sleep(0.1)

        rounds.append(Watched("a", 1.0, "b", "c", 1.0))
        return Exchange(on_send=slow).ask(rounds[-1].response(mode))

    async def check(step: int) -> None:
        await asyncio.sleep(10)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(rounds[-1].closed) == 1
        assert len(rounds[-1].outcomes) == 1, step
        assert mode == "close" or rounds[-1].outcomes == ["completed"]

    awaits = await cancel_at_every_await(make, check, again=again)
    assert awaits >= (8 if mode == "close" else 1)


@pytest.mark.parametrize("cancel_first", [True, False])
@on_virtual_time
async def test_the_client_goes_and_the_server_cancels(cancel_first: bool) -> None:
    """I9: a cancellation by the server is let through, also when the client's leaving cancelled the writing as well."""
    exchange = Exchange()
    watched = Watched("a", silence())
    task = asyncio.create_task(exchange.ask(watched.response("close")))
    await asyncio.sleep(10)
    for step in (task.cancel, exchange.gone.set) if cancel_first else (exchange.gone.set, task.cancel):
        step()
    await asyncio.wait({task})
    assert task.cancelled()
    await asyncio.sleep(1)
    assert watched.closed == [11]


@on_virtual_time
async def test_an_old_cancellation_is_not_ours() -> None:
    """I9: in a task that swallowed a cancellation before, a client that goes still ends the response quietly."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    exchange = Exchange()
    asyncio.get_running_loop().call_later(10, exchange.gone.set)
    await exchange.ask(EventStreamResponse(play("a", silence())))
    assert task.cancelling() == 1
    task.uncancel()


@on_virtual_time
async def test_a_stubborn_source_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    """F: a source that ignores its cancellation holds the response up for its grace, once, and is logged."""
    release = asyncio.Event()

    async def stubborn() -> AsyncGenerator[str, None]:
        yield "a"
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    loop = asyncio.get_running_loop()
    exchange = Exchange()
    loop.call_later(10, exchange.gone.set)
    await EventStreamResponse(stubborn())(exchange.scope, exchange.receive, exchange.send)
    assert loop.time() == 10 + GRACE
    assert caplog.text.count("was abandoned") == 1
    release.set()


@modes
@on_virtual_time
async def test_a_slow_client_is_no_dead_one(mode: Mode) -> None:
    """L4: `send_timeout` is for one write, and None is for ever."""

    async def slow(message: Message) -> None:
        del message
        await asyncio.sleep(20)

    exchange = await Exchange(on_send=slow).ask(EventStreamResponse(Probe(300, waits=True), on_disconnect=mode))
    assert exchange.names == [*map(str, range(300)), "end"]
    exchange = await Exchange(on_send=slow).ask(EventStreamResponse(Probe(3), on_disconnect=mode, send_timeout=None))
    assert exchange.complete


@on_virtual_time
async def test_a_receive_that_fails_is_a_client_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """L7: a server whose `receive` raises leaves no source behind; the log has why."""
    exchange = Exchange()

    async def receive() -> Message:
        await asyncio.sleep(10)
        raise ValueError("a broken middleware")

    watched = Watched("a", silence())
    await watched.response("close")(exchange.scope, receive, exchange.send)
    assert watched.closed == [11]
    assert "a broken middleware" in caplog.text


@on_virtual_time
async def test_a_send_that_fails_otherwise_raises() -> None:
    """L7: what `send` raises apart from OSError is the server's to see; the source is closed."""

    async def broken(message: Message) -> None:
        raise ValueError(message["type"])

    watched = Watched("a", silence())
    with pytest.raises(ValueError, match=r"http\.response\.start"):
        await Exchange(on_send=broken).ask(watched.response("close"))
    assert watched.closed == [1]


# Viewers of a run


def nobody_views(relay: Relay) -> bool:
    """Tell whether the relay keeps nothing for viewers any more."""
    return not relay._tail._windows


@pytest.mark.parametrize(
    ("on_send", "goes", "noticed"),
    [
        (None, True, 10),
        (fail, False, 15),
        (hang, False, 45),
        (hang, True, 10),
        (hang_on, False, 45),
        (hang_on, True, 10),
    ],
)
@pytest.mark.parametrize("dialect", [Native(), Totals()], ids=["native", "totals"])
@on_virtual_time
async def test_a_viewer_goes(dialect: Dialect, on_send: Send | None, goes: bool, noticed: float) -> None:
    """L4, L5, L7: however a viewer goes, its response returns in time, and the run does not notice."""
    async with Relay(memory()) as relay:
        watched = Watched("1", 20.0, "2", 100.0, "3")
        run = await relay.start(watched.stream)
        exchange = Exchange(on_send=on_send)
        if goes:
            asyncio.get_running_loop().call_later(10, exchange.gone.set)
        await exchange.view(EventStreamResponse(relay.subscribe(run.id), dialect=dialect))
        assert asyncio.get_running_loop().time() == noticed
        assert not exchange.complete
        assert nobody_views(relay)
        assert not watched.closed
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await relay.wait(run.id)
        assert watched.closed == [pytest.approx(121)]
        assert (await relay.info(run.id)).last_offset == 4


@pytest.mark.parametrize("again", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("dialect", "after"), [(Native(), None), (Totals(), 2), (Totals(), None)], ids=["native", "joined", "totals"]
)
@on_virtual_time
async def test_a_viewing_is_cancelled_at_any_await(dialect: Dialect, after: int | None, again: int) -> None:
    """I9, L7: wherever the server cancels a viewing, it lets the cancellation through; the run goes on."""
    store = FaultyStore(memory())
    rounds: list[Exchange] = []
    async with Relay(store) as relay:
        run = await relay.start(play("1", "2", "3", silence()))
        await asyncio.sleep(1)
        before = asyncio.all_tasks()

        def make() -> Coroutine[Any, Any, object]:
            async def slow(message: Message) -> None:
                del message
                await asyncio.sleep(0.1)

            rounds.append(Exchange(on_send=slow))
            asyncio.get_running_loop().call_later(2, rounds[-1].gone.set)
            response = EventStreamResponse(relay.subscribe(run.id, after), dialect=dialect, keepalive=1)
            return rounds[-1].view(response)

        async def check(step: int) -> None:
            await asyncio.sleep(5)
            assert asyncio.all_tasks() == before, step
            assert not rounds[-1]._listening
            assert nobody_views(relay)
            assert (await relay.info(run.id)).status == "running"

        with store.delays(0.05, "end", "read"):
            assert await cancel_at_every_await(make, check, again=again) >= 6


@pytest.mark.parametrize("cancel_first", [True, False])
@on_virtual_time
async def test_a_viewer_goes_and_the_server_cancels(cancel_first: bool) -> None:
    """I9: a cancellation by the server is let through, also when the viewer's leaving cancelled the viewing as well."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("1", silence()))
        exchange = Exchange()
        task = asyncio.create_task(exchange.view(EventStreamResponse(relay.subscribe(run.id))))
        await asyncio.sleep(10)
        for step in (task.cancel, exchange.gone.set) if cancel_first else (exchange.gone.set, task.cancel):
            step()
        await asyncio.wait({task})
        assert task.cancelled()
        assert nobody_views(relay)


@on_virtual_time
async def test_viewers_come_and_go_without_a_trace() -> None:
    """L6, L7: of a hundred viewers of a silent run not a task, a timer or a seat in its window is left."""
    loop: Any = asyncio.get_running_loop()
    async with Relay(memory()) as relay:
        run = await relay.start(play("1", silence()))
        await asyncio.sleep(1)
        before = asyncio.all_tasks()
        async with relay.subscribe(run.id, 1):  # somebody stays, and the window with it
            window = relay._tail._windows[run.id]
            for seconds in (0, 3, 20):
                exchanges = [Exchange() for _ in range(100)]
                for exchange in exchanges:
                    loop.call_later(seconds, exchange.gone.set)
                await asyncio.gather(*(e.view(EventStreamResponse(relay.subscribe(run.id))) for e in exchanges))
                assert asyncio.all_tasks() == before
                timers = [timer for timer in loop._scheduled if not timer.cancelled()]
                owners = [getattr(timer._callback, "__self__", None) for timer in timers]
                assert not [owner for owner in owners if isinstance(owner, (Client, Viewer))]
                assert window.viewers == 1


@on_virtual_time
async def test_a_slow_viewer_holds_nobody_up() -> None:
    """L5: viewers at their own paces: the run and the fast ones do not wait, the slow ones get it all, later."""

    def at_pace(seconds: float) -> Exchange:
        async def pause(message: Message) -> None:
            del message
            await asyncio.sleep(seconds)

        return Exchange(on_send=pause)

    async with Relay(memory()) as relay:
        run = await relay.start(play(*[step for number in range(500) for step in (0.01, str(number))]))
        exchanges = [at_pace(seconds) for seconds in (0, 0, 0.001, 0.5, 29)]
        viewing = [asyncio.create_task(e.view(EventStreamResponse(relay.subscribe(run.id)))) for e in exchanges]
        await relay.wait(run.id)
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        await asyncio.gather(*viewing)
        for exchange in exchanges:
            assert exchange.names == [*map(str, range(500)), "end"]
        assert exchanges[0].times[-1] == pytest.approx(5)
        assert len(exchanges[4].writes) < 20  # what came during a write shares the next ones


@pytest.mark.parametrize("dialect", [Native(), Totals()], ids=["native", "totals"])
@on_virtual_time
async def test_a_viewer_that_does_not_read_is_dropped(dialect: Dialect) -> None:
    """L4, I3: at `send_timeout` a viewer that reads no more is dropped, and comes back to the rest."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*[step for number in range(100) for step in (1.0, str(number))]))
        whole = await Exchange().view(EventStreamResponse(relay.subscribe(run.id), dialect=dialect))
        run = await relay.start(play(*[step for number in range(100) for step in (1.0, str(number))]))
        exchange = Exchange(on_send=stuck_after(10))
        await exchange.view(EventStreamResponse(relay.subscribe(run.id), dialect=dialect, send_timeout=7))
        assert not exchange.complete
        last = [event.id for event in exchange.events if event.id][-1]
        rest = await Exchange().view(EventStreamResponse(relay.subscribe(run.id, last), dialect=dialect))
        seen = exchange.names[: 1 + max(i for i, event in enumerate(exchange.events) if event.id)]
        tail = rest.names if isinstance(dialect, Native) else rest.names[1:]
        assert (seen + tail)[-200:] == whole.names[-200:]


def stuck_after(count: int) -> Send:
    """A `send` to a client that reads so many messages, and then no more."""
    left = iter(range(count))

    async def send(message: Message) -> None:
        del message
        if next(left, None) is None:
            await silence().wait()

    return send


def behind_middleware(app: App) -> App:
    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    middleware = [Middleware(BaseHTTPMiddleware, dispatch=dispatch), Middleware(GZipMiddleware)]
    return Starlette(routes=[Mount("/", app)], middleware=middleware)


@on_virtual_time
async def test_a_viewer_goes_behind_middleware() -> None:
    """F, L7: behind a middleware that stands between, the first byte comes at once, and a leave is noticed."""
    async with Relay(memory()) as relay:
        app = behind_middleware(open_to_all(relay))
        run = await relay.start(play("1", 5.0, "2", silence()))
        await asyncio.sleep(1)
        exchange = Exchange(path=f"/runs/{run.id}/events")
        asyncio.get_running_loop().call_later(30, exchange.gone.set)
        await exchange.view(app)
        assert exchange.body.startswith(BEAT)
        assert exchange.names == ["1", "2"]
        assert exchange.times[:3] == [0, 0, 0]
        assert exchange.times[3] == 4
        assert nobody_views(relay)
        assert (await relay.info(run.id)).status == "running"
