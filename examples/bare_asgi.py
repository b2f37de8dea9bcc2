"""A generator as an event stream, with nothing but an ASGI server: uvicorn bare_asgi:app."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from sse_relay import idle_timeout
from sse_relay.adapters.asgi import EventStreamResponse


async def count_down(start: int) -> AsyncGenerator[dict[str, int], None]:
    """Stand in for a model: any async generator of strings, dicts, models or deltas."""
    for number in range(start, 0, -1):
        await asyncio.sleep(0.1)
        yield {"count": number}


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - the ASGI interface
    """Answer every HTTP request with a countdown that ends."""
    if scope["type"] == "http":
        await EventStreamResponse(idle_timeout(count_down(5), seconds=30))(scope, receive, send)
