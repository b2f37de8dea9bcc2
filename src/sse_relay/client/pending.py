"""Tool calls that wait for a result, put together from their parts, wherever a connection was cut between these."""

from collections.abc import Callable
from dataclasses import dataclass

from sse_relay.dialects.deltas import Delta, ToolCallDelta, ToolResult, delta_of
from sse_relay.dialects.tool_calls import ToolCalls
from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.event import ServerSentEvent

__all__ = ["PendingCall", "PendingCalls", "ReadDelta", "tool_delta_of"]

ReadDelta = Callable[[ServerSentEvent], Delta | None]

_NAMES = frozenset({"tool_call", "tool_result"})


@dataclass(frozen=True, slots=True)
class PendingCall:
    """
    One call without a result.

    Attributes:
        id: Its id; None: the upstream gave it none.
        name: The tool.
        arguments: Its arguments, as far as they came: JSON.
    """

    id: str | None
    name: str | None
    arguments: str


class PendingCalls:
    """
    Collect the calls of one stream.

    Args:
        read: Tells the delta of an event; None: it has none.
    """

    def __init__(self, read: ReadDelta) -> None:
        self._read = read
        self._calls = ToolCalls()
        self._parts: dict[tuple[int, int], list[str]] = {}
        self._heads: dict[tuple[int, int], tuple[str | None, str | None]] = {}

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event; one that only looks like a delta says nothing."""
        try:
            delta = self._read(event)
        except InvalidEventError:
            return
        if isinstance(delta, ToolCallDelta):
            call, _ = self._calls.place(delta)
            place = call.choice, call.number
            self._parts.setdefault(place, []).append(delta.arguments)
            self._heads[place] = call.id, call.name
        elif isinstance(delta, ToolResult):
            for place in [place for place, (call_id, _) in self._heads.items() if call_id == delta.id]:
                del self._heads[place], self._parts[place]

    @property
    def calls(self) -> tuple[PendingCall, ...]:
        """The calls without a result, in the order in which they began."""
        return tuple(PendingCall(*self._heads[place], "".join(parts)) for place, parts in self._parts.items())


def tool_delta_of(event: ServerSentEvent) -> Delta | None:
    """Read the deltas of tools from native events; the others are not looked at."""
    return delta_of(event) if event.event in _NAMES else None
