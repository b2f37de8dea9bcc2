"""One run, shown."""

import json

import pytest

from sse_relay import Outcome
from sse_relay.commands.show import show
from sse_relay.exceptions import RunNotFoundError
from sse_relay.stores.protocol import Opening, Seal
from tests.commands.scene import endless, failing, on_terminal, place, plain, run_async, texts
from tests.stores.redis.servers import Server


@run_async
async def test_a_run_with_a_gap(server: Server, prefix: str) -> None:
    """On a terminal a trimmed log is a picture with its gap, in colour, not wider than the terminal (I7)."""
    async with place(server, prefix, max_events=100, on_full="trim") as there:
        run = await there.relay.start(texts(400)(), key="chat")
        await there.relay.wait(run.id)
        done = await on_terminal("show", run.id, columns=60, **there.environment)
    assert done.code == 0
    assert "\x1b[31m" in done.out
    lines = plain(done.out).splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.lstrip().startswith("gone ▒▒▒") for line in lines)
    assert any("are gone: trimmed" in line for line in lines)
    assert "completed" in plain(done.out)


@run_async
async def test_no_colour(server: Server, prefix: str) -> None:
    """With `NO_COLOR` the same picture has no colour."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(4)())
        await there.relay.wait(run.id)
        done = await on_terminal("show", run.id, columns=80, NO_COLOR="1", **there.environment)
    assert "███" in done.out
    assert "\x1b[3" not in done.out


@run_async
async def test_a_failure(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A failure is shown with its code and the id that finds it in the log, and nothing of the exception (I13)."""
    async with place(server, prefix) as there:
        run = await there.relay.start(failing())
        outcome = await there.relay.wait(run.id)
        await show(run.id, there.url, prefix, as_json=False)
    said = capsys.readouterr().out
    assert outcome.error is not None
    assert outcome.error.error_id is not None
    assert outcome.error.error_id in said
    assert "internal_error" in said
    assert "secret" not in said


@run_async
async def test_a_lease(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A live run holds its lease; of a dead producer's run it is said, and the run is left as it is."""
    seal = Seal(Outcome("lost"), b"event: end\ndata: {}\n\n")
    store = server.store(prefix)
    try:
        await store.open(Opening(60.0, seal, seal, run_id="p1-live", claim="1"))
        await store.open(Opening(0.001, seal, seal, run_id="p1-dead", claim="2"))
        for run_id in ("p1-live", "p1-dead"):
            await show(run_id, f"unix://{server.socket}", prefix, as_json=False)
            await show(run_id, f"unix://{server.socket}", prefix, as_json=True)
        assert (await store.info("p1-dead")).status == "running"
    finally:
        await store.aclose()
    said = capsys.readouterr().out
    live, dead = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert (live["lapsed"], dead["lapsed"]) == (False, True)
    assert said.count("held, by epoch") == 1
    assert said.count("its producer is dead") == 1


@run_async
async def test_what_json_tells(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON tells what the picture shows."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(4)())
        await there.relay.wait(run.id)
        await show(run.id, there.url, prefix, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["events"] == {"text": 4, "end": 1}
    assert said["gaps"] == []
    assert said["epochs"] == [{"epoch": run.epoch, "first": 1}]


@run_async
async def test_an_unknown_run(server: Server, prefix: str) -> None:
    """A run that is not there is the store's own error."""
    with pytest.raises(RunNotFoundError):
        await show("p1-nothing", f"unix://{server.socket}", prefix, as_json=False)


@run_async
async def test_a_live_run_without_records(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run before its first record is shown, too."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless(0))
        await show(run.id, there.url, prefix, as_json=False)
    assert "nothing is stored yet" in capsys.readouterr().out
