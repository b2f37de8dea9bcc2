"""Laws of what a start is told, and what is kept of it: idempotency, foreign text, metadata."""

import asyncio
from dataclasses import replace
from itertools import product
from typing import Any

from sse_relay.exceptions import IdempotencyConflictError
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

_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_HOSTILE = (
    "", "a", "A", "a:b", "b", ":", "a:", ":b", "{a}", "{}", "a}b{", "a b", " a", "a\n", "a\r\n", "\0", "a\0b", "*",
    "a*", "?", "[a]", "a/b", "../a", "%61", "a%3Ab", "\\", '"', "'", "None", "null", "0", "-1", "\x7f", "é", "e\u0301",
    "ß", "\u202e", "\U0001f600", "x" * 2000, "x" * 2001, "key", "run", "meta", "lock", "EVAL", "a|b", "a,b", "a;b",
)  # fmt: skip


async def starts_are_idempotent(factory: StoreFactory) -> None:
    """The same start, asked again while its run goes on or when it has ended, finds that run."""
    async with fresh(factory) as under:
        same = {"key": "k", "idempotency_key": "i", "fingerprint": "f"}
        grant = await start(under.store, **same)
        for _ in range(2):
            for policy in ("reject", "join", "replace"):
                opened = await under.other.open(opening(**same, on_conflict=policy))
                expect_equal((opened.info.id, opened.grant), (grant.run_id, None), "what the same start gets")
                expect(opened.info.joined, "a start that found its run is not told so")
            await under.store.append(grant, 1, frames(1), sealed())
        expect_equal(len([info async for info in under.store.runs()]), 1, "the runs that one start made")


async def an_idempotency_key_is_one_request(factory: StoreFactory) -> None:
    """Used with another fingerprint it is refused, told of the first run, and the active run is left alone."""
    async with fresh(factory) as under:
        grant = await start(under.store, key="k", idempotency_key="i", fingerprint="f")
        other = opening(key="k", idempotency_key="i", fingerprint="g", on_conflict="replace")
        error = await refused(under.other.open(other), IdempotencyConflictError, "another start of an idempotency key")
        expect_equal((error.idempotency_key, error.run_id), ("i", grant.run_id), "what the refusal tells")
        expect_equal((await under.store.info(grant.run_id)).status, "running", "the run after a refused start")


async def idempotency_keys_are_scoped(factory: StoreFactory) -> None:
    """The same idempotency key under another key, or under none, is another start; a start without one, too."""
    async with fresh(factory) as under:
        made = [
            (await start(under.store, key=key, idempotency_key="i", fingerprint=repr(key))).run_id
            for key in ("a", "b", None, "")
        ]
        made.append((await start(under.store, idempotency_key="j")).run_id)
        made.append((await start(under.store)).run_id)
        made.append((await start(under.store, idempotency_key="")).run_id)
        expect_equal(len(set(made)), 7, "the runs of 7 different starts")


async def one_of_many_same_starts_makes_the_run(factory: StoreFactory) -> None:
    """Of all who ask the same start at once exactly one gets the right to produce, and all get the same run."""
    async with fresh(factory) as under:
        tries = [
            (under.other if number % 2 else under.store).open(opening(idempotency_key="i", fingerprint="f"))
            for number in range(8)
        ]
        opened = await asyncio.gather(*tries)
        expect_equal(len({result.info.id for result in opened}), 1, "the runs that 8 equal starts made")
        expect_equal(sum(result.grant is not None for result in opened), 1, "the grants that 8 equal starts got")


async def lost_answers_are_told_again(factory: StoreFactory) -> None:
    """I9: a start whose answer was lost is asked again, and gets the same grant; nothing is made or replaced twice."""
    async with fresh(factory) as under:
        old = await start(under.store, key="k")
        asked = opening(key="k", on_conflict="replace", run_id=under.store.new_run_id("k"), idempotency_key="i")
        first = await under.store.open(asked)
        again = await under.other.open(asked)
        expect(first.grant is not None, "a start that replaces got no grant")
        expect_equal((again.grant, again.info), (first.grant, first.info), "the answer to a start, asked again")
        infos = {info.id: info.status async for info in under.store.runs()}
        wanted = {old.run_id: "cancelled", first.info.id: "running"}
        expect_equal(infos, wanted, "the runs after a start was asked twice")
        if again.grant is not None:
            await wrote(under.other, again.grant, 1, frames(1))


