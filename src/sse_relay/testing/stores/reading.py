"""Laws of reading: where a cursor leads."""

from sse_relay.exceptions import CursorMismatchError, InvalidCursorError
from sse_relay.stores.protocol import Grant, Record, StreamStore
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
from sse_relay.wire.cursor import Cursor

__all__ = ["laws"]

_FOREIGN = "never-of-this-log"


async def _write(store: StreamStore, end: str) -> Grant:
    """Write a log of five records and, by its producer or over its head, a sixth that seals it."""
    grant = await start(store)
    await wrote(store, grant, 1, frames(1))
    await wrote(store, grant, 2, frames(2, 3, 4))
    await wrote(store, grant, 5, frames(5), sealed() if end == "sealed" else None)
    if end == "taken over":
        await store.end(grant.run_id, sealed("lost"))
    return grant


async def reads_from_every_place(factory: StoreFactory) -> None:
    """I3: read(c) is L[c:] for every c, as an offset and as a cursor of every epoch, on pages of every size."""
    for end in ("live", "sealed", "taken over"):
        async with fresh(factory) as under:
            grant = await _write(under.store, end)
            run_id, log = grant.run_id, await log_of(under.store, grant.run_id)
            expect_equal([record.offset for record in log], list(range(1, len(log) + 1)), f"the offsets of a {end} log")
            expect_equal(
                {record.epoch for record in log[:5]}, {grant.epoch}, f"the epoch of a {end} log's first records"
            )
            expect_equal(len(log), 5 if end == "live" else 6, f"the length of a {end} log")
            for after in range(len(log) + 1):
                places: list[Cursor | int] = [after, *_cursors(log, after)]
                for place in places:
                    for limit in range(1, len(log) + 2):
                        found = await log_of(under.other, run_id, place, limit)
                        expect_equal(found, log[after:], f"a {end} log after {place}, {limit} a page")
            expect_equal(await log_of(under.store, run_id, None), log, f"a {end} log from its beginning")


def _cursors(log: list[Record], after: int) -> list[Cursor]:
    """Name a place by each epoch that reached it."""
    ends = {record.epoch: record.offset for record in log}
    return [Cursor(epoch, after) for epoch, end in ends.items() if after <= end]


