"""The demo command: what it starts, and what it says when it cannot."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from sse_relay.cli import main
from sse_relay.demo.server import listen


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """Run the demo in a process of its own; gives the process and its URL."""
    command = [sys.executable, "-W", "error", "-m", "sse_relay", "demo", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[\w.:\[\]]+/", line)
            assert found, line + process.communicate(timeout=5)[1]
            yield process, found[0]
        finally:
            process.kill()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command that cannot be done: its exit code, and what it says."""
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said


def test_the_demo_runs_and_leaves() -> None:
    """`python -m sse_relay demo` says where it listens, answers there, and Ctrl-C ends it without a complaint."""
    with running(PORT="0") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert "<title>sse_relay" in httpx2.get(url).text
        assert httpx2.get(f"{url}about").json()["source"] == "text"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_ends_streams() -> None:
    """Ctrl-C in mid-stream brings every viewer its terminal."""
    with running("--port", "0") as (process, url):
        run = httpx2.post(f"{url}runs", json={"prompt": "Why?"}).json()["id"]
        with httpx2.stream("GET", f"{url}runs/{run}/events", timeout=10) as response:
            parts = response.iter_text()
            next(parts)
            process.send_signal(signal.SIGINT)
            rest = "".join(parts)
        said = json.loads(rest.rstrip().rpartition("data: ")[2])
        assert said == {"status": "lost", "reason": "shutdown", "error": None}
        assert process.wait(10) == 0


def test_the_demo_takes_an_upstream() -> None:
    """With `--upstream` and `--model` the demo says which model answers, and nothing of its address or key."""
    url = "http://user:secret@127.0.0.1:9/v1"
    with running("--port", "0", "--upstream", url, "--model", "tiny", OPENAI_API_KEY="sk-1") as (_, demo):
        about = httpx2.get(f"{demo}about")
        assert about.json()["model"] == "tiny"
        assert "secret" not in about.text
        assert "sk-1" not in about.text


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is one sentence that says what to do."""
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        code, said = refused(capsys, "demo", "--port", str(port))
    assert code == 1
    assert (
        said
        == f"sse-relay: port {port} on 127.0.0.1 is in use: choose another with --port, or 0 for any that is free\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "not a host"])
def test_a_host_of_somebody_else(capsys: pytest.CaptureFixture[str], host: str) -> None:
    """A host that is not this machine is one sentence that says what to do."""
    code, said = refused(capsys, "demo", "--host", host, "--port", "0")
    assert code == 1
    assert "not an address of this machine" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [(PermissionError(13, "Permission denied"), "from 1024 on"), (OSError(24, "Too many open files"), "Too many")],
)
def test_a_socket_that_cannot_be_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    """Whatever the system refuses is said in its words."""

    def refuse(*_: object, **__: object) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_server", refuse)
    code, said = refused(capsys, "demo", "--port", "80")
    assert code == 1
    assert expected in said


@pytest.mark.parametrize("port", ["x", "-1", "65536", "", "١٢", "1_0", "9" * 5000])
def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str], port: str) -> None:
    """A port that is no number from 0 to 65535 is wrong usage."""
    code, said = refused(capsys, "demo", f"--port={port}")
    assert code == 2
    assert "is not a port" in said


def test_a_wrong_port_in_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong `PORT` is told like a wrong `--port`."""
    monkeypatch.setenv("PORT", "http")
    code, said = refused(capsys, "demo")
    assert code == 2
    assert "'http' is not a port" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--upstream", "http://x"], "go together"),
        (["--model", "x"], "go together"),
        (["--upstream", "localhost", "--model", "x"], "write it as http://host:port/v1"),
        (["--explode"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    """Wrong usage exits with 2 and says what is wrong."""
    code, said = refused(capsys, "demo", *arguments)
    assert code == 2
    assert expected in said


@pytest.mark.parametrize("missing", ["uvicorn", "httpx2"])
def test_a_missing_extra(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """A package that is not installed is one sentence with the command that installs it."""
    monkeypatch.setitem(sys.modules, missing, None)
    for name in ("sse_relay.demo.server", "sse_relay.demo.upstream"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    code, said = refused(capsys, "demo", "--port", "0", "--upstream", "http://127.0.0.1:9", "--model", "x")
    assert code == 1
    assert said == f"sse-relay: the demo needs {missing}: pip install 'sse-relay[demo]'\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what the demo takes."""
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    for name in ("--host", "--port", "--upstream", "--model", "OPENAI_API_KEY"):
        assert name in said