async def foreign_text_stays_apart(factory: StoreFactory) -> None:
    """Keys and idempotency keys with any characters are different runs if and only if they are different texts."""
    async with fresh(factory) as under:
        made = {key: (await start(under.store, key=key)).run_id for key in _HOSTILE}
        expect_equal(len(set(made.values())), len(_HOSTILE), "the runs of different keys")
        for key, run_id in made.items():
            found = await under.other.lookup(key)
            expect_equal(found and (found.id, found.key), (run_id, key), f"the run of the key {key!r:.40}")
        for scope, name in product(("", "a", "a:b", "a:", ":", None), ("", "b", "b:c", ":b", "a:b")):
            grant = await start(under.store, key=scope, idempotency_key=name, fingerprint="f", on_conflict="replace")
            again = await under.other.open(opening(key=scope, idempotency_key=name, fingerprint="f"))
            expect_equal(again.info.id, grant.run_id, f"the run of {name!r} under {scope!r}")


async def run_ids_stay_apart(factory: StoreFactory) -> None:
    """Runs whose ids differ in a character only share nothing, nor with a key of the same text."""
    ids = ("a", "A", "a:b", "b", "a:", ":b", "{a}", "a}b{", "a.b", "a-b", "a_b", "x" * 127, "x" * 128)
    async with fresh(factory) as under:
        for number, run_id in enumerate(ids):
            grant = await start(under.store, run_id=run_id)
            await wrote(under.store, grant, 1, frames(number, run_id))
        keyed = await start(under.store, key="a:b")
        await wrote(under.store, keyed, 1, frames("keyed"), sealed())
        for number, run_id in enumerate(ids):
            log = await log_of(under.other, run_id)
            expect_equal([record.frame for record in log], frames(number, run_id), f"the log of run {run_id!r:.40}")
            expect_equal((await under.store.info(run_id)).status, "running", f"the state of run {run_id!r:.40}")


async def what_is_said_is_kept(factory: StoreFactory) -> None:
    """Metadata, key, dialect and trace come back as they were, from every operation that tells of a run."""
    metadata: dict[str, Any] = {
        "scope": "tenant",
        "nested": {"list": [1, -2.5, True, False, None, "é\U0001f600\0\n"], "empty": {}, "": []},
        **{text: text for text in _HOSTILE},
        "large": 2**53 + 1,
    }
    async with fresh(factory) as under:
        opened = await under.store.open(opening(key="k", metadata=metadata, dialect="openai-chat", trace=_TRACE))
        run_id = opened.info.id
        told = [opened.info, await under.other.info(run_id), (await under.other.read(run_id)).info]
        told += [info async for info in under.other.runs()]
        found = await under.other.lookup("k")
        expect(found is not None, "a key leads nowhere")
        for info in (*told, found):
            expect_equal(info and (info.key, info.dialect), ("k", "openai-chat"), "what was said")
            expect_equal(info and info.trace, _TRACE, "the trace")
            expect_equal(info and dict(info.metadata), metadata, "the metadata")
            expect_equal(info and replace(info, metadata={}), replace(told[0], metadata={}), "a snapshot")


async def what_is_kept_is_a_copy(factory: StoreFactory) -> None:
    """What the caller does to its metadata or its list of frames later changes nothing that is stored."""
    async with fresh(factory) as under:
        metadata: dict[str, Any] = {"a": 1, "nested": {"b": [1]}}
        batch = frames(1, 2)
        grant = await start(under.store, metadata=metadata)
        await wrote(under.store, grant, 1, batch)
        metadata["a"] = 2
        metadata["nested"]["b"].append(2)
        batch.clear()
        info = await under.other.info(grant.run_id)
        expect_equal(dict(info.metadata), {"a": 1, "nested": {"b": [1]}}, "metadata that the caller has changed")
        page = await under.other.read(grant.run_id)
        expect_equal(list(page.frames), frames(1, 2), "frames whose list the caller has emptied")
        if isinstance(page.frames, list):
            page.frames.clear()
        expect_equal(len(await log_of(under.store, grant.run_id)), 2, "the log after a reader has emptied its page")


laws: tuple[StoreLaw, ...] = (
    starts_are_idempotent,
    an_idempotency_key_is_one_request,
    idempotency_keys_are_scoped,
    one_of_many_same_starts_makes_the_run,
    lost_answers_are_told_again,
    foreign_text_stays_apart,
    run_ids_stay_apart,
    what_is_said_is_kept,
    what_is_kept_is_a_copy,
)
