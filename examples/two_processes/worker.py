"""The process that generates answers: python worker.py."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncGenerator

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sse_relay import Relay, SSERelayError
from sse_relay.stores.redis import RedisStore

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
LEASE = 3.0  # seconds: after so many, and two, the answers of a worker that died end as lost

logger = logging.getLogger("worker")


async def answer(prompt: str) -> AsyncGenerator[str, None]:
    """Stand in for a model."""
    for word in f"You said: {prompt} Let me think about that for a while.".split():
        await asyncio.sleep(0.2)
        yield f"{word} "


async def work(queue: Redis, relay: Relay, stopping: asyncio.Event) -> None:
    """Take jobs, and have them answered side by side."""
    while not stopping.is_set():
        try:
            if (taken := await queue.blpop(["jobs"], timeout=1)) is None:
                continue
            job = json.loads(taken[1])
            # A job that was queued twice, because the first time went unanswered, is answered once: it has an id.
            source = answer(job["prompt"])
            await relay.start(source, key=job["chat"], on_conflict="join", idempotency_key=job["id"])
        except (RedisError, SSERelayError) as error:  # whoever asked hears of no answer, and asks again
            logger.warning("no job was taken: %s", error)
            await asyncio.sleep(1)


async def main() -> None:
    """Work until told to stop; then take no more jobs, and finish what is begun."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    queue = Redis.from_url(REDIS)
    store = RedisStore(queue)
    async with Relay(store, lease=LEASE) as relay:
        await work(queue, relay, stopping)
        await relay.drain(grace=20)
    await store.aclose()
    await queue.aclose()


if __name__ == "__main__":
    asyncio.run(main())
