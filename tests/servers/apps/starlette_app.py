"""Starlette: `routes` under a mount, `respond` in an endpoint, `lifespan`."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sse_relay.adapters.starlette import lifespan, problem_handlers, respond, routes
from tests.servers.apps.stage import allow_everyone, drained, options, perform, relay, staged


async def start(request: Request) -> Response:
    """Start a run, and stream it."""
    run_id = request.path_params["run_id"]
    return await respond(relay, perform(run_id), scope=request.scope, run_id=run_id, **options)


app = staged(
    Starlette(
        routes=[
            Mount("/relay", routes=routes(relay, authorize=allow_everyone, **options)),
            Route("/start/{run_id}", start),
        ],
        lifespan=lifespan(relay, **drained),
        exception_handlers=problem_handlers(),
    )
)
