"""What may be typed: commands, options and help."""

import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

import sse_relay
from sse_relay.commands.demo import demo as run_demo
from sse_relay.commands.doctor import examine_store, examine_stream
from sse_relay.commands.ending import cancel as cancel_run
from sse_relay.commands.ending import wait as wait_for
from sse_relay.commands.exits import Exit, perform
from sse_relay.commands.following import is_url
from sse_relay.commands.listing import Wanted
from sse_relay.commands.listing import runs as list_runs
from sse_relay.commands.show import show as show_run
from sse_relay.commands.spans import seconds_of
from sse_relay.commands.tail import Form, headers_of
from sse_relay.commands.tail import tail as follow

__all__ = ["run"]

_HELP = "Event streams that always end: see, follow, stop and mend the runs of a store."
_EPILOG = (
    "Exit codes: 0 done, or the run completed; 1 it could not be done; 2 wrong usage; the run ended 3 failed, "
    "4 cancelled, 5 lost, 6 timed_out; 7 no such run; 124 not in time; 130 Ctrl-C; 141 the reader left."
)

app: typer.Typer = typer.Typer(
    name="sse-relay", help=_HELP, epilog=_EPILOG, no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


class _Status(StrEnum):
    """A run's status, as an option."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    TIMED_OUT = "timed_out"


def _span(text: str | float) -> float:
    try:
        return seconds_of(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


_Store = Annotated[
    str | None,
    typer.Option(
        "--store", "-s", metavar="URL", envvar="SSE_RELAY_STORE", show_default=False,
        help="redis://, rediss:// or unix://; of a Cluster with ?cluster=1",
    ),
]  # fmt: skip
_Prefix = Annotated[
    str, typer.Option(metavar="TEXT", envvar="SSE_RELAY_PREFIX", help="What the names in the store begin with")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line")]
_Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id", show_default=False)]
_Headers = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Sent with a URL, as often as needed"),
]


def run(words: Sequence[str]) -> int:
    """Run a command to its exit code."""
    logging.getLogger("sse_relay").addHandler(logging.NullHandler())  # what matters of it is said by the command
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no box drawing shows question marks
    try:
        app(list(words), prog_name="sse-relay")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else Exit.DONE
    return Exit.DONE


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        print(f"sse-relay {sse_relay.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version")
    ] = False,
) -> None:
    del version  # told already


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo(context: typer.Context) -> None:
    """See it run: the demo app, in a browser."""
    raise typer.Exit(run_demo(context.args))


@app.command()
def tail(
    target: Annotated[str, typer.Argument(metavar="RUN|URL", help="A run's id, or the URL of any SSE stream")],
    *,
    store: _Store = None,
    prefix: _Prefix = "sse_relay",
    header: _Headers = None,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on behind it: EPOCH:OFFSET, or OFFSET")
    ] = None,
    json: _Json = False,
    raw: Annotated[bool, typer.Option("--raw", help="The frames, as they are on the wire")] = False,
) -> None:
    """Follow a stream to its end, through cuts and outages; the exit code tells how it ended."""
    if json and raw:
        raise typer.BadParameter("--json and --raw are two forms: choose one")
    headers = _headers(header)
    form: Form = "json" if json else "raw" if raw else "lines"
    _leave(perform(follow(target, store=store, prefix=prefix, headers=headers, after=after, form=form)))


@app.command()
def runs(
    *,
    store: _Store = None,
    prefix: _Prefix = "sse_relay",
    status: Annotated[
        list[_Status] | None, typer.Option(metavar="STATUS", help=f"{', '.join(_Status)}; as often as needed")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only of this key", show_default=False)] = None,
    newer: Annotated[
        float | None, typer.Option(metavar="SPAN", parser=_span, help="Started less than, say, 10m ago")
    ] = None,
    older: Annotated[
        float | None, typer.Option(metavar="SPAN", parser=_span, help="Started more than, say, 2h ago")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The most of them")] = 50,
    json: _Json = False,
) -> None:
    """List runs, newest first."""
    wanted = Wanted(tuple(each.value for each in status or ()), key, newer, older, limit)
    _leave(perform(list_runs(store, prefix, wanted, as_json=json)))


@app.command()
def show(run: _Run, *, store: _Store = None, prefix: _Prefix = "sse_relay", json: _Json = False) -> None:
    """Show one run: its state, and its log as a picture. It is only read."""
    _leave(perform(show_run(run, store, prefix, as_json=json)))


@app.command()
def cancel(
    run: _Run,
    *,
    store: _Store = None,
    prefix: _Prefix = "sse_relay",
    reason: Annotated[str, typer.Option(help="Why, as its viewers are told")] = "user",
    grace: Annotated[float, typer.Option(metavar="SPAN", parser=_span, help="How long it may clean up")] = 5.0,
    json: _Json = False,
) -> None:
    """Stop a run, wherever it is produced; returns once its end is durable."""
    _leave(perform(cancel_run(run, store, prefix, reason=reason, grace=grace, as_json=json)))


@app.command()
def wait(
    run: _Run,
    *,
    store: _Store = None,
    prefix: _Prefix = "sse_relay",
    timeout: Annotated[float | None, typer.Option(metavar="SPAN", parser=_span, help="Wait no longer")] = None,
    json: _Json = False,
) -> None:
    """Wait until a run has ended; the exit code tells how, or 124: not within --timeout."""
    _leave(perform(wait_for(run, store, prefix, timeout=timeout, as_json=json)))


@app.command()
def doctor(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="A stream over HTTP; none: the store")] = None,
    *,
    store: _Store = None,
    prefix: _Prefix = "sse_relay",
    header: _Headers = None,
    seconds: Annotated[float, typer.Option(metavar="SPAN", parser=_span, help="How long to watch a stream")] = 5.0,
    json: _Json = False,
) -> None:
    """Find what is wrong with a store, or with a stream over HTTP, and what to do; 1 where something does not work."""
    if url is None:
        _leave(perform(examine_store(store, prefix, as_json=json)))
    if not is_url(url):
        raise typer.BadParameter("a URL begins with http:// or https://; a store is given by --store")
    _leave(perform(examine_stream(url, _headers(header), seconds, as_json=json)))


def _headers(lines: list[str] | None) -> dict[str, str]:
    try:
        return headers_of(lines or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _leave(code: Exit) -> NoReturn:
    raise typer.Exit(code)
