"""
A server that loses what it had: the producer and every viewer come to a typed end, and nobody sees a splice.

A failover to a replica that lacks the newest writes is made of a dump: all that was stored at one time is restored at a
later one, in one step.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis

from sse_relay import Cursor, CursorMismatchError, Outcome, Relay, RunNotFoundError, SSERelayError
from sse_relay.runs.producer import seal_of
from sse_relay.runs.reaper import LOST
from sse_relay.stores.protocol import RunInfo
from sse_relay.stores.redis import RedisStore
from sse_relay.testing import FaultyStore
from tests.redis_histories.clock import ServerClockLoop
from tests.runs.faults import said, view
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually

DATABASE = 10
LEASE = 3.0
IN_TIME = LEASE + 5.0 + 2.0  # seconds: a silent viewer looks every five


class Ticking:
    """
    A source that says 1, 2, 3, … one every second; after a number it may fall silent.

    Attributes:
        closed: Whether it was.
    """

    def __init__(self, count: int, *, then_silent: bool = False) -> None:
        self.closed = False
        self._count = count
        self._then_silent = then_silent

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            for number in range(1, self._count + 1):
                yield str(number)
                await asyncio.sleep(1)
            if self._then_silent:
                await asyncio.get_running_loop().create_future()
        finally:
            self.closed = True


class Reader:
    """
    A viewer that stays, and tells what it has seen and how that ended.

    Attributes:
        seen: What it has seen.
        cursors: And where.
        outcome: How the run ended.
        error: What it was told instead.
    """

    def __init__(self, relay: Relay, run_id: str) -> None:
        self.seen: list[str | None] = []
        self.cursors: list[Cursor] = []
        self.outcome: Outcome | None = None
        self.error: SSERelayError | None = None
        self._task = asyncio.create_task(self._read(relay, run_id))

    async def comes_to(self, count: int) -> None:
        """Wait until it has seen so much."""
        await eventually(lambda: len(self.seen) >= count)

    async def ends(self, within: float = IN_TIME) -> None:
        """Wait for its end."""
        await asyncio.wait_for(self._task, within)

    async def _read(self, relay: Relay, run_id: str) -> None:
        try:
            async with relay.subscribe(run_id) as events:
                async for event in events:
                    self.seen.append(event.event or event.data)
                    self.cursors.append(Cursor.parse(event.id or ""))
            self.outcome = events.outcome
        except SSERelayError as error:
            self.error = error


class Place:
    """Two processes and the server that they share."""

    def __init__(self, server: Server) -> None:
        self.client: Redis = server.client(db=DATABASE)
        self.stores = [RedisStore.from_url(f"unix://{server.socket}?db={DATABASE}", prefix="loss") for _ in range(2)]
        self.mine = FaultyStore(self.stores[0])
        self.here = Relay(self.mine, lease=LEASE)
        self.there = Relay(self.stores[1], lease=LEASE)

    async def close(self) -> None:
        """Let go of the server."""
        for store in self.stores:
            await store.aclose()
        await self.client.aclose()

    async def keys(self, run_id: str) -> dict[str, str]:
        """Tell what is stored of a run, by kind."""
        names = [name.decode() for name in await self.client.keys(f"*:{run_id}") if isinstance(name, bytes)]
        return {name.split("}:")[1].partition(":")[0]: name for name in names}

    async def dump(self) -> Callable[[], Awaitable[object]]:
        """Keep all that is stored; what is returned puts it back."""
        names = await self.client.keys()
        kept = [(name, await self.client.pttl(name), await self.client.dump(name) or b"") for name in names]

        async def restore() -> None:
            async with self.client.pipeline(transaction=True) as together:
                together.flushdb()
                for name, left, what in kept:
                    together.restore(name, left, what)
                await together.execute()

        return restore


def on(server: Server, test: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    """Run a test in a place of its own, whose silences are skipped."""

    async def main() -> None:
        place = Place(server)
        try:
            await place.client.flushdb()
            async with place.here, place.there:
                await test(place)
        finally:
            await place.close()

    with asyncio.Runner(loop_factory=lambda: ServerClockLoop(server.socket, DATABASE)) as runner:
        runner.run(main())


async def deleted(place: Place, run: RunInfo) -> None:
    await place.client.delete(*(await place.keys(run.id)).values())


async def without_state(place: Place, run: RunInfo) -> None:
    await place.client.delete((await place.keys(run.id))["run"])


async def flushed(place: Place, run: RunInfo) -> None:
    await place.client.flushall()


async def evicted(place: Place, run: RunInfo) -> None:
    await place.client.config_set("maxmemory-policy", "allkeys-random")
    await place.client.config_set("maxmemory", 1)
    try:
        await eventually(lambda: _is_empty(place.client))
    finally:
        await place.client.config_set("maxmemory", 0)
        await place.client.config_set("maxmemory-policy", "noeviction")


async def _is_empty(client: Redis) -> bool:
    return await client.dbsize() == 0


@pytest.mark.parametrize("silent", [False, True], ids=["speaking", "silent"])
@pytest.mark.parametrize("lose", [deleted, without_state, flushed, evicted])
def test_a_run_that_vanished_ends_for_everybody(
    server: Server, lose: Callable[[Place, RunInfo], Awaitable[None]], *, silent: bool
) -> None:
    """I7, L2: its source is stopped, each viewer is told that there is no such run, and nothing makes it anew."""

    async def test(place: Place) -> None:
        source = Ticking(3 if silent else 1000, then_silent=silent)
        run = await place.here.start(source, key="k")
        readers = [Reader(relay, run.id) for relay in (place.here, place.there)]
        waiting = asyncio.create_task(place.there.wait(run.id))
        for reader in readers:
            await reader.comes_to(3)
        await lose(place, run)
        for reader in readers:
            await reader.ends()
            assert isinstance(reader.error, RunNotFoundError)
            assert reader.seen == [str(number) for number in range(1, len(reader.seen) + 1)]
        with pytest.raises(RunNotFoundError):
            await asyncio.wait_for(waiting, IN_TIME)
        async with asyncio.timeout(LEASE):
            await eventually(lambda: source.closed)
        assert "run" not in await place.keys(run.id)
        assert await place.there.active("k") is None
        again = await place.there.start(Ticking(2), key="k")
        assert said(await view(place.here, again.id)) == ["1", "2", "end"]
        with pytest.raises(RunNotFoundError):
            await place.here.cancel(run.id)

    on(server, test)


@pytest.mark.parametrize("silent", [False, True], ids=["speaking", "silent"])
def test_a_run_without_its_log_is_lost(server: Server, *, silent: bool) -> None:
    """I7, L2: a log that vanished is not begun anew: the run is lost, and what is gone is a gap for who comes late."""

    async def test(place: Place) -> None:
        source = Ticking(3 if silent else 1000, then_silent=silent)
        run = await place.here.start(source)
        readers = [Reader(relay, run.id) for relay in (place.here, place.there)]
        for reader in readers:
            await reader.comes_to(3)
        await place.client.delete(*[name for kind, name in (await place.keys(run.id)).items() if kind != "run"])
        if silent:
            place.mine.vanish()  # else it would hold the run for as long as it says nothing
        for reader in readers[silent:]:
            await reader.ends()
            assert reader.outcome is not None
            assert reader.outcome.status == "lost"
            texts = reader.seen[:-1]
            assert texts == [str(number) for number in range(1, len(texts) + 1)]
        if not silent:
            await eventually(lambda: source.closed)
        (end,) = readers[1].cursors[-1:]
        for after in (None, Cursor(run.epoch, 2)):
            events = await view(place.there, run.id, after)
            assert said(events) == ["gap", "end"]
            assert [event.id for event in events] == [f"{end.epoch}:{end.offset - 1}", str(end)]

    on(server, test)


def test_a_lost_tail_is_sent_again_or_its_run_is_lost(server: Server) -> None:
    """I4, I5, I7: after a failover the log is whole again, as it was, or ends; no viewer sees anything else between."""

    async def test(place: Place) -> None:
        source = Ticking(12)
        run = await place.here.start(source, key="k")
        readers = [Reader(relay, run.id) for relay in (place.here, place.there)]
        await readers[1].comes_to(4)
        restore = await place.dump()
        for reader in readers:
            await reader.comes_to(7)
        await restore()
        outcome = await asyncio.wait_for(place.there.wait(run.id), 30)
        log = await view(place.there, run.id)
        texts = said(log)[:-1]
        assert texts == [str(number) for number in range(1, len(texts) + 1)]
        assert len(texts) == 12 if outcome.status == "completed" else len(texts) >= 4
        assert outcome.status in {"completed", "lost"}
        for reader in readers:
            await reader.ends()
            if isinstance(reader.error, CursorMismatchError):
                assert reader.error.kind == "rolled_back"
                assert reader.seen == [str(number) for number in range(1, len(reader.seen) + 1)]
            else:
                assert reader.error is None
                assert reader.seen == said(log)
                assert reader.outcome == outcome
            for cursor in reader.cursors:
                await refused_or_continued(place.there, run.id, cursor, [event.id for event in log])
        async with asyncio.timeout(LEASE):
            await eventually(lambda: source.closed)
        assert await place.there.active("k") is None

    on(server, test)


async def refused_or_continued(relay: Relay, run_id: str, cursor: Cursor, ids: list[str | None]) -> None:
    """A place that the log has is gone on from; one that it lost is refused."""
    if str(cursor) in ids:
        assert [event.id for event in await view(relay, run_id, cursor)] == ids[cursor.offset :]
    else:
        with pytest.raises(CursorMismatchError):
            await view(relay, run_id, cursor)


def test_cursors_of_a_tail_that_died_with_its_producer_are_refused(server: Server) -> None:
    """I7, L2: the producer and the primary die together: the run is lost where its replica ends; no later place is."""

    async def test(place: Place) -> None:
        run = await place.here.start(Ticking(1000))
        reader = Reader(place.there, run.id)
        await reader.comes_to(4)
        restore = await place.dump()
        kept = (await place.stores[1].info(run.id)).last_offset
        await reader.comes_to(kept + 4)
        place.mine.vanish()
        await restore()
        outcome = await asyncio.wait_for(place.there.wait(run.id), LEASE + 2)
        assert outcome.status == "lost"
        await reader.ends()
        assert isinstance(reader.error, CursorMismatchError)
        assert reader.error.kind == "rolled_back"
        log = await view(place.there, run.id)
        assert said(log) == [*map(str, range(1, kept + 1)), "end"]
        for cursor in reader.cursors:
            if cursor.offset <= kept:
                assert await view(place.there, run.id, cursor) == log[cursor.offset :]
                continue
            with pytest.raises(CursorMismatchError) as raised:
                await view(place.there, run.id, cursor)
            assert raised.value.kind == "rolled_back"

    on(server, test)


@pytest.mark.parametrize("alive", [False, True], ids=["the producer is dead", "the producer lives"])
def test_an_end_that_was_lost_is_no_place(server: Server, *, alive: bool) -> None:
    """I6, I7: a takeover that a failover undid is done again in another epoch; cursors of the first are foreign."""

    async def test(place: Place) -> None:
        source = Ticking(1000)
        run = await place.here.start(source)
        reader = Reader(place.there, run.id)
        await reader.comes_to(4)
        restore = await place.dump()
        kept = (await place.stores[1].info(run.id)).last_offset
        if not alive:
            place.mine.vanish()
        undone = (await place.stores[1].end(run.id, seal_of(LOST))).info
        await reader.ends()
        seal = Cursor(undone.epoch, undone.last_offset)
        assert reader.cursors[-1] == seal
        if alive:
            await eventually(lambda: source.closed)  # it has heard that it lost its right, and never takes it again
        await restore()
        outcome = await asyncio.wait_for(place.there.wait(run.id), LEASE + 2)
        assert outcome.status == "lost"
        log = await view(place.there, run.id)
        assert said(log) == [*map(str, range(1, kept + 1)), "end"]
        with pytest.raises(CursorMismatchError) as raised:
            await view(place.there, run.id, seal)
        assert raised.value.kind == "foreign"

    on(server, test)


def test_a_run_that_was_lost_whole_is_not_found(server: Server) -> None:
    """I7: a run that began after what the replica has is gone for its producer and viewers, and its key is free."""

    async def test(place: Place) -> None:
        restore = await place.dump()
        source = Ticking(1000)
        run = await place.here.start(source, key="k", idempotency_key="i")
        reader = Reader(place.there, run.id)
        await reader.comes_to(2)
        await restore()
        await reader.ends()
        assert isinstance(reader.error, RunNotFoundError)
        await eventually(lambda: source.closed)
        again = await place.there.start(Ticking(1), key="k", idempotency_key="i")
        assert not again.joined
        assert again.id != run.id
        with pytest.raises(RunNotFoundError):
            await view(place.there, run.id, reader.cursors[0])
        with pytest.raises(CursorMismatchError) as raised:
            await view(place.there, again.id, reader.cursors[0])
        assert raised.value.kind == "foreign"

    on(server, test)
