"""Wrap a generator, under Starlette: uvicorn wrap_a_generator:app."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_relay import idle_timeout
from sse_relay.adapters.starlette import EventStreamResponse


async def answer(question: str) -> AsyncGenerator[str, None]:
    """Stand in for a model: whatever async generator you stream from now."""
    for word in f"Why do you ask: {question}".split():
        await asyncio.sleep(0.05)
        yield f"{word} "


async def stream(request: Request) -> EventStreamResponse:
    """Answer with a stream: heartbeats in its silences, and one typed end, whatever becomes of the generator."""
    question = request.query_params.get("q", "nothing?")
    return EventStreamResponse(idle_timeout(answer(question), seconds=60))


app = Starlette(routes=[Route("/", stream)])
