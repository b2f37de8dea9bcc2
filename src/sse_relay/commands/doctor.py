"""What is wrong, and what to do: with a store, or with a stream over HTTP."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from rich.table import Table
from rich.text import Text

from sse_relay.commands.exits import Exit, require
from sse_relay.commands.screen import Screen, printable
from sse_relay.commands.store_url import store_of

__all__ = ["Remark", "examine_store", "examine_stream"]

_SIGNS = {"ok": ("✓", "green"), "info": ("·", "dim"), "warning": ("!", "yellow"), "error": ("✗", "red")}


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


async def examine_store(url: str | None, prefix: str, *, as_json: bool) -> Exit:
    """Ask a store how it is set up, and try it."""
    store = store_of(url, prefix)
    try:
        found: Sequence[Remark] = await store.check()
    finally:
        await store.aclose()
    return _report(found, as_json=as_json)


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
