"""
What the servers of the deploy tests serve, each in a process of its own: streams of every kind, and a drain.

::

    /start/brief-…      a run of the relay that is drained; it ends once /finish was asked for
    /start/long-…       one that never ends by itself
    /start/elsewhere-…  one of another relay on the same store, as of another process
    /foreground         a stream that no relay runs
    /runs/…             the relay's routes
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable

from sse_relay import CancelToken, MemoryStore, Relay, cancellable
from sse_relay.adapters.asgi import EventStreamResponse, drained_app, relay_app, respond
from sse_relay.adapters.messages import Receive, Scope, Send

_App = Callable[[Scope, Receive, Send], Awaitable[None]]

_store = MemoryStore()
_relay = Relay(_store)
_elsewhere = Relay(_store)
_leaving = CancelToken()
_finish = asyncio.Event()
_routes = relay_app(_relay, authorize=lambda _: True)


async def _silent(until: asyncio.Event) -> AsyncGenerator[str, None]:
    yield "a"
    await until.wait()


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    match scope["path"].split("/"):
        case ["", "start", name]:
            source = _silent(_finish if name.startswith("brief") else asyncio.Event())
            relay = _elsewhere if name.startswith("elsewhere") else _relay
            response: _App = await respond(relay, source, scope=scope, run_id=name)
        case ["", "foreground"]:
            response = EventStreamResponse(cancellable(_silent(asyncio.Event()), _leaving))
        case ["", "finish"]:
            _finish.set()
            response = EventStreamResponse(_silent(_finish))
        case _:
            response = _routes
    await response(scope, receive, send)


_drained = drained_app(
    _answer, _relay, grace=float(os.environ["GRACE"]), signals=[signal.SIGTERM, signal.SIGINT], leaving=_leaving
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request; or keep both relays open, of which one is drained: nobody tells the other to stop."""
    if scope["type"] == "lifespan":
        await _elsewhere.__aenter__()
    await _drained(scope, receive, send)
