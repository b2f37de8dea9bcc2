"""Laws of what a start is told: a right store keeps them, and each is broken by a store with one defect."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest

from sse_relay.exceptions import IdempotencyConflictError, RunNotFoundError
from sse_relay.stores.protocol import Appended, Grant, Opened, Opening, Page, RunInfo, Seal
from sse_relay.testing.stores import StoreLaw
from sse_relay.testing.stores.starting import (
    an_idempotency_key_is_one_request,
    foreign_text_stays_apart,
    idempotency_keys_are_scoped,
    laws,
    lost_answers_are_told_again,
    one_of_many_same_starts_makes_the_run,
    run_ids_stay_apart,
    starts_are_idempotent,
    what_is_kept_is_a_copy,
    what_is_said_is_kept,
)
from sse_relay.wire.cursor import Cursor
from tests.testing.stores.breaking import Open, breaks, keep, names

Frames = Sequence[bytes]


class IgnoresIdempotencyKeys(Open):
    """The same start makes another run."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, idempotency_key=None))


class ForgetsStartsAtTheEnd(Open):
    """The same start makes another run once the first has ended."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        if seal is not None:
            self._registry._starts.clear()
        return await super().append(grant, first_offset, frames, seal)


class FindsInSilence(Open):
    """A start is not told that it found its run."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        return replace(opened, info=replace(opened.info, joined=False))


class IgnoresFingerprints(Open):
    """Another request gets the first one's run."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, fingerprint=""))


class ReplacesBeforeItLooks(Open):
    """A start that is refused has sealed the active run already."""

    async def open(self, opening: Opening) -> Opened:
        active = self._registry.latest(opening.key)
        try:
            return await super().open(opening)
        except IdempotencyConflictError:
            if active is not None:
                self._end(active, opening.replaced)
            raise


class OneScopeForAll(Open):
    """An idempotency key is the same under every key."""

    async def open(self, opening: Opening) -> Opened:
        for (_, name), run in list(self._registry._starts.items()):
            self._registry._starts[opening.key, name] = run
        return await super().open(opening)


class TakesEmptyForNone(Open):
    """An empty key is no key."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, key=opening.key or None, claim=opening.claim))


class LooksThenClaims(Open):
    """Looking and claiming are two steps."""

    async def open(self, opening: Opening) -> Opened:
        known = self._registry.started(opening)
        await asyncio.sleep(0)
        if known is None:
            opening = replace(opening, idempotency_key=None)
        return await super().open(opening)


class GrantsTheFound(Open):
    """Whoever asks the same start gets the right to produce, too."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        return replace(opened, grant=self.run(opened.info.id).first_grant)


class IgnoresClaims(Open):
    """A start that is asked again is refused by itself."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, claim=""))


class ReplacesItself(Open):
    """A start that is asked again replaces what it made."""

    async def open(self, opening: Opening) -> Opened:
        fresh = secrets.token_hex(16)
        return await super().open(replace(opening, run_id=fresh, claim="", idempotency_key=None))


class _MangledKeys(Open):
    """It makes names of keys."""

    def mangle(self, key: str) -> str:
        return key

    async def open(self, opening: Opening) -> Opened:
        key = None if opening.key is None else self.mangle(opening.key)
        return await super().open(replace(opening, key=key))

    async def lookup(self, key: str) -> RunInfo | None:
        found = await super().lookup(self.mangle(key))
        return None if found is None else replace(found, key=key)


class StripsKeys(_MangledKeys):
    """It strips white space."""

    def mangle(self, key: str) -> str:
        return key.strip()


class FoldsKeys(_MangledKeys):
    """It ignores upper and lower case."""

    def mangle(self, key: str) -> str:
        return key.casefold()


class CutsKeys(_MangledKeys):
    """It cuts what is long."""

    def mangle(self, key: str) -> str:
        return key[:2000]


class EndsAtZero(_MangledKeys):
    """It takes NUL for the end."""

    def mangle(self, key: str) -> str:
        return key.partition("\0")[0]


class JoinsScopesByColons(Open):
    """Its name of a start is key, colon, idempotency key."""

    async def open(self, opening: Opening) -> Opened:
        name = opening.idempotency_key
        if name is None:
            return await super().open(opening)
        start = f"{opening.key or ''}:{name}"
        for (scope, other), run in list(self._registry._starts.items()):
            if f"{scope or ''}:{other}" == start:
                return Opened(run.info(joined=True), None)
        return await super().open(opening)


class CutsIds(Open):
    """It reads the log of another run whose id begins alike."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        return await super().read(run_id[:127], after, limit=limit, **more)


class FoldsIds(Open):
    """It ignores upper and lower case."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, run_id=opening.run_id and opening.run_id.lower()))


class MixesIdsAndKeys(Open):
    """A key and a run of the same text share a name."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        other = self._registry.find(self.run(grant.run_id).opening.key)
        if seal is not None and other is not None:
            other.outcome = seal.outcome
        return answered


class ForgetsMetadata(Open):
    """It keeps the top of what was said."""

    async def open(self, opening: Opening) -> Opened:
        flat = {name: value for name, value in opening.metadata.items() if not isinstance(value, dict)}
        return await super().open(replace(opening, metadata=flat))


class ForgetsTheDialect(Open):
    """It keeps no dialect."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, dialect="native"))


