"""What is wrong, and what to do."""

import json
import sys

import pytest

from sse_relay.commands.doctor import examine_store, examine_stream
from sse_relay.commands.exits import UserError
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
