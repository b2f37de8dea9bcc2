"""Laws of the right to produce: leases, takeovers, requests to stop."""

import asyncio
from dataclasses import replace

from sse_relay.stores.protocol import Answer, Grant, Seal
from sse_relay.testing.stores.under_test import (
    SHORT,
    StoreFactory,
    StoreLaw,
    StoreUnderTest,
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

_LOST = sealed("lost", "lease_expired")
_PAST = 1.2 * SHORT
_WITHIN = 0.6 * SHORT


async def leases_lapse(factory: StoreFactory) -> None:
    """L2: a producer without a sign of life is lapsed once its lease has passed on the store's clock, not before."""
    async with fresh(factory) as under:
        grant = await start(under.store, lease=SHORT)
        await start(under.store)
        ended = await under.other.end(grant.run_id, _LOST, lapsed_only=True)
        expect(not ended.sealed and ended.info.status == "running", f"a run was sealed while its lease held: {ended}")
        expect_equal(list(await under.other.lapsed()), [], "the lapsed runs while every lease holds")
        await under.advance(_PAST)
        expect_equal(list(await under.other.lapsed()), [grant.run_id], "the lapsed runs after a lease has passed")
        expect_equal((await under.store.info(grant.run_id)).status, "running", "a lapsed run that nobody has ended")
        ended = await under.other.end(grant.run_id, _LOST, lapsed_only=True)
        expect(ended.sealed and ended.info.outcome == _LOST.outcome, f"a lapsed run was not sealed: {ended}")
        expect_equal(list(await under.store.lapsed()), [], "the lapsed runs after they were sealed")


async def lapsed_is_bounded(factory: StoreFactory) -> None:
    """A sweep gets as many lapsed runs as it asked for, and the rest once those are sealed."""
    async with fresh(factory) as under:
        started = {(await start(under.store, lease=SHORT)).run_id for _ in range(5)}
        await under.advance(_PAST)
        swept: list[str] = []
        for _ in range(3):
            found = await under.store.lapsed(2)
            expect(len(found) <= 2, f"{len(found)} lapsed runs of at most 2")
            for run_id in found:
                await under.store.end(run_id, _LOST, lapsed_only=True)
            swept += found
        expect_equal(sorted(swept), sorted(started), "the runs that were swept")


async def signs_of_life_keep_the_right(factory: StoreFactory) -> None:
    """Each renewal, append and retry of one holds the right for another lease."""
    async with fresh(factory) as under:
        grant = await start(under.store, lease=SHORT)
        for sign in ("renewal", "append", "retry"):
            await under.advance(_WITHIN)
            if sign == "renewal":
                expect_equal((await under.store.renew([grant]))[grant.run_id].answer, Answer.OK, "a renewal")
            else:
                await under.store.append(grant, 1, frames(1))
            await under.advance(_WITHIN)
            ended = await under.other.end(grant.run_id, _LOST, lapsed_only=True)
            expect(not ended.sealed, f"a run was sealed {_WITHIN} s after a {sign}, with a lease of {SHORT} s")
        await under.advance(_PAST)
        expect((await under.other.end(grant.run_id, _LOST, lapsed_only=True)).sealed, "a lapsed run was not sealed")


async def only_the_fence_decides(factory: StoreFactory) -> None:
    """A holder that comes back late goes on, as long as nobody has taken the run over."""
    async with fresh(factory) as under:
        grant = await start(under.store, lease=SHORT)
        await under.advance(_PAST)
        await wrote(under.store, grant, 1, frames(1))
        expect_equal(list(await under.store.lapsed()), [], "the lapsed runs after a late append")


async def renewals_are_answered_each(factory: StoreFactory) -> None:
    """One round trip renews many, and each is told its own: fine, asked to stop, fenced, sealed, missing."""
    async with fresh(factory) as under:
        store = under.store
        fine, asked, fenced, done = [await start(store) for _ in range(4)]
        gone = replace(fine, run_id=store.new_run_id())
        await wrote(store, fine, 1, frames(1, 2))
        await store.cancel(asked.run_id, "user")
        await store.end(fenced.run_id, _LOST)
        await wrote(store, done, 1, [], sealed())
        answers = await store.renew([fine, asked, fenced, done, gone])
        wanted = {
            fine.run_id: (Answer.OK, 2, None),
            asked.run_id: (Answer.OK, 0, "user"),
            fenced.run_id: (Answer.FENCED, 1, None),
            done.run_id: (Answer.SEALED, 1, None),
            gone.run_id: (Answer.MISSING, 0, None),
        }
        found = {run_id: (told.answer, told.last_offset, told.cancel) for run_id, told in answers.items()}
        expect_equal(found, wanted, "the answers to renewals")
        expect_equal(dict(await store.renew([])), {}, "the answers to no renewals")


async def takeovers_fence(factory: StoreFactory) -> None:
    """I6: after any takeover nothing of the old producer is kept, whatever it tries, and it is told so for ever."""
    for how in ("ended", "lapsed", "replaced"):
        async with fresh(factory) as under:
            grant = await start(under.store, key="k", lease=SHORT)
            await wrote(under.store, grant, 1, frames(1, 2))
            await _take_over(under, grant, how)
            before = await under.store.info(grant.run_id), await log_of(under.store, grant.run_id)
            for _ in range(2):
                for first, batch, seal in _ZOMBIE:
                    answered = await under.other.append(grant, first, batch, seal)
                    expect_equal(answered.answer, Answer.FENCED, f"an old producer's batch from {first} once {how}")
                told = (await under.other.renew([grant]))[grant.run_id]
                expect_equal(told.answer, Answer.FENCED, f"an old producer's renewal once {how}")
            after = await under.store.info(grant.run_id), await log_of(under.store, grant.run_id)
            expect_equal(after, before, f"a run that was {how}, after its old producer came back")


_ZOMBIE: tuple[tuple[int, list[bytes], Seal | None], ...] = (
    (1, frames(1, 2), None),  # a retry of what it did while it had the right
    (3, frames(3), None),
    (3, [], sealed()),
    (4, frames(4), None),
    (4, frames(4), sealed()),
    (9, frames(9), None),
)


async def _take_over(under: StoreUnderTest, grant: Grant, how: str) -> None:
    wanted = _LOST.outcome
    if how == "ended":
        expect((await under.other.end(grant.run_id, _LOST)).sealed, "an end did not seal")
    elif how == "lapsed":
        await under.advance(_PAST)
        await start(under.other, key="k")
    else:
        await start(under.other, key="k", on_conflict="replace")
        wanted = sealed("cancelled", "replaced").outcome
    info = await under.store.info(grant.run_id)
    expect_equal(info.outcome, wanted, f"the outcome of a run that was {how}")
    expect(info.epoch != grant.epoch, f"a run that was {how} kept its epoch")
    expect_equal(info.last_offset, 3, f"the last offset of a run that was {how}")


async def one_reaper_seals(factory: StoreFactory) -> None:
    """I2: of all who end a run at once exactly one seals, all learn the same outcome, and the producer may win."""
    async with fresh(factory) as under:
        for lapsed_only in (True, False):
            grant = await start(under.store, lease=SHORT)
            await under.advance(_PAST)
            seals = [sealed("lost", f"reaper {number}") for number in range(6)]
            tries = [
                (under.other if number % 2 else under.store).end(grant.run_id, seal, lapsed_only=lapsed_only)
                for number, seal in enumerate(seals)
            ]
            ends = await asyncio.gather(*tries)
            winners = [seal for seal, ended in zip(seals, ends, strict=True) if ended.sealed]
            expect_equal(len(winners), 1, "how many were told that they had sealed")
            log = await log_of(under.store, grant.run_id)
            expect_equal([record.frame for record in log], [winners[0].frame], "a log that many sealed at once")
            expect_equal({ended.info.outcome for ended in ends}, {winners[0].outcome}, "the outcomes that they learned")
            expect_equal(len({ended.info.epoch for ended in ends}), 1, "the number of epochs that they learned")


async def requests_to_stop_are_heard(factory: StoreFactory) -> None:
    """L3: whoever cancels, the producer hears it in the answer to its next append, retry and renewal."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        expect_equal((await wrote(under.store, grant, 1, frames(1))).cancel, None, "the flag before a cancel")
        info = await under.other.cancel(grant.run_id, "user")
        expect_equal((info.status, info.outcome), ("running", None), "a run that was asked to stop")
        answers = [
            (await under.store.renew([grant]))[grant.run_id],
            await wrote(under.store, grant, 2, frames(2)),
            await under.store.append(grant, 2, frames(2)),
            await wrote(under.store, grant, 3, [], sealed("cancelled", "user")),
        ]
        for answered in answers:
            expect_equal(answered.cancel, "user", f"the flag in {answered}")


async def the_first_reason_stays(factory: StoreFactory) -> None:
    """Whoever cancels later changes nothing, nor does whoever cancels a run that has ended."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        for reason in ("user", "admin"):
            await under.other.cancel(grant.run_id, reason)
        expect_equal((await wrote(under.store, grant, 1, frames(1))).cancel, "user", "the reason")
        other = await start(under.store)
        await wrote(under.store, other, 1, [], sealed())
        before = await under.store.info(other.run_id)
        expect_equal(await under.other.cancel(other.run_id, "user"), before, "what a late cancel tells")
        told = await under.store.append(other, 1, [], sealed())
        expect_equal((told.answer, told.cancel), (Answer.DUPLICATE, None), "the retry of a seal, cancelled later")


laws: tuple[StoreLaw, ...] = (
    leases_lapse,
    lapsed_is_bounded,
    signs_of_life_keep_the_right,
    only_the_fence_decides,
    renewals_are_answered_each,
    takeovers_fence,
    one_reaper_seals,
    requests_to_stop_are_heard,
    the_first_reason_stays,
)
