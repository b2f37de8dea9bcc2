"""What docs/client.md shows, against a real server."""

import asyncio
from typing import Any

import pytest

from sse_relay import Outcome, Relay
from sse_relay.client import ConnectionLostError
from tests.adapters.relays import open_to_all
from tests.adapters.servers import serve
from tests.adapters.sources import play
from tests.test_documentation import ROOT, python_blocks


def test_the_examples() -> None:
    """Each function of the page does what the page says of it."""
    page: dict[str, Any] = {}
    for block in python_blocks(ROOT / "docs/client.md"):
        exec(block, page)

    async def main() -> None:
        async with Relay() as relay:
            run = await relay.start(play("a", "b"))
            await relay.wait(run.id)
            async with serve(open_to_all(relay)) as server:
                url = f"http://127.0.0.1:{server._port}/runs/{run.id}/events"
                assert await page["show"](url) == (Outcome("completed"), f"{run.epoch}:3")
                assert (await page["watch"](url, 10))[:2] == ["a", "b"]
                assert await asyncio.to_thread(page["read"], url) == (
                    ["a", "b", '{"status":"completed","reason":null,"error":null}'],
                    Outcome("completed"),
                )
                error, resume_error, not_resumed, diary = await page["ask"](url, "Hi")  # it takes no POST
                assert (error.status, resume_error, not_resumed, diary) == (405, None, "refused", ())
            with pytest.raises(ConnectionLostError):
                await page["watch"](url, 10)

    asyncio.run(main())
