"""Where the figures come from, and how they get into the docs."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measure import Table

__all__ = ["check", "machine", "write"]

PEERS = (
    "sse-starlette", "fastapi", "starlette", "uvicorn", "httpx-sse", "httpx2", "openai", "anthropic",
    "redis", "hiredis",
)  # fmt: skip


def machine() -> str:
    """Say in one line what the figures were measured on, and against what."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    where = f"{os.cpu_count()} shared cores, {platform.system()} {platform.machine()}, {python}, asyncio, h11"
    peers = ", ".join(f"{name} {found}" for name in PEERS if (found := _version(name)) is not None)
    return f"{datetime.now(UTC):%Y-%m-%d}: {where}; {peers}."


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check(path: Path, names: Sequence[str]) -> None:
    """
    See that `write` will find its marks, before all the measuring.

    Raises:
        ValueError: The file does not have them.
    """
    text = path.read_text("utf-8")
    for name in names:
        _between(name, text)


def write(path: Path, results: Mapping[str, Sequence[Table]]) -> None:
    """
    Replace what is between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` in a file, for each name.

    Raises:
        ValueError: The file does not have the marks.
    """
    text = path.read_text("utf-8")
    for name, tables in results.items():
        body = "\n\n".join([f"Measured {machine()}", *[table.markdown() for table in tables]])
        start, end = _between(name, text)
        text = f"{text[:start]}\n{body}\n\n{text[end:]}"
    path.write_text(text, "utf-8")


def _between(name: str, text: str) -> tuple[int, int]:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"the file must have the lines <!-- {name} --> and <!-- end of {name} -->")
    return found.span(1)
