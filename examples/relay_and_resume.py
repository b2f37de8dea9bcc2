"""Answers that survive a reload, a cut and a closed tab, under FastAPI: uvicorn relay_and_resume:app."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Body, Cookie, FastAPI, Request

from sse_relay import Relay
from sse_relay.adapters.asgi import AccessRequest
from sse_relay.adapters.fastapi import lifespan, relay_router

relay = Relay()  # in this process's memory


async def answer(prompt: str) -> AsyncGenerator[str, None]:
    """Stand in for a model. It runs detached from the request that started it."""
    for word in f"You said: {prompt} Let me think about that for a while.".split():
        await asyncio.sleep(0.1)
        yield f"{word} "


def is_owner(request: AccessRequest) -> bool:
    """Say who may view or stop a run; everyone else is told that there is none."""
    user = Request(request.scope).cookies.get("user")  # stands in for your sign-in
    return request.run is not None and request.run.metadata["user"] == user


app = FastAPI(lifespan=lifespan(relay))
app.include_router(relay_router(relay, authorize=is_owner), prefix="/relay")


@app.post("/chats/{chat}", status_code=202)
async def ask(chat: str, prompt: Annotated[str, Body(embed=True)], user: Annotated[str, Cookie()]) -> dict[str, str]:
    """Start an answer, or join the one that is being written: a page views `events` and posts to `cancel`."""
    run = await relay.start(answer(prompt), key=f"{user}/{chat}", on_conflict="join", metadata={"user": user})
    url = f"/relay/runs/{run.id}"
    return {"run": url, "events": f"{url}/events", "cancel": f"{url}/cancel"}
