"""Which cells the table has, what became of each, and how that gets into the docs."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.servers.places import FRAMEWORKS, PINNED, SERVERS

P = ParamSpec("P")
R = TypeVar("R")
Cell = tuple[str, str, str]
"""A server, a framework, a column."""

COLUMNS: dict[str, str] = {}
"""What the column is called of which test."""

LIMITS: Mapping[tuple[str, str], str] = {
    ("uvicorn", "HTTP/1.0"): (
        "Under httptools, its default parser, uvicorn answers HTTP/1.0 in chunks, which that does not know. Under "
        "`--http h11` it does not."
    ),
}
"""What a server, by its column, does not do; that is asserted, so that it is noticed when it does."""

NOTES: Mapping[tuple[str, str], str] = {
    ("hypercorn", "SIGTERM, 100 streams"): (
        "With `--workers 0`. With worker processes, which is its default, hypercorn lets nobody hear of the signal: it "
        "waits for its `graceful_timeout` of 3 seconds, and cuts the streams."
    ),
}
"""What a server does only with some of its options; what it does with the others is asserted too."""

_SHOWN = (
    "uvicorn", "hypercorn", "granian", "starlette", "fastapi", "litestar", "quart", "django", "uvloop", "httptools",
    "h11", "h2",
)  # fmt: skip
_VERSIONS = (
    "import importlib.metadata, json, platform;"
    f"print(json.dumps([platform.python_version(), *map(importlib.metadata.version, {_SHOWN})]))"
)


def column(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a test's results in a column."""

    def named(test: Callable[P, R]) -> Callable[P, R]:
        COLUMNS[test.__name__] = name
        return test

    return named


def write(path: Path, results: Mapping[Cell, bool]) -> None:
    """
    Replace what is between ``<!-- table -->`` and ``<!-- end of table -->`` in a file.

    Raises:
        ValueError: Cells are missing, or the file does not have the marks.
    """
    wanted = [(server, framework, name) for server in SERVERS for framework in FRAMEWORKS for name in COLUMNS.values()]
    if missing := [cell for cell in wanted if cell not in results]:
        raise ValueError(f"the table is written when all of it has run; {len(missing)} are missing, as {missing[0]}")
    text = path.read_text("utf-8")
    found = re.search(r"<!-- table -->\n(.*?)<!-- end of table -->", text, re.DOTALL)
    if found is None:
        raise ValueError("the file must have the lines <!-- table --> and <!-- end of table -->")
    body = "\n".join([_title(), "", *_rows(results), "", *_footnotes()])
    path.write_text(f"{text[: found.start(1)]}\n{body}\n\n{text[found.end(1) :]}", "utf-8")


def _title() -> str:
    told = subprocess.run([PINNED, "-c", _VERSIONS], capture_output=True, text=True, check=True)
    python, *versions = json.loads(told.stdout)
    listed = ", ".join(f"{name} {version}" for name, version in zip(_SHOWN, versions, strict=True))
    return f"Run {datetime.now(UTC):%Y-%m-%d}, CPython {python}: {listed}."


def _rows(results: Mapping[Cell, bool]) -> Iterator[str]:
    names = list(COLUMNS.values())
    yield f"| | | {' | '.join(names)} |"
    yield f"| --- | --- |{' :-: |' * len(names)}"
    for server in SERVERS:
        for framework in FRAMEWORKS:
            cells = [_mark(results[server, framework, name], server, name) for name in names]
            yield f"| {server} | {framework} | {' | '.join(cells)} |"


def _mark(passed: bool, server: str, name: str) -> str:
    all_notes = [*LIMITS, *NOTES]
    note = f"<sup>{all_notes.index((server, name)) + 1}</sup>" if (server, name) in all_notes else ""
    met = "" if (server, name) in LIMITS else "✓ "
    return f"{met if passed else '✗ '}{note}".strip()


def _footnotes() -> Iterator[str]:
    for number, note in enumerate([*LIMITS.values(), *NOTES.values()], 1):
        yield f"{number}. {note}"
