"""FastAPI: `relay_router` under a prefix, `respond` in an endpoint, `lifespan`."""

from fastapi import FastAPI, Request

from sse_relay.adapters.fastapi import (
    AppResponse,
    CurrentRelay,
    EventStreamResponse,
    lifespan,
    problem_handlers,
    relay_router,
    respond,
    stream_responses,
)
from tests.servers.apps.stage import allow_everyone, drained, options, perform, relay, staged

framework = FastAPI(lifespan=lifespan(relay, **drained), exception_handlers=problem_handlers())
framework.include_router(relay_router(relay, authorize=allow_everyone, **options), prefix="/relay")


@framework.get("/start/{run_id}", response_class=EventStreamResponse, responses=stream_responses())
async def start(run_id: str, request: Request, current: CurrentRelay) -> AppResponse:
    """Start a run, and stream it."""
    return await respond(current, perform(run_id), scope=request.scope, run_id=run_id, **options)


app = staged(framework)
