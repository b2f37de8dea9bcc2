"""Every example in a docstring, in the README and on a page of the docs runs."""

import asyncio
import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import sse_relay

ROOT = Path(__file__).parent.parent
FIRST_HOUR = {name: getattr(sse_relay, name) for name in sse_relay.__all__} | {"asyncio": asyncio}


def modules() -> list[ModuleType]:
    """Every module of the package that needs no vendor's."""
    names = [info.name for info in pkgutil.walk_packages(sse_relay.__path__, "sse_relay.")]
    return [sse_relay, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def python_blocks(path: Path) -> list[str]:
    """The Python code blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_docstring_examples_run(module: ModuleType) -> None:
    """What a docstring shows is what happens."""
    failed, _ = doctest.testmod(module, extraglobs=FIRST_HOUR, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_public_docstrings_have_examples() -> None:
    """Enough of them are there to be worth running."""
    examples = sum(len(test.examples) for module in modules() for test in doctest.DocTestFinder().find(module))
    assert examples > 20


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_blocks_run(page: str) -> None:
    """The Python blocks of a page are one program, without errors."""
    program: dict[str, object] = {"__name__": "page"}
    for block in python_blocks(ROOT / page):
        exec(compile(block, page, "exec"), program)
