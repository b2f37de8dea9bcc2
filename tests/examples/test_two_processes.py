"""A web worker and a generation worker share one Redis, and each is killed."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sse_relay import EventDecoder, ServerSentEvent
from tests.stores.redis.servers import found

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "two_processes"
SERVERS = found()
LEASE = 3.0  # seconds, as in worker.py
PROMPT = {"prompt": "Hello. " * 4}
ANSWER = f"You said: {'Hello. ' * 4}Let me think about that for a while. "


def until(holds: Callable[[], bool]) -> None:
    """Wait; the test's own deadline bounds it."""
    while not holds():
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def server() -> str:
    if not SERVERS:
        assert "redis" not in os.environ.get("SSE_RELAY_REQUIRE", ""), "redis is required, and no server was found"
        pytest.skip("no redis-server was found")
    return next(iter(SERVERS.values()))


class Machine:
    """The processes of one test, and the server that they share."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "log").open("ab")
        self._running: list[subprocess.Popen[bytes]] = []
        self._redis = free_port()
        self._start(server(), "--port", str(self._redis), "--save", "")
        until(lambda: is_open(self._redis))

    def worker(self) -> "subprocess.Popen[bytes]":
        return self._start(sys.executable, "worker.py")

    def web(self, port: int) -> "subprocess.Popen[bytes]":
        process = self._start(sys.executable, "-m", "uvicorn", "web:app", "--port", str(port))
        until(lambda: is_open(port))
        return process

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._log.close()

    def _start(self, *command: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "REDIS_URL": f"redis://127.0.0.1:{self._redis}"}
        process = subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=self._log, stderr=self._log)
        self._running.append(process)
        return process


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


class Viewer:
    """A browser: it asks, reads, and comes back with the last id that it saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[ServerSentEvent] = []
        self.status = 0

    def ask(self) -> dict[str, str]:
        """Ask until a worker answers."""
        while (response := httpx2.post(self._url("/chats/7"), json=PROMPT, timeout=10)).status_code == 503:
            continue
        assert response.status_code == 202
        urls: dict[str, str] = response.json()
        return urls

    def read(self, path: str = "/chats/7", *, enough: int = 10**9, first: Callable[[], Any] | None = None) -> None:
        """Read on, up to so many events in all; `first` is done when the first one came."""
        headers = {"last-event-id": self.seen[-1].id or ""} if self.seen else {}
        decoder = EventDecoder()
        try:
            with httpx2.stream("GET", self._url(path), headers=headers, follow_redirects=True) as response:
                self.status = response.status_code
                for chunk in response.iter_raw():
                    self.seen += decoder.feed(chunk)
                    if self.seen and first is not None:
                        first()
                        first = None
                    if len(self.seen) >= enough:
                        return
        except httpx2.TransportError:
            return

    def stop(self, path: str) -> Any:
        return httpx2.post(self._url(path)).json()

    def check(self) -> dict[str, Any]:
        """Check that it saw all of it once, and tell how it ended."""
        assert [int((event.id or "").split(":")[1]) for event in self.seen] == list(range(1, len(self.seen) + 1))
        assert self.seen[-1].event == "end"
        outcome: dict[str, Any] = json.loads(self.seen[-1].data or "")
        return outcome

    @property
    def text(self) -> str:
        return "".join(event.data or "" for event in self.seen if event.event != "end")

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def test_a_killed_web_worker_costs_a_reconnect(machine: Machine) -> None:
    """I1, I3: a viewer whose web worker is killed goes on at another, then at the same one, started again."""
    one, other = free_port(), free_port()
    machine.worker()
    killed = machine.web(one)
    machine.web(other)
    viewer = Viewer(one)
    urls = viewer.ask()
    viewer.read(first=killed.kill)
    killed.wait()
    assert 0 < len(viewer.seen) < 10

    viewer.port = other
    viewer.read(enough=len(viewer.seen) + 3)
    machine.web(one)
    viewer.port = one
    viewer.read()
    assert viewer.check()["status"] == "completed"
    assert viewer.text == ANSWER
    viewer.read(urls["events"])
    assert viewer.status == 204

    again = Viewer(other)
    urls = again.ask()
    again.read(first=lambda: again.stop(urls["cancel"]))  # what the worker generates is stopped from here
    assert again.check() == {"status": "cancelled", "reason": "user", "error": None}
    assert ANSWER.startswith(again.text)
    assert again.text != ANSWER


def test_a_killed_generation_worker_ends_its_runs(machine: Machine) -> None:
    """L2: the run of a killed worker ends as lost for who watches, and what is asked again is answered anew."""
    port = free_port()
    machine.web(port)
    killed = machine.worker()
    viewer = Viewer(port)
    urls = viewer.ask()
    begun = time.monotonic()
    viewer.read(first=killed.kill)
    assert viewer.check()["status"] == "lost"
    assert time.monotonic() - begun < LEASE + 4  # two of them for the machine, which may be busy
    assert ANSWER.startswith(viewer.text)

    machine.worker()
    again = Viewer(port)
    assert again.ask()["run"] != urls["run"]
    again.read()
    assert again.check()["status"] == "completed"
    assert again.text == ANSWER


def test_the_readme_runs_as_written(tmp_path: Path) -> None:
    """L2: the commands of the README, with other ports and folders, do what the README says that they do."""
    section = (ROOT / "README.md").read_text().partition("## More than one process\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    program = "\n".join(line for block in blocks for line in block.splitlines() if not line.startswith("pip "))
    redis = free_port()
    for written, ours in (
        ("redis-server ", f"{server()} --port {redis} "),
        ("/tmp", str(tmp_path)),
        ("8000", str(free_port())),
        ("8001", str(free_port())),
    ):
        assert written in program
        program = program.replace(written, ours)
    environment = {
        **os.environ,
        "REDIS_URL": f"redis://127.0.0.1:{redis}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    shell = subprocess.run(
        ["bash", "-c", f"trap 'kill -9 $(jobs -p)' EXIT\n{program}"], cwd=ROOT, env=environment, check=False,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert re.findall(r'"status":"(\w+)"', shell.stdout) == ["completed", "lost"]
    assert shell.stdout.count("data: while. \n") == 1
