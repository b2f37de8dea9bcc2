r"""
sse_relay makes a language model's stream durable, resumable, cancellable, and certain to end.

::

    sse_relay
    ├── exceptions     every error, in one tree
    ├── outcome        how a stream ended, in neutral terms
    ├── wire           bytes ⇄ events
    ├── dialects       what events mean to one kind of client
    ├── combinators    async iterables in, async iterator out
    ├── stores         keep a run's log and state
    ├── runs           a run: one producer, detached from any request
    ├── adapters       the HTTP edge: any ASGI framework, Starlette, FastAPI
    ├── client         the other end: read a stream that resumes by itself
    ├── observability  spans, metrics, or an observer of your own; no cost when off
    ├── testing        laws, faults and a virtual clock for your own tests
    ├── demo           see it run: python -m sse_relay demo
    └── commands, cli  the command line

The names below are the first hour's; they are imported when they are first used.

Example:
    >>> import asyncio
    >>> from sse_relay import guard_terminal
    >>> async def source():
    ...     yield "Hello"
    >>> async def main():
    ...     async for event in guard_terminal(source()):
    ...         print(event.encode())
    >>> asyncio.run(main())
    b'data: Hello\n\n'
    b'event: end\ndata: {"status":"completed","reason":null,"error":null}\n\n'
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_relay.combinators.arguments import tool_argument_text
    from sse_relay.combinators.cancellation import CancelToken, cancellable
    from sse_relay.combinators.channel import EventChannel
    from sse_relay.combinators.ingest import from_anthropic, from_openai_chat, from_openai_responses
    from sse_relay.combinators.keepalive import idle_timeout, keepalive
    from sse_relay.combinators.render import openai_chat, render
    from sse_relay.combinators.source import as_events, from_sse, from_thread
    from sse_relay.combinators.terminal import guard_terminal, watch_outcome
    from sse_relay.exceptions import (
        ChannelClosedError,
        ChannelFullError,
        ConnectionLostError,
        CursorMismatchError,
        DrainingError,
        EventTooLargeError,
        IdempotencyConflictError,
        IdleTimeoutError,
        InvalidCursorError,
        InvalidEventError,
        ResponseRefusedError,
        RunConflictError,
        RunExpiredError,
        RunNotFoundError,
        ServerBusyError,
        SSERelayError,
        StoreContractError,
        StoreUnavailableError,
        StreamCancelledError,
        StreamIncompleteError,
    )
    from sse_relay.outcome import ErrorCatalog, ErrorInfo, Outcome
    from sse_relay.runs.relay import Relay
    from sse_relay.stores.memory import MemoryStore
    from sse_relay.wire.cursor import Cursor
    from sse_relay.wire.decoder import EventDecoder
    from sse_relay.wire.event import ServerSentEvent

__version__ = "0.1.0"

_HOMES = {
    "combinators": (
        "CancelToken",
        "EventChannel",
        "as_events",
        "cancellable",
        "from_anthropic",
        "from_openai_chat",
        "from_openai_responses",
        "from_sse",
        "from_thread",
        "guard_terminal",
        "idle_timeout",
        "keepalive",
        "openai_chat",
        "render",
        "tool_argument_text",
        "watch_outcome",
    ),
    "exceptions": (
        "ChannelClosedError",
        "ChannelFullError",
        "ConnectionLostError",
        "CursorMismatchError",
        "DrainingError",
        "EventTooLargeError",
        "IdempotencyConflictError",
        "IdleTimeoutError",
        "InvalidCursorError",
        "InvalidEventError",
        "ResponseRefusedError",
        "RunConflictError",
        "RunExpiredError",
        "RunNotFoundError",
        "SSERelayError",
        "ServerBusyError",
        "StoreContractError",
        "StoreUnavailableError",
        "StreamCancelledError",
        "StreamIncompleteError",
    ),
    "outcome": ("ErrorCatalog", "ErrorInfo", "Outcome"),
    "runs.relay": ("Relay",),
    "stores.memory": ("MemoryStore",),
    "wire": ("Cursor", "EventDecoder", "ServerSentEvent"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CancelToken",
    "ChannelClosedError",
    "ChannelFullError",
    "ConnectionLostError",
    "Cursor",
    "CursorMismatchError",
    "DrainingError",
    "ErrorCatalog",
    "ErrorInfo",
    "EventChannel",
    "EventDecoder",
    "EventTooLargeError",
    "IdempotencyConflictError",
    "IdleTimeoutError",
    "InvalidCursorError",
    "InvalidEventError",
    "MemoryStore",
    "Outcome",
    "Relay",
    "ResponseRefusedError",
    "RunConflictError",
    "RunExpiredError",
    "RunNotFoundError",
    "SSERelayError",
    "ServerBusyError",
    "ServerSentEvent",
    "StoreContractError",
    "StoreUnavailableError",
    "StreamCancelledError",
    "StreamIncompleteError",
    "as_events",
    "cancellable",
    "from_anthropic",
    "from_openai_chat",
    "from_openai_responses",
    "from_sse",
    "from_thread",
    "guard_terminal",
    "idle_timeout",
    "keepalive",
    "openai_chat",
    "render",
    "tool_argument_text",
    "watch_outcome",
]


def __getattr__(name: str) -> object:
    if (home := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
