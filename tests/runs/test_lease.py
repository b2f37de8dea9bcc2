"""Hold the right to produce, renew it, and know when it is lost."""

import asyncio
import logging
from typing import Any

import pytest

from sse_relay.runs.lease import Lease, LeaseKeeper
from sse_relay.runs.tasks import Tasks
from sse_relay.stores.protocol import Answer, Appended, Grant
from sse_relay.testing import run_virtual
from tests.runs.faults import memory, process, silence
from tests.runs.test_opening import request


def now() -> float:
    return asyncio.get_running_loop().time()


class Told:
    """Somebody who holds a lease."""

    def __init__(self, grant: Grant) -> None:
        self.given_up: list[float] = []
        self.taken: list[float] = []
        self.cancelled: list[str] = []
        self.rolled_back: list[int] = []
        self.lease = Lease(grant, now(), self)

    def stop(self, reason: str) -> None:
        self.cancelled.append(reason)

    def lapsed(self) -> None:
        self.given_up.append(now())

    def lost(self) -> None:
        self.taken.append(now())

    def behind(self, last_offset: int) -> None:
        self.rolled_back.append(last_offset)


async def claim(store: Any, lease: float = 9.0) -> Told:
    opened, _ = await request(silence()).open(store, lease)
    assert opened.grant is not None
    return Told(opened.grant)


def keeper(store: Any, tasks: Tasks, lease: float = 9.0) -> LeaseKeeper:
    return LeaseKeeper(store, lease, tasks.spawn)


def test_all_leases_are_renewed_in_one_round_trip() -> None:
    """However many runs a process has, a renewal is one call, three times a lease; without runs there is none (L6)."""

    async def main() -> None:
        store, tasks = process(memory()), Tasks()
        keeping = keeper(store, tasks)
        holders = [await claim(store) for _ in range(20)]
        for holder in holders:
            keeping.hold(holder.lease)
        await asyncio.sleep(90.5)
        assert store.calls["renew"] == 30
        assert await store.lapsed() == []
        assert not any(holder.given_up or holder.taken for holder in holders)
        for holder in holders:
            keeping.let_go(holder.lease)
            keeping.let_go(holder.lease)
        await asyncio.sleep(90)
        assert store.calls["renew"] == 30
        assert not len(tasks)
        assert len(await store.lapsed()) == 20
        keeping.hold(holders[0].lease)
        await asyncio.sleep(3.5)
        assert store.calls["renew"] == 31
        await tasks.close(1)

    run_virtual(main())


@pytest.mark.parametrize("fault", ["down", "hung", "broken"])
def test_who_cannot_renew_stops_before_the_lease_ends(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """A producer whose store fails or is silent retries, then gives the right up before others may take it (I6)."""

    async def main() -> None:
        store, tasks = process(memory()), Tasks()
        keeping, holder = keeper(store, tasks), await claim(store)
        keeping.hold(holder.lease)
        await asyncio.sleep(3.5)
        if fault == "broken":
            store.store.renew = lambda _: None
        else:
            setattr(store, fault, True)
        await asyncio.sleep(30)
        assert holder.given_up == [pytest.approx(3 + 9 * 0.85, abs=9 * 0.1)]
        assert holder.given_up[0] < 3 + 9
        assert not holder.taken
        assert not holder.lease.lost
        assert 3 <= store.calls["renew"] <= 12
        assert not len(tasks)

    run_virtual(main())
    assert "could not be renewed" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR if fault == "broken" else logging.WARNING}


def test_a_short_outage_is_survived() -> None:
    """A lease outlives renewals that fail, as long as one comes through in time."""

    async def main() -> None:
        store, tasks = process(memory()), Tasks()
        keeping, holder = keeper(store, tasks), await claim(store)
        keeping.hold(holder.lease)
        for _ in range(5):
            store.down = True
            await asyncio.sleep(4.5)
            store.down = False
            await asyncio.sleep(4.5)
        assert not holder.given_up
        await tasks.close(1)

    run_virtual(main())


