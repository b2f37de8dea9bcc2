"""Laws of the key slot: one active run a key."""

import asyncio

from sse_relay.exceptions import RunConflictError
from sse_relay.stores.protocol import Answer, Opened, StreamStore
from sse_relay.testing.stores.under_test import (
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

_REPLACED = sealed("cancelled", "replaced")
_LOST = sealed("lost", "lease_expired")


async def _active(store: StreamStore, key: str) -> str | None:
    found = await store.lookup(key)
    return None if found is None or found.outcome is not None else found.id


async def a_key_has_one_active_run(factory: StoreFactory) -> None:
    """G1: a start of a key that has an active run is refused, told which that is, and changes nothing."""
    async with fresh(factory) as under:
        grant = await start(under.store, key="k")
        before = await under.store.info(grant.run_id)
        error = await refused(under.other.open(opening(key="k")), RunConflictError, "a second start of a key")
        expect_equal((error.key, error.run_id), ("k", grant.run_id), "what the refusal tells")
        expect_equal(await under.store.info(grant.run_id), before, "the active run after a refused start")
        await wrote(under.store, grant, 1, frames(1))
        expect_equal(len([info async for info in under.store.runs()]), 1, "the runs after a refused start")
        await start(under.store, key="other")
        await start(under.store)
        await start(under.store)


async def starts_join(factory: StoreFactory) -> None:
    """A start that joins gets the active run without the right to produce it; without one, it gets a new run."""
    async with fresh(factory) as under:
        grant = await start(under.store, key="k", on_conflict="join")
        opened = await under.other.open(opening(key="k", on_conflict="join"))
        expect_equal((opened.info.id, opened.grant), (grant.run_id, None), "what a join gets")
        expect(opened.info.joined, "a start that joined is not told so")
        expect_equal(await _active(under.store, "k"), grant.run_id, "the active run after a join")
        await wrote(under.store, grant, 1, [], sealed())
        again = await start(under.other, key="k", on_conflict="join")
        expect(again.run_id != grant.run_id, "a start joined a run that had ended")


async def starts_replace(factory: StoreFactory) -> None:
    """A start that replaces seals the active run and has the key, in one step, and says which run it ended."""
    async with fresh(factory) as under:
        old = await start(under.store, key="k")
        await wrote(under.store, old, 1, frames(1))
        opened = await under.other.open(opening(key="k", on_conflict="replace"))
        expect(opened.grant is not None, "a start that replaces got no grant")
        info = await under.store.info(old.run_id)
        expect_equal(info.outcome, _REPLACED.outcome, "the outcome of the run that was replaced")
        expect_equal(opened.ended, info, "the run that the start says it ended")
        log = await log_of(under.store, old.run_id)
        expect_equal([record.frame for record in log], [*frames(1), _REPLACED.frame], "the log that was replaced")
        expect_equal(await _active(under.store, "k"), opened.info.id, "the active run after a replacement")
        opened = await under.store.open(opening(key="free", on_conflict="replace"))
        expect_equal(opened.ended, None, "the run that a start of a free key says it ended")


async def an_old_owner_frees_nothing(factory: StoreFactory) -> None:
    """Defect 17: the late seal of a run that was replaced, or lapsed, leaves the key with its new owner."""
    async with fresh(factory) as under:
        for how in ("replaced", "lapsed", "ended"):
            old = await start(under.store, key=how, lease=SHORT)
            if how == "lapsed":
                await under.advance(1.2 * SHORT)
            elif how == "ended":
                await wrote(under.store, old, 1, [], sealed())
            new = await start(under.other, key=how, on_conflict="replace")
            await under.store.append(old, 1, [], sealed())
            await under.store.end(old.run_id, sealed())
            await under.store.cancel(old.run_id, "user")
            expect_equal(await _active(under.store, how), new.run_id, f"the active run after a late seal, once {how}")
            await refused(under.store.open(opening(key=how)), RunConflictError, f"a start of a key, once {how}")
            expect_equal((await wrote(under.store, new, 1, frames(1))).cancel, None, "the new run's flag")


async def a_dead_owner_does_not_block(factory: StoreFactory) -> None:
    """Defects 8 and 17: a start finds a dead producer's run lapsed and seals it `lost`, whatever its policy."""
    async with fresh(factory) as under:
        for policy in ("reject", "join", "replace"):
            old = await start(under.store, key=policy, lease=SHORT)
            await under.advance(1.2 * SHORT)
            opened = await under.other.open(opening(key=policy, on_conflict=policy))
            expect(opened.grant is not None, f"a dead producer's run kept the key from a start that would {policy}")
            info = await under.store.info(old.run_id)
            expect_equal(info.outcome, _LOST.outcome, "the outcome of the dead producer's run")
            expect_equal(opened.ended, info, "the run that the start says it ended")
            told = await under.store.append(old, 1, frames(1))
            expect_equal(told.answer, Answer.FENCED, "a dead producer's append")


async def a_live_owner_keeps_its_key(factory: StoreFactory) -> None:
    """Defect 17: a producer that gives signs of life keeps its key for as long as it runs."""
    async with fresh(factory) as under:
        grant = await start(under.store, key="k", lease=SHORT)
        for _ in range(4):
            await under.advance(0.6 * SHORT)
            await under.store.renew([grant])
        await refused(under.other.open(opening(key="k")), RunConflictError, "a start of a key whose owner lives")
        expect_equal(await _active(under.store, "k"), grant.run_id, "the active run of an owner that lives")


async def keys_are_discoverable(factory: StoreFactory) -> None:
    """G3: a key leads to its latest run, before the first record, while it runs, and when it has ended."""
    async with fresh(factory) as under:
        expect_equal(await under.other.lookup("k"), None, "the run of a key that was never used")
        for end in ("sealed", "ended", "replaced"):
            grant = await start(under.store, key="k")
            await _expect_latest(under.other, grant.run_id, "running")
            await wrote(under.store, grant, 1, frames(1))
            await _expect_latest(under.other, grant.run_id, "running")
            if end == "sealed":
                await wrote(under.store, grant, 2, [], sealed())
            elif end == "ended":
                await under.store.end(grant.run_id, sealed())
            else:
                grant = await start(under.store, key="k", on_conflict="replace")
                await wrote(under.store, grant, 1, [], sealed())
            await _expect_latest(under.other, grant.run_id, "completed")


async def _expect_latest(store: StreamStore, run_id: str, status: str) -> None:
    found = await store.lookup("k")
    expect(found is not None, f"a key whose run is {status} leads nowhere")
    expect_equal(found, await store.info(run_id), f"the run of a key, which is {status}")
    expect_equal(found and found.status, status, "the state of a key's run")


async def the_end_frees_the_key(factory: StoreFactory) -> None:
    """B9: the end of a run and the release of its key are one step, whoever ends it."""
    async with fresh(factory) as under:
        for _ in range(2):
            grant = await start(under.store, key="k")
            await wrote(under.store, grant, 1, frames(1), sealed())
            grant = await start(under.other, key="k")
            await under.store.end(grant.run_id, sealed())


async def one_of_many_starts_wins(factory: StoreFactory) -> None:
    """I6: of all who start one key at once exactly one has an active run; the others joined it, failed, or lost it."""
    for policy in ("reject", "join", "replace"):
        async with fresh(factory) as under:
            tries = [
                (under.other if number % 2 else under.store).open(opening(key="k", on_conflict=policy))
                for number in range(8)
            ]
            results = await asyncio.gather(*tries, return_exceptions=True)
            opened = [result for result in results if isinstance(result, Opened)]
            failed = [result for result in results if not isinstance(result, Opened)]
            expect(all(isinstance(error, RunConflictError) for error in failed), f"starts failed with {failed}")
            expect_equal(len(failed), 7 if policy == "reject" else 0, f"how many of 8 starts that {policy} failed")
            made = [result.info.id for result in opened if result.grant is not None]
            expect_equal(len(made), 8 if policy == "replace" else 1, f"the grants that 8 starts that {policy} got")
            infos = {info.id: info async for info in under.store.runs()}
            expect_equal(set(infos), set(made), "the runs that are listed")
            running = [run_id for run_id, info in infos.items() if info.status == "running"]
            expect_equal(running, [await _active(under.store, "k")], "the runs that are active")


async def a_refused_start_seals_nothing(factory: StoreFactory) -> None:
    """A run id is never given twice, and a start that is refused for it leaves the key's active run alone."""
    async with fresh(factory) as under:
        taken, other = under.store.new_run_id("k"), await start(under.store, key="other")
        grant = await start(under.store, key="k", run_id=taken)
        expect_equal(grant.run_id, taken, "the id of a run that was started with one")
        await wrote(under.store, grant, 1, [], sealed())
        active = await start(under.store, key="k")
        for policy in ("reject", "replace"):
            again = opening(key="k", run_id=taken, on_conflict=policy)
            await refused(under.other.open(again), RunConflictError, "a start with an id that is taken")
        expect_equal((await under.store.info(taken)).status, "completed", "the run whose id was asked for again")
        expect_equal(await _active(under.store, "k"), active.run_id, "the active run after a refused start")
        expect_equal(await _active(under.store, "other"), other.run_id, "the active run of another key")
        expect(under.store.new_run_id() != under.store.new_run_id(), "two new run ids are equal")


laws: tuple[StoreLaw, ...] = (
    a_key_has_one_active_run,
    starts_join,
    starts_replace,
    an_old_owner_frees_nothing,
    a_dead_owner_does_not_block,
    a_live_owner_keeps_its_key,
    keys_are_discoverable,
    the_end_frees_the_key,
    one_of_many_starts_wins,
    a_refused_start_seals_nothing,
)
