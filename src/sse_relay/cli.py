"""The command line: `sse-relay demo`."""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_relay.demo.upstream import Upstream

__all__ = ["main"]

_DEMO = """\
Watch a text stream through the library into a browser; reload the page, cut its connection, stop the run or crash its
producer, and see the ways in which it can end.

With --upstream and --model an OpenAI-compatible server answers; its key is taken from OPENAI_API_KEY."""


class _UserError(Exception):
    """What the user can put right: shown as one sentence."""

    def __init__(self, sentence: str, *, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Args:
        argv: Its arguments; None: the process's own.

    Returns:
        The exit code: 0, 1 when it could not be done, 2 when it was asked wrongly.
    """
    parser = argparse.ArgumentParser(prog="sse-relay", description="Event streams that always end.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo", help="the demo app", description=_DEMO, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    demo.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine only)")
    demo.add_argument("--port", type=_port, default=os.environ.get("PORT") or "8000", help="default: PORT, or 8000")
    demo.add_argument("--upstream", metavar="URL", help="base URL of a model server, as http://localhost:11434/v1")
    demo.add_argument("--model", metavar="NAME", help="which of its models to ask")
    arguments = parser.parse_args(argv)
    if (arguments.upstream is None) != (arguments.model is None):
        demo.error("--upstream and --model go together")
    try:
        return _demo(arguments)
    except _UserError as error:
        print(f"sse-relay: {error}", file=sys.stderr)
        return error.code


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a port: use 0 to 65535")
    return int(text)


def _demo(arguments: argparse.Namespace) -> int:
    try:
        from sse_relay.demo import DemoApp  # noqa: PLC0415 - other commands need none of this
        from sse_relay.demo.server import DemoServer, listen  # noqa: PLC0415

        upstream = _upstream(arguments.upstream, arguments.model)
    except ModuleNotFoundError as error:
        if error.name not in {"uvicorn", "httpx2"}:
            raise
        raise _UserError(f"the demo needs {error.name}: pip install 'sse-relay[demo]'") from error
    try:
        sock = listen(arguments.host, arguments.port)
    except OSError as error:
        raise _UserError(_why(error, arguments.host, arguments.port)) from error
    with sock:
        host, port = sock.getsockname()[:2]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        print(f"sse_relay demo: http://{f'[{shown}]' if ':' in shown else shown}:{port}/  (Ctrl-C ends it)", flush=True)
        try:
            DemoServer(DemoApp(upstream=upstream)).run(sockets=[sock])
        except KeyboardInterrupt:
            print()
    return 0


def _upstream(url: str | None, model: str | None) -> "Upstream | None":
    if url is None or model is None:
        return None
    from sse_relay.demo.upstream import Upstream  # noqa: PLC0415 - httpx2 is needed with an upstream only

    try:
        return Upstream(url, model, key=os.environ.get("OPENAI_API_KEY") or None)
    except ValueError as error:
        raise _UserError(str(error), code=2) from error


def _why(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"{host!r} is not an address of this machine: leave --host out, or use 0.0.0.0 for every interface"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: choose another with --port, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"port {port} is reserved for the system's own programs: choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: leave --host out, or use 0.0.0.0 for every interface"
    return f"cannot listen on {host}:{port}: {error.strerror}"
