"""Which servers and frameworks there are, and how one serves the other in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adapters.servers import Uvicorn

ROOT = Path(__file__).parents[2]
PINNED = Path(os.environ.get("SSE_RELAY_ASGI") or Path(sys.prefix) / "asgi") / "bin" / "python"
"""Where the servers and frameworks of `requirements.txt` are installed."""

FRAMEWORKS = ("bare", "starlette", "fastapi", "litestar", "quart", "django")
SERVERS: Mapping[str, Sequence[str]] = {
    "uvicorn": ["uvicorn", "--port", "0", "--no-access-log"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:0", "--workers", "0"],
    "granian": ["granian", "--interface", "asgi", "--port", "0"],
}
"""What they are asked to do: to listen where the system says, and to hear of signals in the process that serves."""

_PATIENCE = 20.0  # seconds
_LISTENS = "0A"


@dataclass(frozen=True)
class Place:
    """
    A framework under a server.

    Attributes:
        server: Its name.
        framework: Its name.
        pinned: Whether it is installed where evidence is given; else, where the tests run.
        more: More options of the server.
    """

    server: str
    framework: str
    pinned: bool = False
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name it."""
        return " ".join([self.server, self.framework, *self.more, *(["pinned"] if self.pinned else [])])

    @property
    def python(self) -> str:
        """Tell the interpreter, which has to be there if servers are required."""
        if not self.pinned:
            return sys.executable
        if not PINNED.is_file():
            if "servers" in os.environ.get("SSE_RELAY_REQUIRE", ""):
                pytest.fail(f"the servers are required, and {PINNED} is not installed")
            pytest.skip("`make evidence` installs the servers")
        return str(PINNED)


class Served:
    """A server in a process of its own, and how to reach it."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self.port = self._listening()
        self.server = Uvicorn(self.port)

    @property
    def log(self) -> str:
        """Tell what it wrote until now."""
        return self._log.read_text("utf-8", errors="replace")

    def stop(self) -> float:
        """Tell it to stop, and wait until it has; tell how long that took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_PATIENCE)
        return time.monotonic() - began

    def _listening(self) -> int:
        """Wait until it listens, and tell where: servers do not all say which port they were given."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server did not start:\n{self.log}"
            if ports := _ports(self.process.pid):
                return ports.pop()
            time.sleep(0.02)
        raise AssertionError(f"the server does not listen:\n{self.log}")


@contextmanager
def served(place: Place, **environment: object) -> Iterator[Served]:
    """Have a server serve while the block runs; kill it in the end, should it be there still."""
    # No buffer: what a server says at the last moment is read as well.
    told = {name: str(value) for name, value in environment.items()} | {"PYTHONUNBUFFERED": "1"}
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    command = [place.python, "-m", *SERVERS[place.server], *place.more, f"tests.servers.apps.{place.framework}_app:app"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path, **told},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield Served(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with its workers
            process.wait()


def _ports(pid: int) -> set[int]:
    """Tell on which ports of IPv4 a process and its workers listen."""
    sockets = set[str]()
    for process in _family(pid):
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):  # it may be closed meanwhile
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                    sockets.add(found[1])
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == _LISTENS and row[9] in sockets}


def _family(pid: int) -> list[int]:
    """Tell a process and its children."""
    with suppress(OSError):
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return [pid]
