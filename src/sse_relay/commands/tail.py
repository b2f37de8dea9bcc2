"""Follow a stream: each event as a line, as JSON, or as it is on the wire."""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal

from rich.live import Live
from rich.text import Text

from sse_relay.commands.exits import Exit, UserError, exit_of
from sse_relay.commands.following import follow_run, follow_url, is_url
from sse_relay.commands.progress import Progress
from sse_relay.commands.screen import Screen, printable, styled
from sse_relay.commands.store_url import store_of
from sse_relay.dialects.native import Native
from sse_relay.outcome import Outcome
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Form", "headers_of", "tail"]

Form = Literal["lines", "json", "raw"]
_NATIVE = Native()


async def tail(
    target: str, *, store: str | None, prefix: str, headers: Mapping[str, str], after: str | None, form: Form
) -> Exit:
    """Follow a run or a URL, and exit by how it ended."""
    screen = Screen()
    printer = _Printer(screen, form)
    try:
        live = Live(printer.progress, console=screen.console, refresh_per_second=4, transient=True)
        with live if screen.live else nullcontext():
            if is_url(target):
                outcome = await follow_url(target, headers, after, printer)
            else:
                outcome = await _of_store(target, store, prefix, after, printer)
    except asyncio.CancelledError:
        if printer.progress.cursor is not None:
            print(f"sse-relay: the run goes on; follow it with --after {printer.progress.cursor}", file=sys.stderr)
        raise
    if outcome is None:
        raise UserError("the stream ended, and did not say how")
    return exit_of(outcome)


def headers_of(lines: list[str]) -> dict[str, str]:
    """
    Read headers as they are typed.

    Raises:
        ValueError: One is not ``Name: value``; what it says is not shown, for it may be a secret.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not (colon and name.strip() and line.isascii() and printable(line) == line):
            raise ValueError("a header is written as 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


async def _of_store(run_id: str, url: str | None, prefix: str, after: str | None, to: "_Printer") -> Outcome | None:
    store = store_of(url, prefix)
    try:
        return await follow_run(store, run_id, after, to)
    finally:
        await store.aclose()


class _Printer:
    def __init__(self, screen: Screen, form: Form) -> None:
        self._screen = screen
        self._form = form
        self.progress = Progress()

    @property
    def heard(self) -> bool:
        return self.progress.count > 0

    def hear(self, event: ServerSentEvent) -> None:
        if event.data is None and event.id is None:
            return  # a comment
        self.progress.step(event.id)
        match self._form:
            case "raw":
                self._screen.write(event.encode().decode())
            case "json":
                said = {"id": event.id, "event": event.event, "data": event.data}
                self._screen.write(json.dumps(said, ensure_ascii=False) + "\n")
            case _:
                self._line(event)

    def worry(self, trouble: str) -> None:
        self.progress.trouble = printable(trouble)
        if not self._screen.live:
            print(f"sse-relay: {self.progress.trouble}", file=sys.stderr)

    def _line(self, event: ServerSentEvent) -> None:
        name, data = printable(event.event or "(unnamed)"), printable(event.data or "")
        if not self._screen.live:
            self._screen.write(f"{printable(event.id or '')}\t{name}\t{data}\n")
            return
        place = printable(event.id or "").rpartition(":")[2]
        outcome = event.outcome or _NATIVE.outcome_of(event)
        shown = styled("" if outcome is None else outcome.status, f"{name:<10} ")
        shown.stylize({"gap": "bold yellow", "text": "blue"}.get(name, ""))
        self._screen.line(Text().append(f"{place:>6}  ", "dim").append_text(shown).append(data))
