"""The text of one string argument, out of a whole stream of tool calls."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sse_relay.dialects.deltas import ToolCallDelta
from sse_relay.dialects.tool_arguments import ArgumentText
from sse_relay.dialects.tool_calls import ToolCall, ToolCalls

__all__ = ["ToolText", "ToolTexts"]

_make = cast("Any", tuple).__new__  # as the constructor of a named tuple, at a third less: once a delta


class ToolText(NamedTuple):
    """
    What one delta adds to the text of its call.

    Attributes:
        call: The call.
        text: More of the argument's text; often nothing.
        ended: No more text of this call will come.
    """

    call: ToolCall
    text: str
    ended: bool


class ToolTexts:
    """
    Follow every call of one tool, however the deltas of calls are mixed.

    A call is the tool's from the delta on that names it: by their contract, deltas name the tool first.

    Args:
        tool: The tool's name.
        argument: The argument's key, or the path to it, as `ArgumentText` takes it.

    Attributes:
        text: The arguments of the call of the tool that `feed` found last.
    """

    __slots__ = ("_argument", "_calls", "_latest", "_texts", "_tool", "text")

    def __init__(self, tool: str, argument: str | Sequence[str | int]) -> None:
        self._tool = tool
        self._argument = argument
        self._calls = ToolCalls()
        self._texts: dict[tuple[int, int], ArgumentText] = {}
        self._latest: ToolCall | None = None  # the call that spoke last, and its text
        self.text: ArgumentText = ArgumentText(argument)

    def feed(self, delta: ToolCallDelta) -> ToolText | None:
        """Take the next delta; None: it is of another tool's call."""
        call, _ = self._calls.place(delta)
        if call.name != self._tool:
            return None
        if call is not self._latest:
            place = call.choice, call.number
            if place not in self._texts:
                self._texts[place] = ArgumentText(self._argument)
            self._latest, self.text = call, self._texts[place]
        text = self.text
        told: ToolText = _make(ToolText, (call, text.feed(delta.arguments), text.ended))
        return told
