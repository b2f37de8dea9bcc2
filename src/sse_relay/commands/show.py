"""One run: its state, and its log as a picture."""

import json
import time
from datetime import datetime

from rich.table import Table
from rich.text import Text

from sse_relay.commands.exits import Exit
from sse_relay.commands.listing import described
from sse_relay.commands.screen import Screen, printable, styled
from sse_relay.commands.spans import span
from sse_relay.commands.store_url import store_of
from sse_relay.commands.story import Story, story_of
from sse_relay.commands.timeline import timeline

__all__ = ["show"]

_MOST_LAPSED = 1000


async def show(run_id: str, url: str | None, prefix: str, *, as_json: bool) -> Exit:
    """Show a run; it is only read, also where its producer is dead and nobody has said so yet."""
    store = store_of(url, prefix)
    screen = Screen()
    try:
        story = await story_of(store, run_id)
        lapsed = story.info.outcome is None and run_id in await store.lapsed(_MOST_LAPSED)
    finally:
        await store.aclose()
    if as_json:
        told = described(story.info) | {
            "lapsed": lapsed,
            "events": {name: sum(counts) for name, counts in story.lanes.items()},
            "gaps": [{"first": first, "last": last} for first, last in story.gaps],
            "epochs": [{"epoch": epoch, "first": first} for epoch, first in story.epochs],
        }
        screen.write(json.dumps(told, ensure_ascii=False) + "\n")
        return Exit.DONE
    screen.show(_state(story, lapsed=lapsed), "")
    for line in timeline(story, screen.width):
        screen.line(line)
    if story.last:
        screen.show("")
    for offset, name, data in story.last:
        screen.line(Text().append(f"{offset:>6}  ", "dim").append(f"{printable(name):<10} ").append(printable(data)))
    return Exit.DONE


def _state(story: Story, *, lapsed: bool) -> Table:
    run, now = story.info, time.time()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right", no_wrap=True)
    table.add_column(overflow="fold")

    def row(name: str, said: str | Text) -> None:
        table.add_row(name, Text(printable(said)) if isinstance(said, str) else said)

    row("run", run.id)
    row("status", styled(run.status).append("" if run.outcome is None else _why(story), "default"))
    if run.outcome is None:
        row("lease", Text("passed: its producer is dead; whoever views it next seals it lost", "magenta")
            if lapsed else f"held, by epoch {run.epoch}")  # fmt: skip
    else:
        row("epoch", run.epoch)
    if run.key is not None:
        row("key", run.key)
    row("started", f"{_at(run.created_at)}, {span(now - run.created_at)} ago")
    took = f", after {span(run.updated_at - run.created_at)}"
    row("active" if run.outcome is None else "ended", f"{_at(run.updated_at)}{took}")
    row("dialect", run.dialect)
    row("cursor", f"{run.epoch}:{run.last_offset}")
    for first, last in story.gaps:
        row("gap", Text(f"records {first} to {last} are gone: trimmed", "red"))
    if run.metadata:
        row("metadata", json.dumps(dict(run.metadata), ensure_ascii=False))
    return table


def _why(story: Story) -> str:
    outcome = story.info.outcome
    if outcome is None:
        return ""
    reason = f", {outcome.reason}" if outcome.reason else ""
    error = outcome.error
    detail = f": {error.code}, {error.message} (error_id {error.error_id})" if error else ""
    return printable(reason + detail)


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
