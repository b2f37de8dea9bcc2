"""The tree is the architecture: the tests mirror the package."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "sse_relay"
ENTRY_POINTS = {"__init__.py", "__main__.py"}
NAMELESS = {"base", "common", "core", "helpers", "misc", "shared", "util", "utils"}


def modules() -> set[Path]:
    """Every module of the package that has something to test, relative to the package."""
    return {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name not in ENTRY_POINTS}


def mirror(module: Path) -> Path:
    """Where the tests of a module are, relative to the tests."""
    return module.with_name(f"test_{module.name.removeprefix('_')}")


def test_every_module_has_its_tests() -> None:
    """A module of the package has a test module of its own at the same place."""
    missing = {str(mirror(module)) for module in modules() if not (TESTS / mirror(module)).is_file()}
    assert not missing


def test_every_test_module_has_its_module() -> None:
    """A test module in a folder that the package has, too, tests one module of that folder."""
    expected = {mirror(module) for module in modules()}
    folders = [path for path in TESTS.iterdir() if path.is_dir() and (PACKAGE / path.name).is_dir()]
    found = {path.relative_to(TESTS) for folder in folders for path in folder.rglob("test_*.py")}
    assert found
    assert not {str(path) for path in found - expected}


def test_every_folder_is_a_package() -> None:
    """A folder with modules has an `__init__.py`; none is a namespace package by accident."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert not {str(folder) for folder in folders if not (folder / "__init__.py").is_file()}


def test_every_module_has_a_telling_name() -> None:
    """No module is named for not having a better name."""
    assert not {str(module) for module in modules() if NAMELESS & {module.stem.strip("_"), *module.parent.parts}}


def test_every_test_states_its_claim() -> None:
    """The docstring of a test is one line, and a sentence."""
    silent: list[str] = []
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                claim = ast.get_docstring(node) or ""
                if "\n" in claim or not claim.endswith("."):
                    silent.append(f"{path.name}::{node.name}")
    assert not silent
