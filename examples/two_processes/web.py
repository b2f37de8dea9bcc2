"""The process that browsers talk to: it asks for answers, shows them and stops them: uvicorn web:app."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from redis.asyncio import Redis

from sse_relay import Relay
from sse_relay.adapters.asgi import AccessRequest, relay_app
from sse_relay.stores.redis import RedisStore

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
PATIENCE = 5.0  # seconds, for a worker that takes a job

queue = Redis.from_url(REDIS)
store = RedisStore(queue)  # it takes the address from the client; connections it has of its own
relay = Relay(store)


def is_allowed(request: AccessRequest) -> bool:
    """Say who may view or stop a run: your sign-in decides."""
    return request.run is not None


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    """Open the relay while the application runs."""
    async with relay:
        yield
    await store.aclose()
    await queue.aclose()


app = FastAPI(lifespan=lifespan)
app.mount("/relay", relay_app(relay, authorize=is_allowed))  # runs/{id}/events, runs/{id}/cancel, keys/{key}/latest


@app.post("/chats/{chat}", status_code=202)
async def ask(chat: str, prompt: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    """Have a worker answer; a chat that is being answered already is left to it."""
    before = await relay.latest(chat)
    if before is not None and before.outcome is None:
        return urls(before.id)
    job = json.dumps({"id": secrets.token_hex(16), "chat": chat, "prompt": prompt})
    await queue.rpush("jobs", job)
    for _ in range(round(PATIENCE / 0.05)):
        run = await relay.latest(chat)
        if run is not None and (before is None or run.id != before.id):
            return urls(run.id)
        await asyncio.sleep(0.05)
    await queue.lrem("jobs", 1, job)  # nobody is to answer it when the user has gone
    raise HTTPException(503, "No worker is free; ask again.")


@app.get("/chats/{chat}")
async def view(chat: str) -> RedirectResponse:
    """Lead to the chat's latest answer: an EventSource comes here again, and goes on where it was."""
    if (run := await relay.latest(chat)) is None:
        raise HTTPException(404)
    return RedirectResponse(urls(run.id)["events"])


def urls(run_id: str) -> dict[str, str]:
    """Tell where a run is viewed and stopped."""
    url = f"/relay/runs/{run_id}"
    return {"run": url, "events": f"{url}/events", "cancel": f"{url}/cancel"}
