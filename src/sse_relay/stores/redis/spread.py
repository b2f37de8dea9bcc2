"""
What is asked of many partitions at once: in one call where one server has them all, in one call a node on a Cluster.

A node's slots may have changed just now: then its part is asked name by name. A node that does not answer costs the
others no renewal: the answers that are there are told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.arguments import plain
from sse_relay.stores.redis.cluster import AstrayError
from sse_relay.stores.redis.keys import PARTITIONS, Keys
from sse_relay.stores.redis.lines import Calls
from sse_relay.stores.redis.scripts import load
from sse_relay.stores.redis.snapshot import text
from sse_relay.stores.terms import Grant

__all__ = ["LAPSED", "RENEW", "lapsed", "renewed"]

_RENEWED_AT_ONCE = 256  # runs: longer scripts would hold up everybody else
_PATIENCE = 1 / 6  # of a lease, for a node that does not answer; after a third of it the next renewal is due

RENEW, LAPSED = load("renew"), load("lapsed")

_T = TypeVar("_T")


async def renewed(calls: Calls, keys: Keys, grants: Sequence[Grant]) -> list[tuple[Grant, list[Any]]]:
    """
    Renew leases; told are the answers that there are.

    Raises:
        StoreUnavailableError: There is none.
    """
    groups = await calls.groups([keys.run(grant.run_id) for grant in grants])
    seconds = min(grant.lease for grant in grants) * _PATIENCE if len(groups) > 1 else None
    parts = [
        [grants[place] for place in group[at : at + _RENEWED_AT_ONCE]]
        for group in groups
        for at in range(0, len(group), _RENEWED_AT_ONCE)
    ]
    asked = [_in_time(partial(_renewed, calls, keys, part), seconds) for part in parts]
    replies = await asyncio.gather(*asked, return_exceptions=True)
    answers = [reply for reply in replies if isinstance(reply, list)]
    for failure in replies:
        if isinstance(failure, BaseException) and not (answers and isinstance(failure, StoreUnavailableError)):
            raise failure
    return list(chain(*answers))


async def lapsed(calls: Calls, keys: Keys, limit: int) -> list[str]:
    """
    Tell the ids of running runs whose lease has passed.

    Raises:
        StoreUnavailableError: A server does not answer: who asks is to know of that, for its runs cannot be renewed.
    """
    sets = [keys.leases(partition) for partition in range(PARTITIONS)]
    groups = await calls.groups(sets)
    found = await asyncio.gather(*[_lapsed(calls, [sets[place] for place in group], limit) for group in groups])
    return [text(run_id) for run_id in chain(*found)][:limit]


async def _renewed(calls: Calls, keys: Keys, grants: Sequence[Grant]) -> list[tuple[Grant, list[Any]]]:
    names = [keys.run(grant.run_id) for grant in grants]
    args = [(plain(name), plain(grant.fence)) for name, grant in zip(names, grants, strict=True)]
    try:
        replies = await calls.across(RENEW, names, *chain(*args))
        return list(zip(grants, replies, strict=True))
    except AstrayError:
        asked = [calls.call(RENEW, [name], *arg) for name, arg in zip(names, args, strict=True)]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        return [(grant, reply[0]) for grant, reply in zip(grants, replies, strict=True) if isinstance(reply, list)]


async def _lapsed(calls: Calls, sets: Sequence[str], limit: int) -> list[bytes]:
    async def ask(*names: str) -> list[bytes]:
        told: list[bytes] = await calls.across(LAPSED, names, plain(limit), *map(plain, names))
        return told

    try:
        return await ask(*sets)
    except AstrayError:  # what moves right now is looked at the next time
        found = await asyncio.gather(*map(ask, sets), return_exceptions=True)
        return [run_id for told in found if isinstance(told, list) for run_id in told]


async def _in_time(ask: Callable[[], Awaitable[_T]], seconds: float | None) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await ask()
    except TimeoutError:
        raise StoreUnavailableError("a node does not answer") from None
