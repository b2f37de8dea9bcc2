"""Which call a `ToolCallDelta` belongs to, also where the upstream is sloppy about it."""

from dataclasses import dataclass

from sse_relay.dialects.deltas import ToolCallDelta
from sse_relay.dialects.tool_arguments import ArgumentText

__all__ = ["ToolCall", "ToolCalls"]


@dataclass(slots=True)
class ToolCall:
    """
    One call of a tool.

    Attributes:
        number: Its place among the calls of its answer: 0, 1, 2 … in the order in which they begin.
        choice: Which of several answers it belongs to.
        id: The first id that it was given.
        name: The first name that it was given.
        index: The first index that the upstream gave it; several calls may share one.
        custom: Whether its tool is a custom one.
    """

    number: int
    choice: int = 0
    id: str | None = None
    name: str | None = None
    index: int | None = None
    custom: bool = False


class ToolCalls:
    """
    Tell the calls of one stream apart.

    Upstreams leave out the index, give every call the index 0, repeat ids and names, or send a call in one delta. So:

    - A known id is that call's, unless their indices differ. Another id starts a call, unless the latest call at the
      index has none yet: then it is its id.
    - Without an id, an index means the latest call at it; without both, a delta goes on with the latest call.
    - Such a delta starts a call all the same if it names another tool, or names one at all after a call without an id
      whose arguments are whole.

    An answer's calls are its own. An empty id or name says nothing.
    """

    __slots__ = ("_arguments", "_by_id", "_by_index", "_counts", "_latest")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._latest: dict[int, ToolCall] = {}
        self._by_index: dict[tuple[int, int], ToolCall] = {}
        self._by_id: dict[tuple[int, str], ToolCall] = {}
        self._arguments: dict[tuple[int, int], ArgumentText] = {}  # of calls without an id

    def place(self, delta: ToolCallDelta) -> tuple[ToolCall, bool]:
        """Return the call of a delta, and whether the delta starts it. Deltas come in order."""
        choice, index = delta.choice, delta.index
        if not delta.id and not delta.name:  # nearly every delta: more arguments of a call that has its id
            known = self._latest.get(choice) if index is None else self._by_index.get((choice, index))
            if known is not None and known.id is not None and (index is None or known.index is not None):
                self._latest[choice] = known
                return known, False
        known = self._find(delta)
        call = known or ToolCall(self._counts.get(choice, 0), choice)
        if known is None:
            self._counts[choice] = call.number + 1
        call.id = call.id or delta.id or None
        call.name = call.name or delta.name or None
        call.index = index if call.index is None else call.index
        call.custom = call.custom or delta.custom
        self._latest[choice] = call
        if index is not None:
            self._by_index[choice, index] = call
        if delta.id:
            self._by_id[choice, delta.id] = call
        self._follow(call, delta.arguments)
        return call, known is None

    def _find(self, delta: ToolCallDelta) -> ToolCall | None:
        choice, index = delta.choice, delta.index
        call = self._latest.get(choice) if index is None else self._by_index.get((choice, index))
        if delta.id:
            known = self._by_id.get((choice, delta.id))
            if known is not None and (index is None or known.index in {None, index}):
                return known
            if call is not None and call.id == delta.id:
                return call
            if call is not None and (call.id or index is None):
                return None
        return None if call is None or self._starts_another(call, delta.name) else call

    def _starts_another(self, call: ToolCall, name: str | None) -> bool:
        if not name or not call.name:
            return False
        arguments = self._arguments.get((call.choice, call.number))
        return name != call.name or (arguments is not None and arguments.complete)

    def _follow(self, call: ToolCall, arguments: str) -> None:
        place = call.choice, call.number
        if call.id is not None:
            self._arguments.pop(place, None)
            return
        if place not in self._arguments:
            self._arguments[place] = ArgumentText(())
        self._arguments[place].feed(arguments)
