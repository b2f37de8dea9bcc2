"""The command line: `sse-relay demo | tail | runs | show | cancel | wait | doctor`."""

import sys
from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED = 130
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
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        needed = f"this needs {missing}: pip install 'sse-relay[cli]'; `sse-relay demo` works without"
        print(f"sse-relay: {needed}", file=sys.stderr)
        return _MISUSED


def _run(words: list[str]) -> int:
    """Import late, so that Ctrl-C in the first moments is met by `main`."""
    if words[:1] == ["demo"]:
        from sse_relay.commands.demo import demo  # noqa: PLC0415

        return demo(words[1:])
    from sse_relay.commands.app import run  # noqa: PLC0415

    return run(words)
