"""Async iterables in, async iterator out: asyncio, but no I/O, no server, no store."""

from sse_relay.combinators.arguments import tool_argument_text
from sse_relay.combinators.cancellation import CancelToken, cancellable
from sse_relay.combinators.channel import EventChannel
from sse_relay.combinators.ingest import from_anthropic, from_openai_chat, from_openai_responses
from sse_relay.combinators.keepalive import idle_timeout, keepalive
from sse_relay.combinators.render import openai_chat, render
from sse_relay.combinators.source import as_events, from_sse, from_thread
from sse_relay.combinators.terminal import guard_terminal, watch_outcome

__all__ = [
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
]
