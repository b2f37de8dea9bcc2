"""A process that starts a run once it is told to, tells its id when half of the text is stored, and is killed then."""

import asyncio
import sys
from contextlib import aclosing

from sse_relay import Relay
from sse_relay.stores.redis import RedisStore
from tests.clients.plays import perform


async def main(url: str) -> None:
    """Produce."""
    async with aclosing(RedisStore.from_url(url)) as store, Relay(store, lease=1.0) as relay:
        if not await asyncio.to_thread(sys.stdin.readline):
            return  # nobody will ever say so
        run = await relay.start(perform("endless"))
        async with relay.subscribe(run.id) as events:
            for _ in range(3):
                await anext(events)
        print(run.id, flush=True)  # noqa: T201 - the one who kills it reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
