"""What is wrong, and what to do."""

import json
import sys
from itertools import cycle

import pytest

from sse_relay import MemoryStore
from sse_relay.commands.doctor import examine_store, examine_stream, latency
from sse_relay.commands.exits import UserError
from sse_relay.stores.protocol import RunInfo
from tests.commands.scene import on_terminal, plain, run_async
from tests.stores.redis.servers import Server


@run_async
async def test_a_store(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing about a store is a line; what is to be mended says how."""
    assert await examine_store(f"unix://{server.socket}", prefix, as_json=True) == 0
    found = {said["subject"]: said for said in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found["runs"]["level"] == "ok"
    assert found["persistence"]["level"] == "warning"
    assert "appendonly" in found["persistence"]["advice"]
    assert {"version", "eviction", "clock", "latency"} <= set(found)


class Distant(MemoryStore):
    """A store that is so many milliseconds away, one answer after the other."""

    def __init__(self, *milliseconds: float) -> None:
        super().__init__(clock=self.now)
        self.time = 0.0
        self._away = cycle(milliseconds)

    def now(self) -> float:
        """Tell the time."""
        return self.time

    async def info(self, run_id: str) -> RunInfo:
        """Take a while."""
        self.time += next(self._away) / 1000
        return await super().info(run_id)


@pytest.mark.parametrize(
    ("away", "level", "found"),
    [
        ((0.5,), "ok", "0.5 ms a round trip, 0.5 ms at most"),
        ((1, 1, 1, 80), "info", "1.0 ms a round trip, 80.0 ms at most"),
        ((40,), "warning", "40.0 ms a round trip"),
    ],
)
@run_async
async def test_latency(away: tuple[float, ...], level: str, found: str) -> None:
    """A store that is far away, or hesitates at times, is told of, with what to do."""
    store = Distant(*away)
    remark = await latency(store, store.now)
    assert (remark.level, bool(remark.advice)) == (level, level != "ok")
    assert remark.found.startswith(found)


@run_async
async def test_a_terminal(server: Server, prefix: str) -> None:
    """On a terminal it is a table that fits, with signs that need no colour."""
    store = {"SSE_RELAY_STORE": f"unix://{server.socket}", "SSE_RELAY_PREFIX": prefix}
    done = await on_terminal("doctor", columns=50, NO_COLOR="1", **store)
    assert done.code == 0
    assert "\x1b[3" not in done.out
    lines = plain(done.out).splitlines()
    assert max(map(len, lines)) <= 50
    assert any(line.startswith("! persistence") for line in lines)
    assert any("→ set appendonly yes" in line for line in lines)


@run_async
async def test_what_does_not_work(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that cannot be had is an error, and exit code 1."""
    assert await examine_stream("http://127.0.0.1:9/", {}, 0.2, as_json=False) == 1
    assert capsys.readouterr().out.startswith("✗ reached")


@run_async
async def test_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without httpx2 a URL is refused with what to install."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(UserError, match=r"sse-relay\[cli,client\]") as refused:
        await examine_stream("http://127.0.0.1:9/", {}, 0.2, as_json=False)
    assert refused.value.code == 2
