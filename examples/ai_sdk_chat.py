"""A chat backend for the AI SDK's `useChat` with `resume`, under Starlette: uvicorn ai_sdk_chat:app."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_relay import Relay
from sse_relay.adapters.asgi import EventStreamResponse, respond
from sse_relay.dialects import AISDK, Delta, Finish, ReasoningDelta, TextDelta

relay = Relay()  # in this process's memory


async def model(messages: list[dict[str, Any]]) -> AsyncGenerator[Delta, None]:
    """Stand in for a model: `from_openai_chat`, `from_openai_responses` and `from_anthropic` read real ones."""
    asked = "".join(part["text"] for part in messages[-1]["parts"] if part["type"] == "text")
    yield ReasoningDelta("The user said something.")
    for word in f"You said: {asked}".split():
        await asyncio.sleep(0.05)
        yield TextDelta(f"{word} ")
    yield Finish("stop")


def key_of(request: Request, chat: str) -> str:
    """Name a chat of this user's; nobody else can ask for it."""
    return f"{request.cookies.get('user', '')}/{chat}"  # stands in for your sign-in


async def send(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
    """POST /api/chat: answer the last message; an answer that is being written to an earlier one is given up."""
    said = await request.json()
    key = key_of(request, said["id"])
    source = model(said["messages"])
    return await respond(relay, source, scope=request.scope, key=key, on_conflict="replace", dialect=AISDK())


async def resume(request: Request) -> Any:  # noqa: ANN401 - an ASGI application
    """GET /api/chat/{chat}/stream: the answer that is being written, from its beginning; 204 if there is none."""
    run = await relay.active(key_of(request, request.path_params["chat"]))
    return Response(status_code=204) if run is None else EventStreamResponse(relay.subscribe(run.id), dialect=AISDK())


async def stop(request: Request) -> Response:
    """POST /api/chat/{chat}/stop: to close a page stops nothing."""
    run = await relay.active(key_of(request, request.path_params["chat"]))
    if run is not None:
        await relay.cancel(run.id)
    return Response(status_code=204)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
    """Open the relay while the application runs."""
    async with relay:
        yield


routes = [
    Route("/api/chat", send, methods=["POST"]),
    Route("/api/chat/{chat}/stream", resume),
    Route("/api/chat/{chat}/stop", stop, methods=["POST"]),
]
app = Starlette(routes=routes, lifespan=lifespan)
