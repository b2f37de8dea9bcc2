"""What events mean to one kind of client. Sans-I/O: no asyncio, clock, randomness or logging."""

from sse_relay.dialects.deltas import (
    Delta,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    Usage,
    delta_of,
    event_of,
)
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect, RenderContext, Renderer

__all__ = [
    "Delta",
    "Dialect",
    "Finish",
    "Native",
    "ReasoningDelta",
    "RefusalDelta",
    "RenderContext",
    "Renderer",
    "TextDelta",
    "ToolCallDelta",
    "ToolResult",
    "Usage",
    "delta_of",
    "event_of",
]
