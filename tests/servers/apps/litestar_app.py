"""Litestar: `relay_app` as a mounted ASGI handler, `respond` in a route handler, `draining` as a lifespan."""

# mypy: disable-error-code="import-not-found,untyped-decorator"
# pyright: reportMissingImports=false

from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request, asgi, get
from litestar.types import ASGIApp, Receive, Scope, Send

from sse_relay.adapters.asgi import draining, relay_app, respond
from tests.servers.apps.stage import allow_everyone, drained, options, perform, relay, staged

runs = relay_app(relay, authorize=allow_everyone, **options)


@asgi("/relay", is_mount=True, copy_scope=True)
async def mount(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand on what is below the path."""
    await runs(scope, receive, send)


@get("/start/{run_id:str}")
async def start(run_id: str, request: Request[Any, Any, Any]) -> ASGIApp:
    """Start a run, and stream it."""
    return await respond(relay, perform(run_id), scope=request.scope, run_id=run_id, **options)


def opened(_: Litestar) -> AbstractAsyncContextManager[None]:
    """Keep the relay open while the application is there."""
    return draining(relay, **drained)


app = staged(Litestar([mount, start], lifespan=[opened]))
