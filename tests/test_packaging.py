"""The wheel as users get it: in an environment of its own, with nothing but what it asks for."""

import shutil
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
EXTRAS = {"redis", "starlette", "fastapi", "client", "cli", "otel", "demo", "all"}
HEAVY = {
    "anyio",
    "asyncio",
    "fastapi",
    "httpx2",
    "opentelemetry",
    "pydantic",
    "redis",
    "rich",
    "ssl",
    "starlette",
    "typer",
    "uvicorn",
}

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Wheel:
    """A wheel that was built for this run."""

    path: Path

    @property
    def names(self) -> list[str]:
        """The files in it."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    @property
    def metadata(self) -> Message:
        """What it says of itself."""
        with zipfile.ZipFile(self.path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())

    @property
    def requirements(self) -> list[Requirement]:
        """What it asks for, without any extra."""
        return needed([Requirement(line) for line in self.metadata.get_all("Requires-Dist", [])])


def needed(requirements: list[Requirement]) -> list[Requirement]:
    """Those that apply here, when no extra is asked for."""
    return [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]


def closure(requirements: list[Requirement]) -> dict[str, Distribution]:
    """What is installed here of the requirements and of all that they require themselves."""
    found: dict[str, Distribution] = {}
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        if requirement.name.lower() in found:
            continue
        installed = distribution(requirement.name)
        assert installed.version in requirement.specifier
        found[requirement.name.lower()] = installed
        waiting += needed([Requirement(line) for line in installed.requires or []])
    return found


def run(python: Path | str, code: str, *, cwd: Path) -> str:
    """Run a program in isolation and return what it prints; warnings are errors there, too."""
    done = subprocess.run(
        [python, "-I", "-W", "error", "-c", code], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """Build the wheel, from the files as they are."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return Wheel(path)


@pytest.fixture(scope="module")
def clean_python(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with the wheel and what it requires, copied from here: a test needs no network."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    (python,) = [path for path in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if path.exists()]
    site = Path(run(python, "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    for installed in closure(wheel.requirements).values():
        for file in installed.files or []:
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(str(installed.locate_file(file))), target)
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(site)
    return python


def test_the_wheel_asks_for_two_packages(wheel: Wheel) -> None:
    """Without an extra the library needs pydantic and typing-extensions, and nothing else."""
    assert {requirement.name for requirement in wheel.requirements} == {"pydantic", "typing-extensions"}


def test_the_wheel_has_its_extras(wheel: Wheel) -> None:
    """The extras are those that the documentation names."""
    assert set(wheel.metadata.get_all("Provides-Extra", [])) == EXTRAS


def test_the_wheel_has_the_whole_package_and_nothing_else(wheel: Wheel) -> None:
    """The wheel has each file of the package, `py.typed` too, and the licence."""
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.names if ".dist-info/" not in name}
    assert "sse_relay/py.typed" in packed
    assert packed == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.names)


def test_the_public_names_need_no_extra(clean_python: Path, tmp_path: Path) -> None:
    """Every public name of the package can be had with nothing but its two dependencies."""
    code = "import sse_relay\nfor name in sse_relay.__all__: getattr(sse_relay, name)\nprint(len(sse_relay.__all__))"
    assert int(run(clean_python, code, cwd=tmp_path)) > 0


@pytest.mark.parametrize("module", ["wire", "dialects", "combinators", "adapters.asgi", "observability", "testing"])
def test_a_module_without_a_vendor_needs_no_extra(module: str, clean_python: Path, tmp_path: Path) -> None:
    """Every module that no vendor's package is behind imports with nothing but the two dependencies."""
    run(clean_python, f"import sse_relay.{module}", cwd=tmp_path)


def test_importing_the_package_is_cheap(tmp_path: Path) -> None:
    """`import sse_relay` loads no vendor's package, not pydantic either, and no server library."""
    code = "import sys, sse_relay; print(*sys.modules)"
    loaded = set(run(sys.executable, code, cwd=tmp_path).split())
    assert "sse_relay" in loaded
    assert not loaded & HEAVY
