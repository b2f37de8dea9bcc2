"""Laws of cancelled calls: done or not done, never half."""

from collections.abc import Awaitable, Callable

from sse_relay.exceptions import RunConflictError
from sse_relay.stores.protocol import Answer, Grant, Opening, StreamStore
from sse_relay.testing.interruption import cancel_at_every_await
from sse_relay.testing.stores.under_test import (
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

_SEAL = sealed("completed", "stop")


class _Round:
    """A run of two records, and a start that would replace it."""

    def __init__(self, grant: Grant, asked: Opening) -> None:
        self.grant = grant
        self.asked = asked


_Step = Callable[[_Round], Awaitable[object]]


async def _interrupt(store: StreamStore, work: _Step, check: _Step) -> None:
    """Cancel the work at each of its awaits, once and twice, on a new run each time, and check what is left."""

    async def prepared() -> _Round:
        grant = await start(store, key="k")
        await wrote(store, grant, 1, frames(1, 2))
        return _Round(grant, opening(key="k", on_conflict="replace", run_id=store.new_run_id("k")))

    async def one() -> None:
        await work(rounds[-1])

    async def checked(step: int) -> None:
        del step
        await check(rounds[-1])
        rounds.append(await prepared())

    rounds = [await prepared()]
    for again in (0, 1):
        await cancel_at_every_await(one, checked, again=again)
        await checked(0)


async def cancelled_appends_are_whole(factory: StoreFactory) -> None:
    """I9: an append that is cancelled has left all of its records and its seal, or none; asked again, it is whole."""
    async with fresh(factory) as under:
        batch = frames(3, 4, 5)

        async def append(now: _Round) -> None:
            await under.store.append(now.grant, 3, batch, _SEAL)

        async def check(now: _Round) -> None:
            run_id = now.grant.run_id
            found = (
                (await under.other.info(run_id)).status,
                [record.frame for record in await log_of(under.other, run_id)],
            )
            whole = ("completed", [*frames(1, 2), *batch, _SEAL.frame])
            expect(found in (whole, ("running", frames(1, 2))), f"a cancelled append left a half: {found}")
            answer = (await under.store.append(now.grant, 3, batch, _SEAL)).answer
            expect_equal(answer, Answer.DUPLICATE if found == whole else Answer.OK, "a cancelled append, asked again")
            expect_equal(len(await log_of(under.other, run_id)), 6, "the length of the log after it was asked again")

        await _interrupt(under.store, append, check)


async def cancelled_ends_are_whole(factory: StoreFactory) -> None:
    """I9: an end that is cancelled has fenced and sealed the run, or neither."""
    async with fresh(factory) as under:

        async def end(now: _Round) -> None:
            await under.store.end(now.grant.run_id, _SEAL)

        async def check(now: _Round) -> None:
            run_id = now.grant.run_id
            ended = (await under.other.info(run_id)).status == "completed"
            log = [record.frame for record in await log_of(under.other, run_id)]
            expect_equal(log, [*frames(1, 2), *([_SEAL.frame] if ended else [])], "the log after a cancelled end")
            answer = (await under.store.append(now.grant, 3, frames(3))).answer
            expect_equal(answer, Answer.FENCED if ended else Answer.OK, "the producer's append after a cancelled end")
            await under.store.end(run_id, _SEAL)
            expect_equal((await under.other.info(run_id)).status, "completed", "a cancelled end, asked again")

        await _interrupt(under.store, end, check)


async def cancelled_starts_are_whole(factory: StoreFactory) -> None:
    """I9: a start that is cancelled has replaced the old run by the new one, or has not; asked again, it has."""
    async with fresh(factory) as under:

        async def replace(now: _Round) -> None:
            await under.store.open(now.asked)

        async def check(now: _Round) -> None:
            old, new = now.grant.run_id, now.asked.run_id or ""
            active = await under.other.lookup("k")
            found = ((await under.other.info(old)).status, active and active.id, active and active.status)
            wanted = (("cancelled", new, "running"), ("running", old, "running"))
            expect(found in wanted, f"a cancelled start left a half: {found}")
            opened = await under.store.open(now.asked)
            expect(opened.grant is not None, "a cancelled start, asked again, got no grant")
            expect_equal((await under.other.info(old)).status, "cancelled", "the old run after it was asked again")
            error = await refused(under.other.open(opening(key="k")), RunConflictError, "a start of a key")
            expect_equal(error.run_id, new, "the active run after it was asked again")
            await under.store.end(new, _SEAL)

        await _interrupt(under.store, replace, check)


laws: tuple[StoreLaw, ...] = (
    cancelled_appends_are_whole,
    cancelled_ends_are_whole,
    cancelled_starts_are_whole,
)
