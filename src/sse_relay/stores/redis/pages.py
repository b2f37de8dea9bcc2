"""
Pages of logs, each with the state of its run.

As a rule one script tells both in one instant. But whatever goes through Lua is copied there and back, which takes more
time than all the rest; so who wants much gets the entries by a command of the server's own, and the state by a script
right behind it. What the older entries hold is the same in the newer state, or that tells where their epoch ended.

That command knows no bytes. A run whose entries turn out to be far more than a page is read by the script from then on.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sse_relay.stores.readings import Page
from sse_relay.stores.redis.arguments import offset_of, plain
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.lines import Calls
from sse_relay.stores.redis.replies import require_found
from sse_relay.stores.redis.scripts import Command, load
from sse_relay.stores.redis.snapshot import Snapshot
from sse_relay.wire.cursor import Cursor

__all__ = ["INFO", "READ", "Heavy", "page_of"]

INFO, READ = load("info"), load("read")
_ENTRIES = Command("XRANGE")
_MUCH = 1000  # records
_MOST_RECORDS = 10**9
_ENTRY = 1 << 13  # bytes that an entry holds, as a rule
_MOST_HEAVY = 1000  # runs that are remembered
_ENDS = b"-18446744073709551615"  # behind whatever an entry that ends with a record may be named

_Place = Cursor | int | None


class Heavy:
    """The runs, lately read, of which a page's entries are far more than a page."""

    def __init__(self) -> None:
        self._runs: dict[str, None] = {}

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def note(self, run_id: str) -> None:
        """Remember a run, and forget the oldest."""
        self._runs[run_id] = None
        if len(self._runs) > _MOST_HEAVY:
            del self._runs[next(iter(self._runs))]


async def page_of(
    calls: Calls, keys: Keys, run_id: str, after: _Place, bounds: tuple[int, int], *, heavy: Heavy | None
) -> Page:
    """
    Read what follows a place.

    Args:
        calls: Whom to ask.
        keys: The names.
        run_id: The run.
        after: The place.
        bounds: The most records, and the most bytes of them.
        heavy: Of which runs not to get the entries; None: of none, for what is asked one after the other may be
            answered by two servers.

    Raises:
        CursorMismatchError: The log never had the place.
        RunNotFoundError: There is no such run.
        RunExpiredError: There was one.
        StoreUnavailableError: There is no answer.
    """
    limit, max_bytes = min(bounds[0], _MOST_RECORDS), bounds[1]
    if (
        heavy is not None
        and limit >= _MUCH
        and run_id not in heavy
        and (page := await _entries(calls, keys.run(run_id), run_id, after, (limit, max_bytes), heavy=heavy))
    ):
        return page
    args = plain(offset_of(after)), plain(limit), plain(max_bytes)
    (reply,) = await calls.call(READ, [keys.run(run_id)], *args, joins=limit)
    require_found(run_id, reply)
    _, run, *read = reply
    return Snapshot(run).page(0 if after is None else after, (limit, max_bytes), *read)


async def _entries(
    calls: Calls, name: str, run_id: str, after: _Place, bounds: tuple[int, int], *, heavy: Heavy
) -> Page | None:
    """Read whole entries; None: what follows is not in any, or not only."""
    begin, (limit, max_bytes) = offset_of(after), bounds
    until, count = min(begin + limit, _MOST_RECORDS), max(max_bytes // _ENTRY, 1)
    within = b"(%d%b" % (begin, _ENDS), b"%d%b" % (until, _ENDS), b"COUNT", plain(count)
    asked = calls.call(_ENTRIES, [name.replace("}:run:", "}:log:", 1)], *within), calls.call(INFO, [name])
    entries, reply = await asyncio.gather(*asked)
    if not entries:
        return None
    require_found(run_id, reply)
    first, number, batches = _together(entries)
    if sum(map(len, batches)) > 2 * max_bytes:
        heavy.note(run_id)
    page = Snapshot(reply[1]).page(0 if after is None else after, bounds, first, number, batches)
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
