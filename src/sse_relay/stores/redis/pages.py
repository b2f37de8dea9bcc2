"""
Pages of logs, each with the state of its run.

As a rule one script tells both in one instant. But whatever goes through Lua is copied there and back, which takes more
time than all the rest; so who wants much gets the entries by a command of the server's own, and the state by a script
right behind it, with what gathers behind the last entry. What the older entries hold is the same in the newer state, or
that tells where their epoch ended.

That command knows no bytes. A run whose entries turn out to be far more than a page is read by the script from then on.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sse_relay.stores.readings import Page
from sse_relay.stores.redis.arguments import offset_of, plain
from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.lines import Calls
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.replies import require_found
from sse_relay.stores.redis.scripts import Command, load
from sse_relay.stores.redis.snapshot import Snapshot
from sse_relay.wire.cursor import Cursor

__all__ = ["INFO", "READ", "Heavy", "page_of"]

INFO, READ = load("info"), load("read")
_ENTRIES = Command("XRANGE")
_MUCH = 500  # records
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
    calls: Calls, keys: Keys, run_id: str, after: _Place, bounds: tuple[int, int], *, link: Link | None, heavy: Heavy
) -> Page:
    """
    Read what follows a place.

    Args:
        calls: Whom to ask.
        keys: The names.
        run_id: The run.
        after: The place.
        bounds: The most records, and the most bytes of them.
        link: The same; None: what is asked one after the other may be answered by two servers.
        heavy: Of which runs not to get the entries.

    Raises:
        CursorMismatchError: The log never had the place.
        RunNotFoundError: There is no such run.
        RunExpiredError: There was one.
        StoreUnavailableError: There is no answer.
    """
    limit, max_bytes = min(bounds[0], _MOST_RECORDS), bounds[1]
    if (
        link is not None
        and limit >= _MUCH
        and run_id not in heavy
        and (page := await _entries(link, keys, run_id, after, (limit, max_bytes), heavy=heavy))
    ):
        return page
    args = plain(offset_of(after)), plain(limit), plain(max_bytes)
    (reply,) = await calls.call(READ, [keys.run(run_id)], *args, joins=limit)
    require_found(run_id, reply)
    _, run, *read = reply
    return Snapshot(run).page(0 if after is None else after, (limit, max_bytes), *read)


async def _entries(
    link: Link, keys: Keys, run_id: str, after: _Place, bounds: tuple[int, int], *, heavy: Heavy
) -> Page | None:
    """Read whole entries, and what gathers; None: what follows is not in these, or not only."""
    begin, (limit, max_bytes) = offset_of(after), bounds
    until, count = min(begin + limit, _MOST_RECORDS), max(max_bytes // _ENTRY, 1)
    within = b"(%d%b" % (begin, _ENDS), b"%d%b" % (until, _ENDS), b"COUNT", plain(count)
    state = [plain(begin), plain(until)]
    asked = Call(_ENTRIES, [keys.log(run_id)], within), Call(INFO, [keys.run(run_id)], state)
    for call in asked:  # without a task for each
        link.ask(call)
    entries, reply = await asyncio.gather(*[call.future for call in asked])
    require_found(run_id, reply)
    snapshot, (first, number, batches) = Snapshot(reply[1]), _together(entries + reply[2:])
    if first > begin + 1 or (snapshot.last > begin and not batches):
        return None  # it was trimmed, or has vanished, or meanwhile what gathered has become an entry
    if sum(map(len, batches)) > 2 * max_bytes:
        heavy.note(run_id)
    page = snapshot.page(0 if after is None else after, bounds, first, number, batches)
    return page if page.frames or not entries else None


def _together(entries: Sequence[Any]) -> tuple[int, int, list[bytes]]:
    """Tell the first record, how many follow up to the next hole, and their batches."""
    if not entries:
        return 0, 0, []
    names = list(map(int, b"-".join([name for name, _ in entries]).split(b"-")))
    first = last = names[0] - names[1]
    batches = list[bytes]()
    for (_, (_, packed)), end, count in zip(entries, names[::2], names[1::2], strict=True):
        if end - count != last:
            break
        last = end
        batches.append(packed)
    return first + 1, last - first, batches
