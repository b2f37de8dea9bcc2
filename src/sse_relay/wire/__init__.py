"""Bytes ⇄ events. Sans-I/O: no asyncio, clock, randomness or logging."""

from sse_relay.wire.cursor import Cursor
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.event import ServerSentEvent

__all__ = ["Cursor", "EventDecoder", "ServerSentEvent"]
