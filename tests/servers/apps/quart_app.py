"""
Quart: `relay_app` beside its `asgi_app`, `draining` around serving.

A view answers with a Quart response, never with an ASGI application: it streams what
`Relay.subscribe` gives by itself.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"
# pyright: reportMissingImports=false

from collections.abc import AsyncGenerator
from typing import Any

from quart import Quart, jsonify, make_response

from sse_relay import DrainingError
from sse_relay.adapters.asgi import draining, relay_app
from tests.servers.apps.stage import allow_everyone, drained, mounted, options, perform, read, refusal, relay, staged

framework = Quart(__name__)
framework.asgi_app = mounted({"/relay": relay_app(relay, authorize=allow_everyone, **options)}, framework.asgi_app)


@framework.while_serving
async def opened() -> AsyncGenerator[None]:
    """Keep the relay open while the application is there."""
    async with draining(relay, **drained):
        yield  # noqa: ASYNC119 - Quart goes on with it


@framework.get("/start/<run_id>")
async def start(run_id: str) -> Any:
    """Start a run, and stream it."""
    try:
        run = await relay.start(perform(run_id), run_id=run_id)
    except DrainingError as error:
        info, said = refusal(error)
        return jsonify(said), info.status
    response = await make_response(read(run.id), {"content-type": "text/event-stream", "cache-control": "no-store"})
    response.timeout = None  # else Quart cuts it after a minute
    return response


app = staged(framework)
