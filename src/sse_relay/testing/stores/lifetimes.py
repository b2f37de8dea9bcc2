"""Laws of how long a run is kept, and of the list of those that are."""

from sse_relay.exceptions import RunConflictError, RunExpiredError, RunNotFoundError
from sse_relay.stores.protocol import Answer, RunStatus, StreamStore
from sse_relay.testing.stores.under_test import (
    LEASE,
    SHORT,
    StoreFactory,
    StoreLaw,
    expect,
    expect_equal,
    frames,
    fresh,
    log_of,
    opening,
    refused,
    sealed,
    start,
    wrote,
)

__all__ = ["laws"]

_KEPT = 2 * SHORT
_STATUSES: tuple[RunStatus, ...] = ("running", "completed", "failed", "cancelled", "lost", "timed_out")


async def _expect_gone(store: StreamStore, run_id: str, error: type[Exception]) -> None:
    await refused(store.info(run_id), error, "info of a run that is gone")
    await refused(store.read(run_id), error, "a read of a run that is gone")
    await refused(store.cancel(run_id, "user"), error, "a cancel of a run that is gone")
    await refused(store.end(run_id, sealed()), error, "an end of a run that is gone")


async def runs_expire_after_their_last_activity(factory: StoreFactory) -> None:
    """Defect 19: retention counts from the last append or renewal, or from the end, not from the start."""
    async with fresh(factory, _KEPT) as under:
        grant = await start(under.store, lease=SHORT)
        for offset in (1, 2):
            await under.advance(0.6 * _KEPT)
            await wrote(under.store, grant, offset, frames(offset))
        await under.advance(0.6 * _KEPT)
        await under.store.renew([grant])
        await under.advance(0.6 * _KEPT)
        await wrote(under.store, grant, 3, [], sealed())
        await under.advance(0.6 * _KEPT)
        expect_equal(len(await log_of(under.other, grant.run_id)), 3, "the log of a run that is kept")
        await under.advance(0.6 * _KEPT)
        await _expect_gone(under.other, grant.run_id, RunExpiredError)


async def expired_runs_leave_a_tombstone(factory: StoreFactory) -> None:
    """Defect 7: past its retention a run is told to have expired, later not to be known; it never comes back."""
    async with fresh(factory, _KEPT) as under:
        ended, dead = await start(under.store), await start(under.store, lease=SHORT)
        await wrote(under.store, ended, 1, frames(1), sealed())
        await under.advance(1.2 * _KEPT)
        for grant in (ended, dead):
            await _expect_gone(under.other, grant.run_id, RunExpiredError)
            expect_equal((await under.store.append(grant, 3, frames(3))).answer, Answer.MISSING, "an append")
            expect_equal((await under.store.renew([grant]))[grant.run_id].answer, Answer.MISSING, "a renewal")
            again = opening(run_id=grant.run_id)
            await refused(under.store.open(again), RunConflictError, "a start with an expired run's id")
            await _expect_gone(under.other, grant.run_id, RunExpiredError)
        expect_equal([info async for info in under.store.runs()], [], "the list of runs once they have expired")
        expect_equal(list(await under.store.lapsed()), [], "the lapsed runs once they have expired")
        await under.advance(_KEPT)
        for grant in (ended, dead):
            await _expect_gone(under.other, grant.run_id, RunNotFoundError)
            expect_equal((await under.store.append(grant, 3, frames(3))).answer, Answer.MISSING, "an append")


async def names_expire_with_their_run(factory: StoreFactory) -> None:
    """A key and an idempotency key lead to their run for as long as it is kept, and are free again then."""
    async with fresh(factory, _KEPT) as under:
        same = {"key": "k", "idempotency_key": "i", "fingerprint": "f"}
        grant = await start(under.store, **same)
        await wrote(under.store, grant, 1, [], sealed())
        await under.advance(0.6 * _KEPT)
        found = await under.other.lookup("k")
        expect_equal(found and found.id, grant.run_id, "the run of a key while it is kept")
        expect_equal((await under.other.open(opening(**same))).info.id, grant.run_id, "the run of a start that is kept")
        await under.advance(0.8 * _KEPT)
        expect_equal(await under.other.lookup("k"), None, "the run of a key once it has expired")
        await start(under.other, key="k", idempotency_key="i", fingerprint="another")


async def a_held_run_is_kept(factory: StoreFactory) -> None:
    """A run whose lease holds is kept, however short the retention is."""
    async with fresh(factory, SHORT) as under:
        grant = await start(under.store, key="k", lease=LEASE)
        await wrote(under.store, grant, 1, frames(1))
        await under.advance(1.5 * SHORT)
        expect_equal(len(await log_of(under.other, grant.run_id)), 1, "the log of a run whose lease holds")
        await wrote(under.store, grant, 2, [], sealed())


async def runs_are_listed_newest_first(factory: StoreFactory) -> None:
    """Every run that is kept is listed once, newest first, and by its state alone where that was asked."""
    async with fresh(factory) as under:
        made: list[tuple[str, RunStatus]] = []
        for status in _STATUSES * 2:
            grant = await start(under.store)
            if status != "running":
                await wrote(under.store, grant, 1, [], sealed(status))
            made.insert(0, (grant.run_id, status))
            await under.advance(0.01)
        listed = [info async for info in under.other.runs()]
        expect_equal([(info.id, info.status) for info in listed], made, "the list of runs")
        expect_equal(listed, [await under.store.info(run_id) for run_id, _ in made], "what the list tells")
        for status in _STATUSES:
            found = [info.id async for info in under.other.runs(status)]
            expect_equal(found, [run_id for run_id, known in made if known == status], f"the runs that are {status}")


async def times_are_the_stores(factory: StoreFactory) -> None:
    """A run tells when it was opened and when it was last active, by the store's clock; its end stays."""
    async with fresh(factory) as under:
        grant = await start(under.store, lease=SHORT)
        opened = await under.store.info(grant.run_id)
        expect_equal(opened.updated_at, opened.created_at, "the last activity of a new run")
        times = [opened.updated_at]
        for sign in ("append", "renewal", "end"):
            await under.advance(0.3 * SHORT)
            if sign == "append":
                await wrote(under.store, grant, 1, frames(1))
            elif sign == "renewal":
                await under.store.renew([grant])
            else:
                await wrote(under.store, grant, 2, [], sealed())
            info = await under.other.info(grant.run_id)
            expect_equal(info.created_at, opened.created_at, "when a run was opened")
            expect(info.updated_at > times[-1], f"the {sign} of a run is not its last activity")
            times.append(info.updated_at)
        await under.advance(0.3 * SHORT)
        await under.store.append(grant, 2, [], sealed())
        expect_equal((await under.other.info(grant.run_id)).updated_at, times[-1], "the last activity of an ended run")


laws: tuple[StoreLaw, ...] = (
    runs_expire_after_their_last_activity,
    expired_runs_leave_a_tombstone,
    names_expire_with_their_run,
    a_held_run_is_kept,
    runs_are_listed_newest_first,
    times_are_the_stores,
)
