"""The demo: works without typer and rich."""

import argparse
import errno
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sse_relay.commands.exits import Exit, UserError, complain
from sse_relay.commands.interrupts import leaving_at_once

if TYPE_CHECKING:
    from sse_relay.demo.upstream import Upstream

__all__ = ["demo"]

_DESCRIPTION = """\
Watch a text stream through the library into a browser; reload the page, cut its connection, stop the run or crash its
producer, and see the ways in which it can end.

With --upstream and --model an OpenAI-compatible server answers; its key is taken from OPENAI_API_KEY."""


def demo(argv: Sequence[str]) -> int:
    """Run the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="sse-relay demo", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", type=_port, default=os.environ.get("PORT") or "8000", help="default: PORT, or 8000")
    parser.add_argument("--upstream", metavar="URL", help="base URL of a model server, as http://localhost:11434/v1")
    parser.add_argument("--model", metavar="NAME", help="which of its models to ask")
    arguments = parser.parse_args(argv)
    if (arguments.upstream is None) != (arguments.model is None):
        parser.error("--upstream and --model go together")
    try:
        return _serve(arguments)
    except UserError as error:
        return complain(error, error.code)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a port: use 0 to 65535")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    try:
        with leaving_at_once():
            from sse_relay.demo import DemoApp  # noqa: PLC0415 - other commands need none of this
            from sse_relay.demo.server import DemoServer, listen  # noqa: PLC0415

        upstream = _upstream(arguments.upstream, arguments.model)
    except ModuleNotFoundError as error:
        if error.name not in {"uvicorn", "httpx2"}:
            raise
        raise UserError(f"the demo needs {error.name}: pip install 'sse-relay[demo]'") from error
    try:
        sock = listen(arguments.host, arguments.port)
    except OSError as error:
        raise UserError(_why(error, arguments.host, arguments.port)) from error
    with sock:
        host, port = sock.getsockname()[:2]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        address = f"[{shown}]" if ":" in shown else shown
        server = DemoServer(DemoApp(upstream=upstream))
        try:
            with leaving_at_once(Exit.DONE, until=lambda: server.started):
                print(f"sse_relay demo: http://{address}:{port}/  (Ctrl-C ends it)", flush=True)
                server.run(sockets=[sock])
        except KeyboardInterrupt:
            print()
    return Exit.DONE


def _upstream(url: str | None, model: str | None) -> "Upstream | None":
    if url is None or model is None:
        return None
    from sse_relay.demo.upstream import Upstream  # noqa: PLC0415 - httpx2 is needed with an upstream only

    try:
        return Upstream(url, model, key=os.environ.get("OPENAI_API_KEY") or None)
    except ValueError as error:
        raise UserError(str(error), Exit.MISUSED) from error


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
