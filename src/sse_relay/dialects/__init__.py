"""What events mean to one kind of client. Sans-I/O: no asyncio, clock, randomness or logging."""

from sse_relay.dialects.ai_sdk import AISDK
from sse_relay.dialects.anthropic import Anthropic
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
from sse_relay.dialects.letta import Letta
from sse_relay.dialects.native import Native
from sse_relay.dialects.openai_chat import OpenAIChat
from sse_relay.dialects.openai_responses import OpenAIResponses
from sse_relay.dialects.protocol import Dialect, RenderContext, Renderer

__all__ = [
    "AISDK",
    "Anthropic",
    "Delta",
    "Dialect",
    "Finish",
    "Letta",
    "Native",
    "OpenAIChat",
    "OpenAIResponses",
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