async def pages_end_with_their_epoch(factory: StoreFactory) -> None:
    """A takeover starts a new epoch, and no page has records of two; the state on each is that of the run now."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        await wrote(under.store, grant, 1, frames(1, 2))
        ended = await under.store.end(grant.run_id, sealed("lost"))
        expect(ended.info.epoch != grant.epoch, "a takeover kept the epoch")
        for after, epoch, wanted in (
            (0, grant.epoch, frames(1, 2)),
            (1, grant.epoch, frames(2)),
            (2, ended.info.epoch, [sealed("lost").frame]),
            (3, ended.info.epoch, []),
        ):
            page = await under.other.read(grant.run_id, after)
            expect_equal((page.epoch, list(page.frames)), (epoch, wanted), f"the page after {after}, taken over at 2")
            expect_equal(page.info, ended.info, "the state on a page")


async def each_run_has_its_own_epoch(factory: StoreFactory) -> None:
    """I7: a cursor of one run is foreign to every other."""
    async with fresh(factory) as under:
        first, second = await start(under.store), await start(under.store)
        await wrote(under.store, first, 1, frames("a"))
        await wrote(under.store, second, 1, frames("b"))
        error = await refused(
            under.store.read(second.run_id, Cursor(first.epoch, 1)), CursorMismatchError, "another run's cursor"
        )
        expect_equal(error.kind, "foreign", "why another run's cursor is refused")


async def wrong_places_are_refused(factory: StoreFactory) -> None:
    """I11: beyond the last record, beyond where its epoch ended, of no epoch of this log: refused, and told why."""
    for end in ("live", "sealed", "taken over"):
        async with fresh(factory) as under:
            grant = await _write(under.store, end)
            run_id, log = grant.run_id, await log_of(under.store, grant.run_id)
            first, now, last = log[0].epoch, log[-1].epoch, len(log)
            places: list[tuple[Cursor | int, str]] = [
                (last + 1, "rolled_back"),
                (10**18 - 1, "rolled_back"),
                (Cursor(now, last + 1), "rolled_back"),
                (Cursor(first, 6 if first != now else last + 1), "rolled_back"),
                (Cursor(_FOREIGN, 0), "foreign"),
                (Cursor(_FOREIGN, 3), "foreign"),
            ]
            for place, kind in places:
                error = await refused(under.other.read(run_id, place), CursorMismatchError, f"{place} on a {end} log")
                expect_equal(error.kind, kind, f"why {place} is refused on a {end} log up to {last}")
            for offset in (-1, 10**18):
                await refused(under.store.read(run_id, offset), InvalidCursorError, f"the offset {offset}")
            for limit in (0, -1):
                await refused(under.store.read(run_id, limit=limit), ValueError, f"a page of {limit} records")
                await refused(under.store.read(run_id, max_bytes=limit), ValueError, f"a page of {limit} bytes")


async def a_page_is_of_bounded_size(factory: StoreFactory) -> None:
    """L6: whatever the sizes of records and batches, a page has no more bytes than were asked for, or one record."""
    sizes = [30, 9_000, 1, 20_000, 5, 5, 40_000, 8_000, 8_000, 8_000, 100]
    written = [b"data: %b\n\n" % (b"x" * size) for size in sizes]
    async with fresh(factory) as under:
        grant = await start(under.store)
        first = 1
        for count in (1, 1, 1, 4, 3, 1):
            await wrote(under.store, grant, first, written[first - 1 : first - 1 + count])
            first += count
        for most in (1, 10, 100, 8_000, 16_050, 30_000, 1 << 20):
            found: list[bytes] = []
            while len(found) < len(written):
                page = await under.other.read(grant.run_id, len(found), max_bytes=most)
                size = sum(map(len, page.frames))
                expect(len(page.frames) > 0, f"an empty page of at most {most} bytes after {len(found)}")
                expect(size <= most or len(page.frames) == 1, f"{size} bytes on a page of at most {most}")
                found += page.frames
            expect_equal(found, written, f"a log that was read in pages of at most {most} bytes")


async def the_end_is_at_the_seal(factory: StoreFactory) -> None:
    """Defect 1: whoever has seen the seal learns at once that there is nothing more, and how the run ended."""
    for end in ("sealed", "taken over"):
        async with fresh(factory) as under:
            grant = await _write(under.store, end)
            run_id, log = grant.run_id, await log_of(under.store, grant.run_id)
            for place in (len(log), log[-1].cursor):
                page = await under.other.read(run_id, place)
                expect_equal((len(page.frames), page.last), (0, len(log)), "the page after the seal")
                expect(page.info.outcome is not None, "the page after the seal has no outcome")


async def an_empty_log_has_a_place(factory: StoreFactory) -> None:
    """Before the first record a reader stands at 0, with a cursor that holds from then on."""
    async with fresh(factory) as under:
        grant = await start(under.store)
        for place in (None, 0, Cursor(grant.epoch, 0)):
            page = await under.store.read(grant.run_id, place)
            expect_equal((page.epoch, page.first, page.last), (grant.epoch, 1, 0), "the page of an empty log")
            expect_equal((len(page.frames), page.info.status), (0, "running"), "the page of an empty log")
        await refused(under.store.read(grant.run_id, 1), CursorMismatchError, "offset 1 of an empty log")
        await wrote(under.store, grant, 1, frames(1))
        log = await log_of(under.store, grant.run_id, Cursor(grant.epoch, 0))
        expect_equal([record.frame for record in log], frames(1), "the log after the place before it")


laws: tuple[StoreLaw, ...] = (
    reads_from_every_place,
    pages_end_with_their_epoch,
    each_run_has_its_own_epoch,
    wrong_places_are_refused,
    a_page_is_of_bounded_size,
    the_end_is_at_the_seal,
    an_empty_log_has_a_place,
)
