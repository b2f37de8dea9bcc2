"""Bring what a producer says into its log, also across an outage of the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest

from sse_relay import MemoryStore, Outcome, Relay
from sse_relay.exceptions import StoreUnavailableError
from sse_relay.runs import outbox
from sse_relay.runs.writer import UNAVAILABLE, Writer
from sse_relay.stores.protocol import Appended, Grant, RunInfo, Seal
from sse_relay.testing import run_virtual
from tests.runs.faults import Handle, memory, numbers, said, settle, silence, view
from tests.stores.redis.proxy import through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually

Sent = tuple[int, tuple[bytes, ...], Seal | None]


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorder(Handle):
    """
    A process that writes down what it appends.

    Attributes:
        sent: Each append, and whether it was answered.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.sent: list[tuple[Sent, bool]] = []
        self._under_way = 0

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Append; there is never a second one under way."""
        assert not self._under_way, "two appends at once"
        self._under_way += 1
        batch, answered = tuple(frames), False
        try:
            answer = await super().append(grant, first_offset, frames, seal)
            answered = True
            return answer
        finally:
            self._under_way -= 1
            self.sent.append(((first_offset, batch, seal), answered))

    def check(self) -> None:
        """Each append of unknown fate was sent again unchanged."""
        for (asked, answered), (next_asked, _) in zip(self.sent, self.sent[1:], strict=False):
            assert answered or asked == next_asked


def roll_back(store: MemoryStore, run: RunInfo, last: int) -> None:
    """Let a log lose its newest records, as a failover does."""
    del store._registry._runs[run.id]._frames[last:]


def last_of(store: MemoryStore, run: RunInfo) -> int:
    return store._registry._runs[run.id].last_offset


def writer_of(relay: Relay) -> Writer:
    (live,) = relay._supervisor._live.values()
    return live.production._writer


def counted(count: int) -> list[str]:
    return [*map(str, range(1, count + 1)), "end"]


@pytest.mark.parametrize("fault", ["down", "hung"])
def test_an_outage_is_ridden_out(fault: str) -> None:
    """I5: while the store fails or hangs the source is read on; then all is stored in order, once, in few appends."""

    async def main() -> None:
        handle, ended = Recorder(memory()), list[float]()

        async def source() -> AsyncIterator[str]:
            async for number in numbers(700, 0.01):
                yield number
            ended.append(now())

        async with Relay(handle) as relay:
            run = await relay.start(source())
            await asyncio.sleep(1)
            setattr(handle, fault, True)
            await asyncio.sleep(7.5)
            assert ended == [pytest.approx(7, abs=1.1 if fault == "hung" else 0.1)]
            handle.sent.clear()
            setattr(handle, fault, False)
            assert (await relay.wait(run.id)).status == "completed"
            assert now() <= 8.5 + 1.01
            assert len(handle.sent) <= 4
            handle.check()
            assert said(await view(relay, run.id)) == counted(700)
        await settle()

    run_virtual(main())


def test_a_lost_answer_in_an_outage_is_no_second_copy() -> None:
    """I5: appends that were done and not answered, before an outage and after, are there once; none was changed."""

    async def main() -> None:
        handle = Recorder(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(600, 0.01))
            await asyncio.sleep(1)
            handle.lossy["append"] = 1
            await asyncio.sleep(0.03)
            handle.down = {"append"}
            await asyncio.sleep(3)
            handle.lossy["append"] = 3
            handle.down = False
            assert said(await view(relay, run.id)) == counted(600)
            handle.check()

    run_virtual(main())


@pytest.mark.parametrize(("size", "most"), [(0, 10_000), (100_000, 42)])
def test_what_is_held_is_bounded(size: int, most: int) -> None:
    """L6: an outage costs 10,000 events or 4 MiB a run; then its source waits, and is stopped if nothing answers."""

    async def main() -> None:
        handle, closed = Recorder(memory()), list[float]()
        read = 0

        async def source() -> AsyncIterator[str]:
            nonlocal read
            try:
                while True:
                    await asyncio.sleep(0.01)
                    read += 1
                    yield str(read) + "x" * size
            finally:
                closed.append(now())

        async with Relay(handle, lease=900) as relay:
            run = await relay.start(source())
            await asyncio.sleep(0.015)
            handle.down = True
            await asyncio.sleep(200)
            held = writer_of(relay)._outbox
            assert most - 1 <= held.end - 1 - held.last_stored <= most
            assert held._waiting_size <= outbox._MOST_BYTES + size + 200
            assert most <= read <= most + 2 * 65 + 1
            assert not closed
            await asyncio.sleep(200)
            assert closed == [pytest.approx(300, abs=2)]
            handle.down = False
            assert await relay.wait(run.id) == UNAVAILABLE
            texts = [text and text.rstrip("x") for text in said(await view(relay, run.id))]
            assert texts == counted(len(texts) - 1)
            assert len(texts) - 1 >= most
            handle.check()
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_source_that_waited_for_room_goes_on(size: int) -> None:
    """I5, L6: what a fast source has in its hand when the room is full is stored, in order, after a short outage."""

    async def main() -> None:
        for fault in ("down", "hung"):
            handle = Recorder(memory())
            count = 25_000 if size == 10 else 150

            async def source() -> AsyncIterator[str]:
                yield "1"
                await asyncio.sleep(1)
                for number in range(2, count + 1):  # noqa: B023 - it ends in this turn
                    yield f"{number}" + "x" * size

            async with Relay(handle) as relay:
                run = await relay.start(source())
                await asyncio.sleep(0.5)
                setattr(handle, fault, True)
                await asyncio.sleep(2.5)
                assert writer_of(relay)._room is not None
                setattr(handle, fault, False)
                assert (await relay.wait(run.id)).status == "completed"
                assert [text and text.rstrip("x") for text in said(await view(relay, run.id))] == counted(count)
                handle.check()
            await settle()

    run_virtual(main())


@pytest.mark.parametrize("fault", ["down", "hung"])
def test_past_the_lease_the_source_is_stopped_and_what_it_said_is_kept(fault: str) -> None:
    """I6: who could not renew stops its source before the lease ends; what it had said by then is stored yet."""

    async def main() -> None:
        store = memory()
        handle, closed, told = Recorder(store), list[float](), list[RunInfo]()

        async def source() -> AsyncIterator[str]:
            try:
                async for number in numbers(None, 0.1):
                    yield number
            finally:
                closed.append(now())

        async with Relay(handle, on_transition=told.append) as relay:
            run = await relay.start(source(), key="k")
            await asyncio.sleep(5.05)
            setattr(handle, fault, True)
            await asyncio.sleep(60)
            (stopped,) = closed
            assert 5 + 10 * 0.6 < stopped < 5.05 + 10
            setattr(handle, fault, False)
            outcome = await relay.wait(run.id)
            assert (outcome.status, outcome.reason) == ("failed", "store_unavailable")
            assert outcome.error is not None
            assert (outcome.error.code, outcome.error.status) == ("store_unavailable", 503)
            events = said(await view(relay, run.id))
            assert events == counted(len(events) - 1)
            assert len(events) - 1 == pytest.approx(stopped * 10, abs=12)
            await asyncio.sleep(0.1)
            assert [info.status for info in told] == ["running", "failed"]
            assert await relay.active("k") is None
        await settle()

    run_virtual(main())


def test_whoever_took_the_run_over_wins() -> None:
    """I6, I2: what was held back in an outage is refused once the run was reaped; the producer stops for good."""

    async def main() -> None:
        store = memory()
        handle = Recorder(store)
        async with Relay(handle, lease=3) as here, Relay(store, lease=3) as there:
            run = await here.start(numbers(None, 0.1))
            await asyncio.sleep(1.05)
            handle.down = True
            assert (await there.wait(run.id)).reason == "lease_expired"
            before = await view(there, run.id)
            assert writer_of(here)._outbox.waits
            handle.down = False
            await asyncio.sleep(30)
            assert not here._supervisor._live
            assert await view(here, run.id) == before
            assert said(before) == counted(len(before) - 1)
        await settle()

    run_virtual(main())


def test_a_cancel_during_an_outage() -> None:
    """L3, I2: the source stops at once; what was read before is stored when the store is back, then `cancelled`."""

    async def main() -> None:
        store = memory()
        handle, closed = Recorder(store), list[float]()

        async def source() -> AsyncIterator[str]:
            try:
                async for number in numbers(None, 0.1):
                    yield number
            finally:
                closed.append(now())

        async with Relay(handle) as here, Relay(store) as there:
            run = await here.start(source())
            await asyncio.sleep(1.05)
            handle.down = {"append", "renew"}
            await asyncio.sleep(2)
            cancelling = asyncio.create_task(there.cancel(run.id, "user", grace=5))
            await asyncio.sleep(1)
            assert closed == [pytest.approx(3.05, abs=0.01)]
            handle.down = False
            info = await cancelling
            assert info.outcome == Outcome("cancelled", "user")
            assert said(await view(there, run.id)) == counted(30)
        await settle()

    run_virtual(main())


@pytest.mark.parametrize("fault", ["down", "hung"])
def test_a_drain_during_an_outage(fault: str) -> None:
    """L8, L7: a relay whose store is away closes within its grace, and leaves no task behind."""

    async def main() -> None:
        handle = Recorder(memory())
        async with Relay(handle) as relay:
            await relay.start(numbers(None, 0.1))
            await asyncio.sleep(1)
            setattr(handle, fault, True)
            await asyncio.sleep(3)
            began = now()
            await relay.drain(2)
            assert now() <= began + 2
            assert not handle._under_way
        await settle()

    run_virtual(main())


def test_what_nobody_can_store_is_let_go() -> None:
    """L6: ten minutes after the store has gone a producer holds nothing any more, and tries no more (L7)."""

    async def main() -> None:
        store = memory()
        handle = Recorder(store)
        async with Relay(handle) as relay:
            run = await relay.start(numbers(None, 0.1))
            await asyncio.sleep(1)
            handle.down = True
            await asyncio.sleep(590)
            assert len(writer_of(relay)._outbox._waiting) >= 80
            await asyncio.sleep(20)
            assert not relay._supervisor._live
            handle.sent.clear()
            handle.down = False
            assert (await relay.wait(run.id)).status == "lost"
            assert not handle.sent
        await settle()

    run_virtual(main())


def test_a_store_that_takes_no_appends() -> None:
    """A store that renews leases and refuses records ends the run with a code after a minute; a source may end (L1)."""

    async def main() -> None:
        for source in (numbers(None, 0.1), numbers(20, 0.1), silence()):
            handle = Recorder(memory())
            async with Relay(handle) as relay:
                began = now()
                run = await relay.start(source)
                handle.down = {"append"}
                if isinstance(source, AsyncIterator) and source.__name__ == "silence":  # type: ignore[attr-defined]
                    await relay.cancel(run.id, grace=1)
                    continue
                outcome = await relay.wait(run.id)
                assert outcome == UNAVAILABLE
                assert 60 <= now() - began <= 65
            await settle()

    run_virtual(main())


def test_a_full_log_after_an_outage() -> None:
    """Row A1: what was held and does not fit is a typed end; what is kept has no hole (I7)."""

    async def main() -> None:
        for count in (None, 400):
            handle = Recorder(memory(max_events=150))
            async with Relay(handle) as relay:
                run = await relay.start(numbers(count, 0.01))
                await asyncio.sleep(1)
                handle.down = True
                await asyncio.sleep(5)
                handle.down = False
                outcome = await relay.wait(run.id)
                assert (outcome.status, outcome.reason) == ("failed", "log_full")
                events = said(await view(relay, run.id))
                assert events == counted(len(events) - 1)
                assert 95 <= len(events) <= 151

    run_virtual(main())


def test_a_store_that_breaks_in_an_outage() -> None:
    """A retry that raises what no store should ends the run as failed, and its source is stopped at once (I2)."""

    async def main() -> None:
        tried = 0

        async def append(*_: Any) -> Any:
            nonlocal tried
            tried += 1
            raise StoreUnavailableError("away") if tried < 3 else TypeError("secret")

        broken: Any = Handle(memory())
        broken.append = append
        async with Relay(broken) as relay:
            run = await relay.start(numbers(None, 0.1))
            outcome = await relay.wait(run.id)
            assert (outcome.status, outcome.error and outcome.error.code) == ("failed", "internal_error")
            assert now() < 2
        await settle()

    run_virtual(main())


# A tail that the store has lost


@pytest.mark.parametrize("lost", [1, 3, 50])
def test_a_lost_tail_is_sent_again(lost: int) -> None:
    """I4, I7: records that a failover lost are sent again with the next append, and the run goes on without a hole."""

    async def main() -> None:
        store = memory()
        handle = Recorder(store)
        async with Relay(handle) as relay:
            run = await relay.start(numbers(120, 0.1))
            await asyncio.sleep(6.05)
            before = (await store.read(run.id)).frames
            roll_back(store, run, 60 - lost)
            await asyncio.sleep(0.1)
            assert (await store.read(run.id, limit=60)).frames == before
            assert said(await view(relay, run.id)) == counted(120)
            assert (await relay.info(run.id)).epoch == run.epoch

    run_virtual(main())


def test_a_silent_producer_sends_a_lost_tail_again() -> None:
    """I7: a source that says nothing more does not hold up the repair: the next renewal tells of the loss."""

    async def main() -> None:
        store = memory()
        handle = Recorder(store)

        async def source() -> AsyncIterator[str]:
            async for number in numbers(20, 0.1):
                yield number
            await asyncio.sleep(60)
            yield "21"

        async with Relay(handle, lease=9) as relay:
            run = await relay.start(source())
            for lost in (1, 7, 20):
                await asyncio.sleep(6)
                roll_back(store, run, 20 - lost)
                await asyncio.sleep(3.1)
                assert last_of(store, run) == 20
            handle.sent.clear()
            await asyncio.sleep(20)
            assert not handle.sent
            assert said(await view(relay, run.id)) == counted(21)

    run_virtual(main())


@pytest.mark.parametrize("slow", [0.3, 2.0])
def test_a_renewal_never_makes_a_second_append(slow: float) -> None:
    """I5: one append is in flight at a time, also when a renewal tells of a loss while one is under way, or retried."""

    async def main() -> None:
        handle = Recorder(memory())
        async with Relay(handle) as relay:
            run = await relay.start(numbers(30, 0.1))
            handle.pause = lambda: asyncio.sleep(slow / 2)
            for _ in range(290):
                await asyncio.sleep(0.01)
                writer_of(relay).behind(0)
            handle.pause = None
            assert (await relay.wait(run.id)).status == "completed"
            assert said(await view(relay, run.id)) == counted(30)

    run_virtual(main())


def test_a_tail_that_was_lost_before_the_seal() -> None:
    """I2, I7: a seal that meets a gap waits for what is missing; the end comes last, once."""

    async def main() -> None:
        store = memory()

        async def source() -> AsyncIterator[str]:
            async for number in numbers(20, 0.1):
                yield number
            await asyncio.sleep(0.1)
            roll_back(store, run, 5)

        async with Relay(Recorder(store)) as relay:
            run = await relay.start(source())
            assert (await relay.wait(run.id)).status == "completed"
            assert said(await view(relay, run.id)) == counted(20)

    run_virtual(main())


def test_a_tail_that_was_lost_in_an_outage() -> None:
    """I4, I5: of an append whose fate is unknown, and of those before it, all is there once after a failover."""

    async def main() -> None:
        for lost in range(1, 40, 3):
            store = memory()
            handle = Recorder(store)
            async with Relay(handle) as relay:
                run = await relay.start(numbers(60, 0.1))
                await asyncio.sleep(3.05)
                handle.lossy["append"] = 100
                await asyncio.sleep(0.2)
                roll_back(store, run, max(0, last_of(store, run) - lost))
                await asyncio.sleep(1.5)
                handle.lossy["append"] = False
                assert said(await view(relay, run.id)) == counted(60)

    run_virtual(main())


def test_a_tail_that_is_held_no_more() -> None:
    """I7: a log that lost more than its producer holds is not spliced: the run ends lost, as rolled back."""

    async def main() -> None:
        for renewed in (False, True):
            store = memory()

            async def source() -> AsyncIterator[str]:
                for number in range(100):
                    yield f"{number} " + "x" * 10_000
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.5 if not renewed else 100)  # noqa: B023 - it ends in this turn
                yield "the last"

            async with Relay(Recorder(store)) as relay:
                run = await relay.start(source())
                await asyncio.sleep(1.2)
                held = writer_of(relay)._outbox
                assert not held.waits
                assert held._stored_size <= outbox._STORED_BYTES
                roll_back(store, run, 50)
                outcome = await relay.wait(run.id)
                assert (outcome.status, outcome.reason) == ("lost", "rolled_back")
                assert now() <= 20
                events = said(await view(relay, run.id))
                assert [text.split(" ")[0] for text in events if text] == [*map(str, range(50)), "end"]
                assert not held._stored
            await settle()

    run_virtual(main())


@pytest.mark.parametrize("longest", [3, 8])
@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens_to_the_store(seed: int, longest: float) -> None:
    """I1, I4, I5: outages, lost answers and lost tails in any order: what was said is there once, in its order."""

    async def main() -> None:
        random, store, spoken = Random(seed), memory(), list[str]()
        handle = Recorder(store)

        async def source() -> AsyncIterator[str]:
            async for number in numbers(600, 0.05):
                spoken.append(number)
                yield number

        async with Relay(handle, lease=8) as relay:
            run = await relay.start(source(), key="k")
            while (await store.info(run.id)).outcome is None:
                what = random.choice(["down", "hung", "lossy", "roll back", "appends"])
                if what == "lossy":
                    handle.lossy["append"] = random.randint(1, 3)
                elif what == "roll back":
                    roll_back(store, run, max(0, last_of(store, run) - random.randint(1, 30)))
                elif what == "appends":
                    handle.down = {"append"}
                else:
                    setattr(handle, what, True)
                await asyncio.sleep(random.uniform(0, longest))
                handle.down = handle.hung = False
                handle.lossy["append"] = 0
                await asyncio.sleep(random.uniform(0, longest))
            outcome = await relay.wait(run.id)
            assert outcome in {Outcome("completed"), UNAVAILABLE}
            assert said(await view(relay, run.id)) == [*spoken, "end"]
        await settle()

    run_virtual(main())


# A real server


@pytest.mark.parametrize("fault", ["hold", "cut"])
def test_an_outage_of_a_real_server(server: Server, prefix: str, fault: str) -> None:
    """I5: a wire that hangs, or is cut again and again with its answers lost, costs no record, and doubles none."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            store = server.store(prefix, proxy.path, deadline=0.5)
            async with Relay(store, lease=6) as relay:
                run = await relay.start(numbers(400, 0.005))
                await eventually(lambda: writer_of(relay)._outbox.last_stored >= 50)
                if fault == "hold":
                    proxy.hold()
                    await eventually(lambda: writer_of(relay)._outbox.end >= 300)
                    assert writer_of(relay)._outbox.last_stored < 150
                    proxy.release()
                else:
                    for _ in range(8):
                        proxy.loses = 1
                        await asyncio.sleep(0.1)
                        proxy.cut()
                await eventually(lambda: not relay._supervisor._live)
            direct = server.store(prefix)
            async with Relay(direct) as relay:
                assert said(await view(relay, run.id)) == counted(400)
            for each in (store, direct):
                await each.aclose()

    asyncio.run(main())


