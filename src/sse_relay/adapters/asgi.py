"""
The HTTP edge for any ASGI framework, and for none: what is here are ASGI applications.

- `EventStreamResponse` answers one request with a source, or with a run that others may view.
- `respond` starts a run or joins one, and answers with its stream.
- `relay_app` serves the runs of a relay: their events, their state, their cancellation.
- `responses_app` serves them as OpenAI responses, under the paths that its SDKs ask; `response_of` tells a whole one.
- `draining` and `drained_app` keep a relay open while the server runs, and drain it before that stops.
"""

from sse_relay.adapters.draining import drained_app, draining
from sse_relay.adapters.respond import ProblemResponse, respond
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.adapters.responses import ResponsesApp, response_of, responses_app
from sse_relay.adapters.routes import AccessRequest, RelayApp, relay_app

__all__ = [
    "AccessRequest",
    "EventStreamResponse",
    "ProblemResponse",
    "RelayApp",
    "ResponsesApp",
    "drained_app",
    "draining",
    "relay_app",
    "respond",
    "response_of",
    "responses_app",
]
