"""Laws of the log: what an append leaves, and what it does not."""

import asyncio
from dataclasses import replace

from sse_relay.exceptions import RunNotFoundError
from sse_relay.stores.protocol import Answer, Grant, StreamStore
from sse_relay.testing.stores.under_test import (
    StoreFactory,
    StoreLaw,
    expect,
    expect_equal,
    frames,
    fresh,
    log_of,
    refused,
    sealed,
    start,
    wrote,
)

__all__ = ["laws"]


async def offsets_are_dense(factory: StoreFactory) -> None:
    """Offsets are 1, 2, 3, … whatever the batches, in every run for itself; the seal has the last one (defect 2)."""
    async with fresh(factory) as under:
        for batches in ([1, 1, 1], [5, 1, 20], [300]):
            grant = await start(under.store)
            last, written = 0, list[bytes]()
            for size in batches:
                batch = frames(*range(last, last + size))
                written += batch
                await wrote(under.store, grant, last + 1, batch)
                last += size
            await wrote(under.store, grant, last + 1, frames("last"), sealed())
            log = await log_of(under.other, grant.run_id)
            expect_equal([record.offset for record in log], list(range(1, last + 3)), "the offsets of a log")
            expect_equal([record.frame for record in log], [*written, *frames("last"), sealed().frame], "a log")


async def acknowledged_is_visible(factory: StoreFactory) -> None:
    """I5: what was answered OK is there for every reader, on any process, from then on."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        for offset in range(1, 5):
            await wrote(under.store, grant, offset, frames(offset))
            for store in (under.store, under.other):
                expect_equal((await store.info(grant.run_id)).last_offset, offset, "info's last offset")
                expect_equal(len(await log_of(store, grant.run_id)), offset, "the length of an acknowledged log")
        await wrote(under.store, grant, 5, [], sealed("failed", "error"))
        info = await under.other.info(grant.run_id)
        expect_equal((info.status, info.outcome), ("failed", sealed("failed", "error").outcome), "an acknowledged end")


async def retries_leave_one_copy(factory: StoreFactory) -> None:
    """I5, defect 9: however often each batch is asked again, at once or later, with its seal too, it is there once."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        written = [(1, frames(1), None), (2, frames(2, 3, 4), None), (5, frames(5, 6), sealed())]
        for index, (first, batch, seal) in enumerate(written):
            await wrote(under.store, grant, first, batch, seal)
            for again in written[: index + 1]:
                for _ in range(2):
                    answered = await under.other.append(grant, *again)
                    expect_equal(answered.answer, Answer.DUPLICATE, f"the answer to a retry of the batch at {again[0]}")
                    expect_equal(
                        answered.last_offset, (await under.store.info(grant.run_id)).last_offset, "last_offset"
                    )
        log = [record.frame for record in await log_of(under.other, grant.run_id)]
        expect_equal(log, [*frames(1, 2, 3, 4, 5, 6), sealed().frame], "a log after retries")


async def content_stays(factory: StoreFactory) -> None:
    """I4: what is at an offset stays, whatever is asked to be there later."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        await wrote(under.store, grant, 1, frames("a", "b", "c"))
        before = await log_of(under.other, grant.run_id)
        await under.store.append(grant, 1, frames("x", "y", "z"))
        await under.store.append(grant, 2, frames("y"))
        await under.store.append(grant, 3, [], sealed())
        await under.store.end(grant.run_id, sealed("lost"))
        expect_equal((await log_of(under.other, grant.run_id))[:3], before, "the records under old offsets")


async def gaps_are_refused(factory: StoreFactory) -> None:
    """A batch that does not begin after the last record is refused whole, and the answer tells which that is."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        await wrote(under.store, grant, 1, frames(1, 2))
        for first, batch, seal in (
            (4, frames(4), None),
            (2, frames(2, 3), None),  # overlaps in part
            (1, frames(1, 2, 3), None),
            (1, frames(1), sealed()),  # the seal would be where a record is
            (2, [], sealed()),
            (2, frames(2), sealed()),
            (4, [], sealed()),
            (4, [], None),
            (0, frames(0), None),
            (-1, frames(0), None),
        ):
            answered = await under.store.append(grant, first, batch, seal)
            what = f"the answer to {len(batch)} records{' and a seal' * (seal is not None)} from {first}, after 2"
            expect_equal((answered.answer, answered.last_offset), (Answer.GAP, 2), what)
        log = await log_of(under.other, grant.run_id)
        expect_equal([record.frame for record in log], frames(1, 2), "a log after refused batches")
        expect_equal((await under.store.info(grant.run_id)).status, "running", "the state after refused batches")
        await wrote(under.store, grant, 3, frames(3), sealed())