def test_a_failover_of_a_real_server(server: Server, prefix: str) -> None:
    """I1, I4, I7: a server that falls back behind what it acknowledged has it again soon; viewers notice nothing."""

    async def main() -> None:
        client = server.client()

        async def kept() -> dict[bytes, tuple[int, bytes]]:
            names = [name async for name in client.scan_iter(match=f"{prefix}*")]
            snapshot = client.pipeline(transaction=True)
            for name in names:
                snapshot.pttl(name)
                snapshot.dump(name)
            told = await snapshot.execute()
            return dict(zip(names, zip(told[::2], told[1::2], strict=True), strict=True))

        async def source() -> AsyncIterator[str]:
            async for number in numbers(60, 0.005):
                yield number
            await done.wait()
            yield "61"

        done = asyncio.Event()
        here, there = server.store(prefix), server.store(prefix)
        async with Relay(here, lease=3) as producing, Relay(there, lease=3) as watching:
            run = await producing.start(source())
            viewer = asyncio.create_task(view(watching, run.id))
            await eventually(lambda: writer_of(producing)._outbox.last_stored >= 20)
            before = await kept()
            await eventually(lambda: writer_of(producing)._outbox.last_stored == 60)
            for name, (ttl, dumped) in before.items():
                await client.restore(name, ttl, dumped, replace=True)
            assert (await there.info(run.id)).last_offset < 60
            await client.client_kill_filter(_type="pubsub")

            async def is_whole() -> bool:
                return (await there.info(run.id)).last_offset == 60

            await eventually(is_whole)
            assert not viewer.done()
            done.set()
            assert said(await viewer) == counted(61)
            assert said(await view(producing, run.id)) == counted(61)
        for each in (here, there, client):
            await each.aclose()

    asyncio.run(main())
