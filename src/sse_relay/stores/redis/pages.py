"""
Pages of logs, each with the state of its run.

As a rule one script tells both in one instant. But whatever goes through Lua is copied there and back, which takes more
time than all the rest; so who wants much gets the entries by a command of the server's own, and the state by a script
right behind it. What the older entries hold is the same in the newer state, or that tells where their epoch ended.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sse_relay.stores.redis.arguments import offset_of, plain
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.lines import Calls
from sse_relay.stores.redis.replies import require_found
from sse_relay.stores.redis.scripts import Command, load
from sse_relay.stores.redis.snapshot import Snapshot
from sse_relay.stores.terms import Page
from sse_relay.wire.cursor import Cursor

__all__ = ["INFO", "READ", "page_of"]

INFO, READ = load("info"), load("read")
_ENTRIES = Command("XRANGE")
_MUCH = 1000  # records
_MOST_RECORDS = 10**9
_MOST_ENTRIES = b"128"  # about a MiB, for as a rule an entry holds 8 KiB
_ENDS = b"-18446744073709551615"  # behind whatever an entry that ends with a record may be named

_Place = Cursor | int | None


async def page_of(calls: Calls, keys: Keys, run_id: str, after: _Place, limit: int, *, one_node: bool) -> Page:
    """
    Read what follows a place.

    Args:
        calls: Whom to ask.
        keys: The names.
        run_id: The run.
        after: The place.
        limit: The most records.
        one_node: Whether what is asked one after the other is answered by the same server.

    Raises:
        CursorMismatchError: The log never had the place.
        RunNotFoundError: There is no such run.
        RunExpiredError: There was one.
        StoreUnavailableError: There is no answer.
    """
    if one_node and limit >= _MUCH and (page := await _entries(calls, keys.run(run_id), run_id, after, limit)):
        return page
    limit = min(limit, _MOST_RECORDS)
    args = plain(offset_of(after)), plain(limit)
    (reply,) = await calls.call(READ, [keys.run(run_id)], *args, joins=limit)
    require_found(run_id, reply)
    _, run, *read = reply
    return Snapshot(run).page(0 if after is None else after, limit, *read)


async def _entries(calls: Calls, name: str, run_id: str, after: _Place, limit: int) -> Page | None:
    """Read whole entries; None: what follows is not in any, or not only."""
    begin = offset_of(after)
    within = b"(%d%b" % (begin, _ENDS), b"%d%b" % (min(begin + limit, _MOST_RECORDS), _ENDS), b"COUNT", _MOST_ENTRIES
    asked = calls.call(_ENTRIES, [name.replace("}:run:", "}:log:", 1)], *within), calls.call(INFO, [name])
    entries, reply = await asyncio.gather(*asked)
    if not entries:
        return None
    require_found(run_id, reply)
    page = Snapshot(reply[1]).page(0 if after is None else after, limit, *_together(entries))
    return page if page.frames else None


def _together(entries: Sequence[Any]) -> tuple[int, int, list[bytes]]:
    """Tell the first record, how many follow up to the next hole, and their batches."""
    first, last, batches = 0, 0, list[bytes]()
    for name, (_, packed) in entries:
        end, count = map(int, name.split(b"-"))
        if last and end - count != last:
            break
        first, last = first or end - count + 1, end
        batches.append(packed)
    return first, last + 1 - first, batches
