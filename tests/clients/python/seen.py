"""What a client saw of each play, as JSON on the standard output."""

import asyncio
import inspect
import json
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

URL = sys.argv[1]
PLAYS = sys.argv[2].split(",")


@dataclass
class Seen:
    """
    What a client saw.

    Attributes:
        pieces: The text, as it came.
        tools: Calls of tools: id, name, arguments.
        usage: Tokens read and written.
        finish: Why the model stopped, each time that it was told.
        cut: What the client raised when its connection was cut.
        error: What it raised at the end: the kind of exception, and the error's code.
    """

    pieces: list[str] = field(default_factory=list)
    tools: list[list[str]] = field(default_factory=list)
    usage: list[int] | None = None
    finish: list[str] = field(default_factory=list)
    cut: str | None = None
    error: dict[str, Any] | None = None

    def call(self, index: int, call_id: str | None, name: str | None, arguments: str | None) -> None:
        """Take a part of a call."""
        while len(self.tools) <= index:
            self.tools.append(["", "", ""])
        for place, part in enumerate((call_id, name, arguments)):
            self.tools[index][place] += part or ""


def patience(play: str) -> float:
    """Tell for how many seconds a client waits for the next byte: less than the silence lasts, and else long enough."""
    return 1.0 if play == "silence" else 10.0


async def stop(run_id: str) -> None:
    """Stop a run, for a client that knows no way."""
    request = urllib.request.Request(f"{URL}/runs/{run_id}/cancel", method="POST")
    await asyncio.to_thread(urllib.request.urlopen, request)


def main(watch: Callable[[str, Seen], Any]) -> None:
    """Watch all plays at a time, and tell."""
    asyncio.run(_main(watch))


async def _main(watch: Callable[[str, Seen], Any]) -> None:
    saw = await asyncio.gather(*(_watch(watch, play) for play in PLAYS))
    told = dict(zip(PLAYS, map(asdict, saw), strict=True))
    sys.stdout.write(f"\n{json.dumps(told)}\n")  # a line of its own: some clients print, too


async def _watch(watch: Callable[[str, Seen], Any], play: str) -> Seen:
    seen = Seen()
    try:
        if inspect.iscoroutinefunction(watch):
            await watch(play, seen)
        else:
            await asyncio.to_thread(watch, play, seen)
    except Exception as error:  # noqa: BLE001 - it is what is to be told
        seen.error = {"kind": type(error).__name__, "code": _code(error), "text": str(error)}
    return seen


def _code(error: Any) -> str | None:
    """Tell the code of an error: what its client has made of it, else what it keeps of the server's words."""
    body = getattr(error, "body", None)
    said = body.get("error", body) if isinstance(body, dict) else {}
    code: str | None = said.get("code") or getattr(error, "code", None)
    return code
