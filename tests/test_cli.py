"""The command line: which command is meant, and what happens without what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from sse_relay.cli import main

WITHOUT = "import sys; sys.modules[{missing!r}] = None; from sse_relay.cli import main; sys.exit(main({words!r}))"


def without(missing: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command where a package is not installed."""
    code = WITHOUT.format(missing=missing, words=list(words))
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing: str) -> None:
    """Without typer or rich a command is refused with one line that says what to install."""
    done = without(missing, "runs")
    assert done.returncode == 2
    assert "pip install 'sse-relay[cli]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_demo_needs_no_extra() -> None:
    """The demo command works without typer."""
    done = without("typer", "demo", "--help")
    assert done.returncode == 0
    assert "--upstream" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["tail", "-h"], ["runs", "--help"], ["demo", "--help"], ["--version"]])
def test_help(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Help is asked for of every command, and is no error."""
    try:
        code = main(words)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 0
    assert "sse-relay" in capsys.readouterr().out


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the usage is shown."""
    assert main([]) == 2
    said = "".join(capsys.readouterr())
    assert "Usage: sse-relay" in said
    assert "124" in said  # the exit codes


def test_ctrl_c_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before a command has begun ends it without a traceback."""

    def interrupted(words: list[str]) -> int:
        del words
        raise KeyboardInterrupt

    monkeypatch.setattr("sse_relay.commands.app.run", interrupted)
    assert main(["runs"]) == 130


def test_the_module_is_the_command(tmp_path: Path) -> None:
    """`python -m sse_relay` hands the exit code on."""
    command = [sys.executable, "-m", "sse_relay", "nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