async def empty_batches_add_nothing(factory: StoreFactory) -> None:
    """An empty batch adds nothing; in its place it is a duplicate of what is there."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        for first in (1, 2):
            answered = await under.store.append(grant, first, [])
            expect_equal((answered.answer, answered.last_offset), (Answer.DUPLICATE, first - 1), "an empty batch")
            await wrote(under.store, grant, first, frames(first))
        expect_equal(len(await log_of(under.other, grant.run_id)), 2, "the records beside empty batches")


async def nothing_follows_the_seal(factory: StoreFactory) -> None:
    """I2, G2: a sealed log takes no record and no second seal, and its state stays, whoever asks for what."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        await wrote(under.store, grant, 1, frames(1), sealed("completed", "stop"))
        before = await under.store.info(grant.run_id), await log_of(under.other, grant.run_id)
        for first, batch, seal in (
            (2, frames("late"), None),  # where the seal is
            (3, frames("late"), None),
            (3, [], sealed("failed")),
            (3, frames("late"), sealed("failed")),
            (4, frames("late"), None),
        ):
            answered = await under.store.append(grant, first, batch, seal)
            expect_equal(answered.answer, Answer.SEALED, f"the answer to a batch from {first} on a log sealed at 2")
        expect_equal((await under.store.renew([grant]))[grant.run_id].answer, Answer.SEALED, "a renewal after the end")
        await under.store.cancel(grant.run_id, "late")
        for lapsed_only in (False, True):
            ended = await under.store.end(grant.run_id, sealed("lost"), lapsed_only=lapsed_only)
            expect(not ended.sealed, "a second seal was taken")
        after = await under.store.info(grant.run_id), await log_of(under.other, grant.run_id)
        expect_equal(after, before, "a run that had ended")


async def seal_and_state_are_one_step(factory: StoreFactory) -> None:
    """I8: no reader ever sees a run that has ended whose log has no seal, nor a seal of a run that goes on."""
    for batch in (frames(2), None):
        async with fresh(factory) as under:
            grant = await start(under.store)
            await wrote(under.store, grant, 1, frames(1))
            wanted = [*(batch or []), sealed().frame]
            looking = asyncio.create_task(_look_until_the_end(under.other, grant.run_id, wanted))
            await asyncio.sleep(0)
            if batch is None:
                await under.store.end(grant.run_id, sealed())
            else:
                await wrote(under.store, grant, 2, batch, sealed())
            await looking


async def _look_until_the_end(store: StreamStore, run_id: str, wanted: list[bytes]) -> None:
    """Read what is after the first record, which is nothing or all, until it is there."""
    while True:
        page = await store.read(run_id, 1)
        found = (page.info.status, page.info.last_offset, list(page.frames))
        ended = ("completed", 1 + len(wanted), wanted)
        expect(found in (("running", 1, []), ended), f"a reader saw a run on its way to the end: {found}")
        if found == ended:
            return
        await asyncio.sleep(0)


async def missing_runs_are_not_made(factory: StoreFactory) -> None:
    """A batch, a renewal or an end of a run that is not there is refused, and makes none."""
    async with fresh(factory) as under:
        store = under.store
        grant = replace(await start(store), run_id=store.new_run_id())
        expect_equal((await store.append(grant, 1, frames(1))).answer, Answer.MISSING, "an append to no run")
        expect_equal((await store.append(grant, 1, [], sealed())).answer, Answer.MISSING, "a seal of no run")
        expect_equal((await store.renew([grant]))[grant.run_id].answer, Answer.MISSING, "a renewal of no run")
        await _expect_missing(store, grant)
        expect_equal(len([info async for info in store.runs()]), 1, "the number of runs")


async def _expect_missing(store: StreamStore, grant: Grant) -> None:
    for what, work in (
        ("info", store.info(grant.run_id)),
        ("read", store.read(grant.run_id)),
        ("cancel", store.cancel(grant.run_id, "user")),
        ("end", store.end(grant.run_id, sealed())),
    ):
        error = await refused(work, RunNotFoundError, f"{what} of no run")
        expect_equal(error.run_id, grant.run_id, "the error's run")


laws: tuple[StoreLaw, ...] = (
    offsets_are_dense,
    acknowledged_is_visible,
    retries_leave_one_copy,
    content_stays,
    gaps_are_refused,
    empty_batches_add_nothing,
    nothing_follows_the_seal,
    seal_and_state_are_one_step,
    missing_runs_are_not_made,
)
