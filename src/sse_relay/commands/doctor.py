"""What is wrong, and what to do: with a store, or with a stream over HTTP."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from rich.table import Table
from rich.text import Text

from sse_relay.commands.exits import Exit, require
from sse_relay.commands.screen import Screen, printable
from sse_relay.commands.store_url import store_of
from sse_relay.exceptions import RunNotFoundError
from sse_relay.stores.protocol import StreamStore

__all__ = ["Remark", "examine_store", "examine_stream", "latency"]

_SIGNS = {"ok": ("✓", "green"), "info": ("·", "dim"), "warning": ("!", "yellow"), "error": ("✗", "red")}


_ROUND_TRIPS = 25
_QUICK = 10.0  # milliseconds


class Remark(Protocol):
    """One thing that was found."""

    @property
    def level(self) -> str:
        """Tell how bad it is: ``ok``, ``info``, ``warning`` or ``error``."""
        ...

    @property
    def subject(self) -> str:
        """Tell what it is about."""
        ...

    @property
    def found(self) -> str:
        """Tell what was found."""
        ...

    @property
    def advice(self) -> str:
        """Tell what to do; empty: nothing."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    level: str
    subject: str
    found: str
    advice: str = ""


async def examine_store(url: str | None, prefix: str, *, as_json: bool) -> Exit:
    """Ask a store how it is set up, and try it."""
    store = store_of(url, prefix)
    try:
        found: Sequence[Remark] = [*await store.check(), await latency(store)]
    finally:
        await store.aclose()
    return _report(found, as_json=as_json)


async def latency(store: StreamStore, clock: Callable[[], float] = time.perf_counter) -> Remark:
    """Tell how long a round trip takes: a first token waits for one, and so does each batch behind it."""
    took: list[float] = []
    for _ in range(_ROUND_TRIPS):
        began = clock()
        with suppress(RunNotFoundError):
            await store.info("p0-nothing")
        took.append(1000 * (clock() - began))
    usual, worst = median(took), max(took)
    found = f"{usual:.1f} ms a round trip, {worst:.1f} ms at most, of {_ROUND_TRIPS}"
    if worst <= _QUICK:
        return _Found("ok", "latency", found)
    if usual <= _QUICK:
        return _Found(
            "info", "latency", found, "ask again; if it stays, look at SLOWLOG, and for a neighbour of its CPU"
        )
    return _Found("warning", "latency", found, "put the store nearer to what uses it: every first token waits so long")


async def examine_stream(url: str, headers: Mapping[str, str], seconds: float, *, as_json: bool) -> Exit:
    """Ask for a stream, and watch how it comes."""
    require("httpx2", "client")
    from sse_relay.commands.stream_check import check_stream  # noqa: PLC0415 - a store is examined without httpx2

    return _report(await check_stream(url, headers, seconds), as_json=as_json)


def _report(found: Iterable[Remark], *, as_json: bool) -> Exit:
    screen = Screen()
    remarks = list(found)
    if as_json:
        for each in remarks:
            told = {"level": each.level, "subject": each.subject, "found": each.found, "advice": each.advice}
            screen.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for each in remarks:
            sign, style = _SIGNS[each.level]
            said = Text(printable(each.found))
            if each.advice:
                said.append(f"\n→ {printable(each.advice)}" if screen.live else f" → {printable(each.advice)}", style)
            table.add_row(Text(sign, style), Text(each.subject, style), said)
        screen.show(table)
    return Exit.UNDONE if any(each.level == "error" for each in remarks) else Exit.DONE
