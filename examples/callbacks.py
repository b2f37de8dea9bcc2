"""A library that calls back from a thread, as an event stream: uvicorn callbacks:app."""

import threading
import time
from collections.abc import Callable
from typing import Any

from sse_relay import EventChannel
from sse_relay.adapters.asgi import EventStreamResponse


def blocking_model(on_token: Callable[[str], object]) -> None:
    """Stand in for a library that blocks its thread and reports by callback."""
    for token in ("From ", "another ", "thread."):
        time.sleep(0.05)
        on_token(token)


def run(channel: EventChannel[str]) -> None:
    """Run the model in its thread; the reader learns its end, or its error."""
    try:
        blocking_model(channel.push)
        channel.close()
    except BaseException as exc:
        channel.fail(exc)
        raise


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - the ASGI interface
    """Answer every HTTP request with what the callbacks say."""
    if scope["type"] == "http":
        channel: EventChannel[str] = EventChannel()
        threading.Thread(target=run, args=(channel,), daemon=True).start()
        await EventStreamResponse(channel)(scope, receive, send)
