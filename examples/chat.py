"""A chat under FastAPI: ask, read along, come back, stop: uvicorn chat:app."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Body, Cookie, FastAPI, Request, Response

from sse_relay import Relay, RunNotFoundError
from sse_relay.adapters import fastapi as edge

deploys = edge.lifespan(Relay(), grace=5, signals=[signal.SIGTERM, signal.SIGINT])  # answers get 5 seconds to end
app = FastAPI(lifespan=deploys, exception_handlers=edge.problem_handlers())
User = Annotated[str, Cookie(alias="user")]  # stands in for your sign-in


async def answer(prompt: str) -> AsyncGenerator[str, None]:
    """Stand in for a model. It runs detached from the request that started it."""
    for word in f"You said: {prompt} Let me think about that for a while.".split():
        await asyncio.sleep(0.1)
        yield f"{word} "


@app.post("/chats/{chat}", response_class=edge.EventStreamResponse, responses=edge.stream_responses())
async def ask(
    chat: str, prompt: Annotated[str, Body(embed=True)], user: User, request: Request, relay: edge.CurrentRelay
) -> Response:
    """Begin an answer and stream it, or join the one that is being written."""
    return await edge.respond(relay, answer(prompt), scope=request.scope, key=f"{user}/{chat}")


@app.get("/chats/{chat}", response_class=edge.EventStreamResponse, responses=edge.stream_responses())
async def follow(chat: str, user: User, relay: edge.CurrentRelay, after: edge.LastEventId) -> Response:
    """Stream the latest answer, from its start or from where a page has been: new EventSource("/chats/7")."""
    if (run := await relay.latest(f"{user}/{chat}")) is None:
        raise RunNotFoundError(chat)
    return edge.EventStreamResponse(relay.subscribe(run.id, after))


@app.post("/chats/{chat}/stop", status_code=204, responses=edge.problem_responses(404, 503))
async def stop(chat: str, user: User, relay: edge.CurrentRelay) -> None:
    """Stop the answer that is being written; what was said stays."""
    if (run := await relay.active(f"{user}/{chat}")) is None:
        raise RunNotFoundError(chat)
    await relay.cancel(run.id)