@pytest.mark.parametrize("answer", [Answer.FENCED, Answer.SEALED, Answer.MISSING])
def test_a_refusal_is_final(answer: Answer) -> None:
    """What the store says of the right holds, is told once, and is not taken back (I6: FENCED is sticky)."""

    async def main() -> None:
        holder = Told(Grant("run", "an-epoch", 1, 9.0))
        for _ in range(2):
            holder.lease.hear(Appended(answer), now())
        holder.lease.hear(Appended(Answer.OK), now())
        holder.lease.lapse()
        assert holder.lease.lost
        assert holder.taken == [0.0]
        assert not holder.given_up

    run_virtual(main())


def test_the_deadline_counts_from_the_question() -> None:
    """An answer that took long does not prolong the lease by the time that it took; an old one never shortens it."""

    async def main() -> None:
        holder = Told(Grant("run", "an-epoch", 1, 10.0))
        assert holder.lease.expires == pytest.approx(9)
        holder.lease.hear(Appended(Answer.OK), 5.0)
        holder.lease.hear(Appended(Answer.OK, 0, "user"), 2.0)
        assert holder.lease.expires == pytest.approx(14)
        assert holder.cancelled == ["user"]

    run_virtual(main())


def test_a_takeover_is_heard_at_the_next_renewal() -> None:
    """Whoever was taken over learns of it by its renewal; the others of the same round trip keep their right."""

    async def main() -> None:
        store, tasks = process(memory()), Tasks()
        keeping = keeper(store, tasks)
        taken, kept = await claim(store), await claim(store)
        for holder in (taken, kept):
            keeping.hold(holder.lease)
        await store.cancel(kept.lease.grant.run_id, "user")
        seal = request(silence())._opening(store, 9.0).lapsed
        await store.end(taken.lease.grant.run_id, seal)
        await asyncio.sleep(3.5)
        assert taken.taken == [3.0]
        assert not kept.taken
        assert kept.cancelled == ["user"]
        await tasks.close(1)

    run_virtual(main())


def test_a_right_that_was_given_up_may_yet_be_lost() -> None:
    """I6: whoever gave up may still store, until it hears that the run was taken; each is told once."""

    async def main() -> None:
        holder = Told(Grant("run", "an-epoch", 1, 9.0))
        for _ in range(2):
            holder.lease.lapse()
        assert (holder.given_up, holder.taken) == ([0.0], [])
        holder.lease.hear(Appended(Answer.OK), now())
        assert holder.lease.lapsed
        for _ in range(2):
            holder.lease.hear(Appended(Answer.FENCED), now())
        assert (holder.given_up, holder.taken) == ([0.0], [0.0])

    run_virtual(main())


@pytest.mark.parametrize("answer", [Answer.GAP, Answer.FULL])
def test_what_renews_nothing_is_no_sign_of_life(answer: Answer) -> None:
    """An append that was refused for its place or its size leaves the lease as it was, as it does in the store (I6)."""

    async def main() -> None:
        holder = Told(Grant("run", "an-epoch", 1, 10.0))
        holder.lease.hear(Appended(answer, 3, "user"), 5.0)
        assert holder.lease.expires == pytest.approx(9)
        assert not holder.lease.lost
        assert holder.cancelled == ["user"]

    run_virtual(main())


def test_a_renewal_tells_of_a_lost_tail() -> None:
    """I7: an earlier last record than was acknowledged when the renewal was sent is told; a later one is no news."""

    async def main() -> None:
        store, tasks = process(memory()), Tasks()
        keeping, holder = keeper(store, tasks), await claim(store)
        keeping.hold(holder.lease)
        frames = [b"data: 1\n\n"] * 3
        await store.append(holder.lease.grant, 1, frames)
        holder.lease.acknowledged = 3
        await asyncio.sleep(3.5)
        assert not holder.rolled_back
        store.pause = lambda: asyncio.sleep(0.5)
        await asyncio.sleep(2.8)
        await store.store.append(holder.lease.grant, 4, frames)
        holder.lease.acknowledged = 6  # while the renewal is on its way to the store, or back
        await asyncio.sleep(1)
        assert not holder.rolled_back
        del store.store._registry._runs[holder.lease.grant.run_id]._frames[4:]
        await asyncio.sleep(4)
        assert holder.rolled_back == [4]
        await tasks.close(1)

    run_virtual(main())
