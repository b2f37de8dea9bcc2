"""No framework: a function by path, and `drained_app` for the lifespan."""

from sse_relay.adapters.asgi import drained_app, relay_app, respond
from sse_relay.adapters.messages import Receive, Scope, Send
from tests.servers.apps.stage import allow_everyone, drained, mounted, options, perform, relay, staged


async def start(scope: Scope, receive: Receive, send: Send) -> None:
    """Start a run, and stream it."""
    run_id = scope["path"].removeprefix("/start/")
    response = await respond(relay, perform(run_id), scope=scope, run_id=run_id, **options)
    await response(scope, receive, send)


app = staged(
    drained_app(
        mounted({"/relay": relay_app(relay, authorize=allow_everyone, **options)}, start),
        relay,
        **drained,
    )
)
