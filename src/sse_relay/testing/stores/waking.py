"""Laws of wake-ups: a hint that reaches whoever watches, and nobody else."""

import asyncio

from sse_relay.stores.protocol import Grant, Page, StreamStore, Wake
from sse_relay.testing.stores.under_test import (
    StoreFactory,
    StoreLaw,
    expect,
    expect_equal,
    frames,
    fresh,
    log_of,
    sealed,
    start,
    wrote,
)

__all__ = ["laws"]

_PAUSE = 0.05  # seconds
_TRIES = 200


class _Ear:
    """What one follower has heard."""

    def __init__(self) -> None:
        self.wakes: list[Wake] = []

    def __call__(self, wake: Wake) -> None:
        self.wakes.append(wake)

    def heard(self, run_id: str, *, cancel: bool = False) -> bool:
        """Tell whether it has heard of a run, and of a request to stop or of something else."""
        return any(wake.run_id == run_id and (wake.cancel is not None) == cancel for wake in self.wakes)

    async def hears(self, run_id: str, *, cancel: bool = False) -> None:
        """Wait for it, and no longer than patience lasts."""
        for _ in range(_TRIES):
            if self.heard(run_id, cancel=cancel):
                return
            await asyncio.sleep(_PAUSE)
        raise AssertionError(f"{'a cancel' if cancel else 'what happened'} was not heard of: {self.wakes}")


async def _until_heard(store: StreamStore, grant: Grant, ear: _Ear) -> int:
    """Append until it is heard of, because a follower may take a moment to be all ears."""
    for offset in range(1, _TRIES):
        await wrote(store, grant, offset, frames(offset))
        await asyncio.sleep(_PAUSE)
        if ear.heard(grant.run_id):
            return offset
    raise AssertionError("no append was heard of by a follower that watches")


async def whoever_watches_hears(factory: StoreFactory) -> None:
    """An append, a cancel, a seal and an end each wake whoever watches the run, on any process."""
    async with fresh(factory) as under:
        for by_producer in (True, False):
            ear, grant = _Ear(), await start(under.store)
            follower = await under.other.follow(ear)
            follower.watch(grant.run_id)
            follower.watch(grant.run_id)
            last = await _until_heard(under.store, grant, ear)
            await under.store.cancel(grant.run_id, "user")
            await ear.hears(grant.run_id, cancel=True)
            told = [wake.cancel for wake in ear.wakes if wake.cancel is not None]
            expect_equal(set(told), {"user"}, "the reason that a wake-up tells")
            ear.wakes.clear()
            if by_producer:
                await wrote(under.store, grant, last + 1, [], sealed())
            else:
                await under.store.end(grant.run_id, sealed())
            await ear.hears(grant.run_id)
            await follower.aclose()


async def producers_hear_of_others(factory: StoreFactory) -> None:
    """L3: whoever watches without appends still hears of a cancel, and of an end that somebody else has sealed."""
    async with fresh(factory) as under:
        ear = _Ear()
        follower = await under.other.follow(ear)
        for _ in range(_TRIES):  # a follower may take a moment to be all ears
            grant = await start(under.store, key="k", on_conflict="replace")
            follower.watch(grant.run_id, appends=False)
            await under.store.cancel(grant.run_id, "user")
            await asyncio.sleep(_PAUSE)
            if ear.heard(grant.run_id, cancel=True):
                break
        else:
            raise AssertionError("no cancel was heard of by a follower that watches without appends")
        await under.store.end(grant.run_id, sealed())
        await ear.hears(grant.run_id)
        await follower.aclose()


async def replacing_wakes(factory: StoreFactory) -> None:
    """L2: whoever watches a run that is replaced hears of its end."""
    async with fresh(factory) as under:
        ear, grant = _Ear(), await start(under.store, key="k")
        follower = await under.other.follow(ear)
        follower.watch(grant.run_id)
        await _until_heard(under.store, grant, ear)
        ear.wakes.clear()
        await start(under.store, key="k", on_conflict="replace")
        await ear.hears(grant.run_id)
        await follower.aclose()


async def nobody_else_hears(factory: StoreFactory) -> None:
    """A follower hears nothing of runs that it does not watch, or no longer, nor once it is closed."""
    async with fresh(factory) as under:
        first, second = await start(under.store), await start(under.store)
        everything, one, former, closed, deaf = (_Ear() for _ in range(5))
        followers = [await under.other.follow(ear) for ear in (everything, one, former, closed, deaf)]
        for follower in followers[:4]:
            follower.watch(first.run_id)
        followers[0].watch(second.run_id)
        last = await _until_heard(under.store, first, everything)
        await former.hears(first.run_id)
        await closed.hears(first.run_id)
        followers[2].unwatch(first.run_id)
        followers[2].unwatch(first.run_id)
        followers[2].unwatch(second.run_id)
        await followers[3].aclose()
        await followers[3].aclose()
        for ear in (everything, former, closed):
            ear.wakes.clear()
        await wrote(under.store, first, last + 1, frames("more"), sealed())
        await everything.hears(first.run_id)
        await _until_heard(under.store, second, everything)
        heard = [*former.wakes, *closed.wakes, *deaf.wakes]
        expect(not heard, f"those who do not watch heard {heard}")
        expect(not one.heard(second.run_id), "a run that is not watched was heard of")
        await one.hears(first.run_id)
        for follower in followers:
            await follower.aclose()


async def wakes_tell_the_truth(factory: StoreFactory) -> None:
    """I1: records that come with a wake-up are those of the log, at their offsets, with the state of that instant."""
    async with fresh(factory) as under:
        ear, grant = _Ear(), await start(under.store)
        follower = await under.other.follow(ear)
        follower.watch(grant.run_id)
        last = await _until_heard(under.store, grant, ear)
        await wrote(under.store, grant, last + 1, frames("a", "b", "c"))
        await under.store.end(grant.run_id, sealed())
        await ear.hears(grant.run_id)
        await asyncio.sleep(_PAUSE)
        log = await log_of(under.store, grant.run_id)
        for page in [wake.page for wake in ear.wakes if wake.page is not None]:
            _check(page, grant)
            expect_equal(page.records(), log[page.first - 1 : page.last], "the records that came with a wake-up")
        await follower.aclose()


def _check(page: Page, grant: Grant) -> None:
    expect_equal(page.info.id, grant.run_id, "the run of a wake-up")
    expect(len(page.frames) > 0, "a wake-up came with no records")
    expect(page.last <= page.info.last_offset, f"a wake-up came with more than there was: {page}")


async def a_failing_ear_hurts_nobody(factory: StoreFactory) -> None:
    """What a follower raises costs neither the producer its append, nor another follower its wake-up."""

    def fails(wake: Wake) -> None:
        raise ValueError(wake.run_id)

    async with fresh(factory) as under:
        ear, grant = _Ear(), await start(under.store)
        followers = [await under.other.follow(each) for each in (fails, ear)]
        for follower in followers:
            follower.watch(grant.run_id)
        last = await _until_heard(under.store, grant, ear)
        expect_equal(len(await log_of(under.store, grant.run_id)), last, "the log after a follower has failed")
        for follower in followers:
            await follower.aclose()


laws: tuple[StoreLaw, ...] = (
    whoever_watches_hears,
    producers_hear_of_others,
    replacing_wakes,
    nobody_else_hears,
    wakes_tell_the_truth,
    a_failing_ear_hurts_nobody,
)