class ForgetsTheTrace(Open):
    """It keeps no trace."""

    async def open(self, opening: Opening) -> Opened:
        return await super().open(replace(opening, trace=""))


class TellsLessOnPages(Open):
    """What a page tells of the run is not all."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, info=replace(page.info, metadata={}))


class KeepsTheCallersDict(Open):
    """Metadata are the caller's own object."""

    async def open(self, opening: Opening) -> Opened:
        opened = await super().open(opening)
        self.run(opened.info.id)._metadata = MappingProxyType(dict(opening.metadata))
        return opened


class KeepsTheCallersList(Open):
    """Frames are the caller's own list."""

    async def append(self, grant: Grant, first_offset: int, frames: Frames, seal: Seal | None = None) -> Appended:
        answered = await super().append(grant, first_offset, frames, seal)
        self.run(grant.run_id)._frames = frames  # type: ignore[assignment]
        return answered


class GivesItsOwnListAway(Open):
    """A page's records are the store's own list."""

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, **more: int) -> Page:
        page = await super().read(run_id, after, limit=limit, **more)
        return replace(page, frames=self.run(run_id)._frames)


REFUSED = "the store refused what it has to do: "
CASES: list[tuple[StoreLaw, type, str]] = [
    (starts_are_idempotent, IgnoresIdempotencyKeys, REFUSED + "RunConflictError"),
    (starts_are_idempotent, ForgetsStartsAtTheEnd, "what the same start gets"),
    (starts_are_idempotent, FindsInSilence, "a start that found its run is not told so"),
    (an_idempotency_key_is_one_request, IgnoresFingerprints, "another start of an idempotency key was not refused"),
    (an_idempotency_key_is_one_request, ReplacesBeforeItLooks, "the run after a refused start"),
    (idempotency_keys_are_scoped, OneScopeForAll, REFUSED + "IdempotencyConflictError"),
    (idempotency_keys_are_scoped, TakesEmptyForNone, REFUSED + "IdempotencyConflictError"),
    (one_of_many_same_starts_makes_the_run, LooksThenClaims, "the runs that 8 equal starts made: 8 instead of 1"),
    (one_of_many_same_starts_makes_the_run, GrantsTheFound, "the grants that 8 equal starts got: 8 instead of 1"),
    (lost_answers_are_told_again, IgnoresClaims, "the answer to a start, asked again"),
    (lost_answers_are_told_again, ReplacesItself, "the answer to a start, asked again"),
    (foreign_text_stays_apart, StripsKeys, REFUSED + "RunConflictError"),
    (foreign_text_stays_apart, FoldsKeys, REFUSED + "RunConflictError"),
    (foreign_text_stays_apart, CutsKeys, REFUSED + "RunConflictError"),
    (foreign_text_stays_apart, EndsAtZero, REFUSED + "RunConflictError"),
    (foreign_text_stays_apart, JoinsScopesByColons, "a start found the run"),
    (run_ids_stay_apart, CutsIds, "the log of run 'xxxx"),
    (run_ids_stay_apart, FoldsIds, REFUSED + "RunConflictError"),
    (run_ids_stay_apart, MixesIdsAndKeys, "the state of run 'a:b'"),
    (what_is_said_is_kept, ForgetsMetadata, "the metadata"),
    (what_is_said_is_kept, ForgetsTheDialect, "what was said"),
    (what_is_said_is_kept, ForgetsTheTrace, "the trace"),
    (what_is_said_is_kept, TellsLessOnPages, "the metadata"),
    (what_is_kept_is_a_copy, KeepsTheCallersDict, "metadata that the caller has changed"),
    (what_is_kept_is_a_copy, KeepsTheCallersList, "frames whose list the caller has emptied"),
    (what_is_kept_is_a_copy, GivesItsOwnListAway, "the log after a reader has emptied its page"),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: law.__name__)
def test_a_right_store_keeps_the_law(law: StoreLaw) -> None:
    """I9: the store in memory keeps the laws of what a start is told and of what is kept of it."""
    keep(law)


@pytest.mark.parametrize(("law", "store", "finding"), CASES, ids=names(CASES))
def test_a_broken_store_breaks_the_law(law: StoreLaw, store: type, finding: str) -> None:
    """Each defect is found, with an AssertionError that says what is wrong."""
    breaks(law, store, finding)


def test_every_law_is_proved() -> None:
    """No law is without a store that breaks it."""
    assert {law for law, _, _ in CASES} == set(laws)


def test_another_error_is_not_taken_for_a_refusal() -> None:
    """What a store raises by mistake goes through as it is."""

    class Crashes(Open):
        async def open(self, opening: Opening) -> Opened:
            raise LookupError(opening.key)

    with pytest.raises(LookupError) as caught:
        keep(starts_are_idempotent, Crashes)
    assert not isinstance(caught.value, RunNotFoundError)
