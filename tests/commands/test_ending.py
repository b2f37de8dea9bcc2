"""Stop a run, and wait for its end."""

import asyncio
import json

import pytest

from sse_relay.commands.ending import cancel, wait
from sse_relay.commands.exits import UserError
from tests.commands.scene import command, endless, failing, place, run_async, texts
from tests.stores.redis.servers import Server


@run_async
async def test_cancel_and_wait(server: Server, prefix: str) -> None:
    """A run of another process is stopped from a shell, and whoever waits in another one exits by its outcome (L3)."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless())
        waiting = asyncio.create_task(command("wait", run.id, "--json", **there.environment))
        stopped = await command("cancel", run.id, "--reason", "tidy [bold]", **there.environment)
        waited = await waiting
        outcome = (await there.relay.info(run.id)).outcome
    assert (stopped.code, stopped.out) == (0, "cancelled, tidy [bold]\n")
    assert waited.code == 4
    assert json.loads(waited.out) == {"status": "cancelled", "reason": "tidy [bold]", "error": None}
    assert outcome is not None
    assert outcome.reason == "tidy [bold]"


@run_async
async def test_what_has_ended(server: Server, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that has ended stays so, and says how."""
    async with place(server, prefix) as there:
        run = await there.relay.start(failing())
        await there.relay.wait(run.id)
        assert await cancel(run.id, there.url, prefix, reason="user", grace=1, as_json=False) == 0
        assert await wait(run.id, there.url, prefix, timeout=None, as_json=False) == 3
        assert await cancel(run.id, there.url, prefix, reason="user", grace=1, as_json=True) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{second} (it had ended already)"
    assert second == "failed, error, internal_error: An internal error occurred."
    assert json.loads(third)["status"] == "failed"


@run_async
async def test_completed(server: Server, prefix: str) -> None:
    """A run that completes is exit code 0."""
    async with place(server, prefix) as there:
        run = await there.relay.start(texts(2)())
        assert await wait(run.id, there.url, prefix, timeout=10, as_json=True) == 0


@run_async
async def test_not_in_time(server: Server, prefix: str) -> None:
    """Waiting ends in time with a code of its own, and leaves the run alone."""
    async with place(server, prefix) as there:
        run = await there.relay.start(endless())
        with pytest.raises(UserError) as late:
            await wait(run.id, there.url, prefix, timeout=0.05, as_json=False)
        assert late.value.code == 124
        assert (await there.relay.info(run.id)).status == "running"
