"""Cancel a stream from another task, here another request, under Starlette: uvicorn cancel_from_another_task:app."""

import asyncio
import secrets
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sse_relay import CancelToken, Outcome, cancellable, guard_terminal, watch_outcome
from sse_relay.adapters.starlette import EventStreamResponse

running: dict[str, CancelToken] = {}


async def think() -> AsyncGenerator[str, None]:
    """Stand in for a model that says a word and then thinks for a long time."""
    yield "Hmm."
    await asyncio.sleep(3600)
    yield "42."


async def stream(_: Request) -> EventStreamResponse:
    """Start a stream; its id is in a header before its first event."""
    stream_id = secrets.token_urlsafe(16)
    token = running[stream_id] = CancelToken()

    def forget(_: Outcome) -> None:
        del running[stream_id]

    events = watch_outcome(guard_terminal(cancellable(think(), token)), forget)
    return EventStreamResponse(events, headers={"x-stream-id": stream_id})


async def stop(request: Request) -> JSONResponse:
    """Stop a stream, although its generator is silent."""
    token = running.get(request.path_params["stream_id"])
    if token is None:
        return JSONResponse({"detail": "no such stream"}, status_code=404)
    token.cancel("user")
    return JSONResponse({"stopping": True}, status_code=202)


app = Starlette(routes=[Route("/", stream), Route("/{stream_id}/stop", stop, methods=["POST"])])
