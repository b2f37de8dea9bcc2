"""What may be typed, and what is said where it cannot be."""

import pytest

from sse_relay.commands.app import run
from tests.commands.scene import command, run_async
from tests.stores.redis.servers import Server


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["tail"],
        ["runs", "--newer", "5x"],
        ["runs", "--status", "odd"],
        ["runs", "--limit", "0"],
        ["tail", "r", "--json", "--raw"],
        ["tail", "http://x", "-H", "secret"],
        ["wait", "r", "--timeout", "soon"],
        ["doctor", "x"],
        ["runs"],
        ["show", "r", "--store", "memory://"],
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Wrong usage is exit code 2, and no traceback."""
    assert run(words) == 2
    said = capsys.readouterr().err
    assert said
    assert "Traceback" not in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["tail", "show", "cancel", "wait"])
def test_an_unknown_run(server: Server, prefix: str, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A run that is not there is exit code 7, and one line."""
    for run_id in ("p1-nothing", "no id!"):
        assert run([name, run_id, "--store", f"unix://{server.socket}", "--prefix", prefix]) == 7
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["runs"], ["show", "r"], ["wait", "r"], ["cancel", "r"], ["tail", "r"], ["doctor"]])
def test_a_store_that_is_not_there(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """A store that cannot be reached is exit code 1, one line, and shows no password."""
    assert run([*words, "--store", "redis://:secret@127.0.0.1:1"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "secret" not in said.err


def test_no_runs(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty store is no error, and where a filter may be why, it says so."""
    there = ["runs", "--store", f"unix://{server.socket}", "--prefix", prefix]
    assert run(there) == 0
    assert run([*there, "--status", "failed", "--newer", "10m", "-n", "5"]) == 0
    assert capsys.readouterr().out == "no runs\nno runs like that\n"


@run_async
async def test_completion() -> None:
    """A shell that asks is told the commands."""
    done = await command("", _SSE_RELAY_COMPLETE="complete_bash", COMP_WORDS="sse-relay ", COMP_CWORD="1")
    assert {"tail", "runs", "show", "cancel", "wait", "doctor", "demo"} <= set(done.out.split())


@run_async
async def test_output_without_unicode(server: Server, prefix: str) -> None:
    """Where the output knows ASCII only, signs are replaced, and nothing fails."""
    store = {"SSE_RELAY_STORE": f"unix://{server.socket}", "SSE_RELAY_PREFIX": prefix}
    done = await command("doctor", PYTHONIOENCODING="ascii", **store)
    assert done.code == 0
    assert "? version" in done.out
