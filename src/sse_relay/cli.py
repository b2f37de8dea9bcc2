"""The command line: `sse-relay demo | tail | runs | show | cancel | wait | doctor`."""

import sys
from collections.abc import Sequence

from sse_relay.commands.interrupts import INTERRUPTED, leaving_at_once

__all__ = ["main"]

_MISUSED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Args:
        argv: Its arguments; None: the process's own.

    Returns:
        The exit code, as `sse_relay.commands.exits.Exit` says.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        needed = f"this needs {missing}: pip install 'sse-relay[cli]'; `sse-relay demo` works without"
        print(f"sse-relay: {needed}", file=sys.stderr)
        return _MISUSED


def _run(words: list[str]) -> int:
    """Import late, so that Ctrl-C in the first moments is met."""
    if words[:1] == ["demo"]:
        with leaving_at_once():
            from sse_relay.commands.demo import demo  # noqa: PLC0415

        return demo(words[1:])
    with leaving_at_once():
        from sse_relay.commands.app import run  # noqa: PLC0415

    return run(words)
