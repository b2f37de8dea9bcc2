"""Which runs there are."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from sse_relay.commands.exits import Exit
from sse_relay.commands.screen import Screen, printable, styled
from sse_relay.commands.spans import span
from sse_relay.commands.store_url import store_of
from sse_relay.dialects.native import outcome_json
from sse_relay.stores.protocol import RunInfo, StreamStore

__all__ = ["Wanted", "described", "runs"]

_WIDE, _NARROW, _REASON = 110, 72, 16  # columns of a terminal
_COLUMNS = ("run", "status", "started", "active", "records", "key", "reason")
_FEWER = ("run", "status", "started", "key")
_FEWEST = ("run", "status", "started")
_NUMBERS = {"started", "active", "records"}
_CUT = {"key", "reason"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which runs to list.

    Attributes:
        statuses: Of one of these; empty: of any.
        key: Of this key; None: of any or none.
        newer: Started less than so many seconds ago.
        older: Started more than so many seconds ago.
        limit: The most of them.
    """

    statuses: tuple[str, ...] = ()
    key: str | None = None
    newer: float | None = None
    older: float | None = None
    limit: int = 50

    def wants(self, run: RunInfo, age: float) -> bool:
        """Tell whether a run is to be listed."""
        return (
            (not self.statuses or run.status in self.statuses)
            and (self.key is None or run.key == self.key)
            and (self.older is None or age > self.older)
        )


async def runs(url: str | None, prefix: str, wanted: Wanted, *, as_json: bool) -> Exit:
    """List runs, newest first."""
    store = store_of(url, prefix)
    screen = Screen()
    now = time.time()
    try:
        found = [run async for run in _found(store, wanted, now)]
    finally:
        await store.aclose()
    if as_json:
        for run in found:
            screen.write(json.dumps(described(run), ensure_ascii=False) + "\n")
    elif found:
        screen.show(_table(found, now, screen))
    else:
        screen.show("no runs" if wanted == Wanted(limit=wanted.limit) else "no runs like that")
    return Exit.DONE


def described(run: RunInfo) -> dict[str, object]:
    """Tell all that is known of a run."""
    return {
        "id": run.id,
        "key": run.key,
        "status": run.status,
        "outcome": run.outcome and outcome_json(run.outcome),
        "epoch": run.epoch,
        "last_offset": run.last_offset,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "dialect": run.dialect,
        "metadata": dict(run.metadata),
    }


async def _found(store: StreamStore, wanted: Wanted, now: float) -> AsyncIterator[RunInfo]:
    count = 0
    async for run in store.runs():
        age = now - run.created_at
        if count == wanted.limit or (wanted.newer is not None and age > wanted.newer):
            return
        if wanted.wants(run, age):
            count += 1
            yield run


def _table(found: list[RunInfo], now: float, screen: Screen) -> Table:
    width = screen.console.width
    names = _COLUMNS if width >= _WIDE else _FEWER if width >= _NARROW else _FEWEST
    shown = [_cells(run, now) for run in found]
    taken = sum(2 + max(cells[name].cell_len for cells in shown) for name in names if name not in _CUT)
    table = Table(box=None, pad_edge=False, header_style="bold" if screen.live else "")
    for name in names:
        whole = name != "run" or width >= _NARROW
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=whole, overflow="fold")
    for cells in shown:
        cells["reason"].truncate(_REASON if screen.live else width, overflow="ellipsis")
        cells["key"].truncate(max(width - taken - (_REASON + 2) * ("reason" in names), 8), overflow="ellipsis")
        table.add_row(*[cells[name] for name in names])
    return table


def _cells(run: RunInfo, now: float) -> dict[str, Text]:
    reason = run.outcome.reason or "" if run.outcome is not None else ""
    return {
        "run": _plain(run.id),
        "status": styled(run.status),
        "started": Text(f"{span(now - run.created_at)} ago"),
        "active": Text(f"{span(now - run.updated_at)} ago"),
        "records": Text(str(run.last_offset)),
        "key": _plain(run.key or ""),
        "reason": _plain(reason),
    }


def _plain(text: str) -> Text:
    return Text(printable(text))  # no markup
