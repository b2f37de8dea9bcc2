"""Which runs there are."""

import json

import pytest

from sse_relay.commands.listing import Wanted, runs
from tests.commands.scene import endless, failing, on_terminal, place, plain, run_async, texts
from tests.stores.redis.servers import Server


@run_async
async def test_filters(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs are listed newest first, by status, key and age."""
    async with place(server, prefix) as there:
        first = await there.relay.start(texts(1)(), key="a", metadata={"user": "ü"})
        second = await there.relay.start(failing(), key="b")
        third = await there.relay.start(endless(), key="a2")
        for run in (first, second):
            await there.relay.wait(run.id)

        async def listed(**wanted: object) -> list[str]:
            assert await runs(there.url, prefix, Wanted(**wanted), as_json=True) == 0  # type: ignore[arg-type]
            return [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]

        assert await listed() == [third.id, second.id, first.id]
        assert await listed(limit=2) == [third.id, second.id]
        assert await listed(statuses=("failed", "running")) == [third.id, second.id]
        assert await listed(key="a") == [first.id]
        assert await listed(older=3600) == []
        assert await listed(newer=3600, statuses=("completed",)) == [first.id]


@run_async
async def test_what_json_tells(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line of JSON tells all that is known of a run."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(1)(), key="a", metadata={"user": "ü"})
        await there.relay.wait(run.id)
        await runs(there.url, prefix, Wanted(), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["metadata"] == {"user": "ü"}
    assert said["outcome"] == {"status": "completed", "reason": None, "error": None}
    assert (said["id"], said["key"], said["last_offset"]) == (run.id, "a", 2)


@run_async
async def test_no_runs(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there are none it says so, and whether a filter is why."""
    await runs(f"unix://{server.socket}", prefix, Wanted(), as_json=False)
    await runs(f"unix://{server.socket}", prefix, Wanted(key="x"), as_json=False)
    assert capsys.readouterr().out == "no runs\nno runs like that\n"


@run_async
async def test_a_pipe_loses_nothing(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe each run is one whole line, without colour, whatever its key is."""
    key = "k" * 150 + "[bold]\x1b[31m"
    async with place(server, prefix) as there:
        run = await there.relay.start(endless(), key=key)
        await runs(there.url, prefix, Wanted(), as_json=False)
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(run.id)
    assert "k" * 150 + "[bold]\\x1b[31m" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("columns", [44, 80, 130])
@run_async
async def test_a_terminal(server: Server, prefix: str, columns: int) -> None:
    """On a terminal the table fits, and a run's id is whole (in pieces, where there is no room)."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless(), key="conversation-" + "x" * 60)
        done = await on_terminal("runs", columns=columns, **there.environment)
    assert done.code == 0
    assert "\x1b[36mrunning" in done.out
    lines = plain(done.out).splitlines()
    assert max(map(len, lines)) <= columns
    assert run.id in "".join(line.split(" ")[0] for line in lines[1:])
