"""Calls of tools in the output of an OpenAI response: of functions, and of custom tools, whose input is free text."""

from collections.abc import Iterator, Mapping
from typing import Any

from sse_relay.dialects.custom_inputs import INPUT
from sse_relay.dialects.tool_arguments import ArgumentText
from sse_relay.dialects.tool_calls import ToolCall

__all__ = ["CallItem", "CustomCallItem", "Said"]

Said = tuple[str, Mapping[str, Any]]
"""An event: its type, and its fields without the type and the number."""


class CallItem:
    """
    A call of a function.

    Args:
        call: The call.
        call_id: The id that clients know it by.
        run_id: What the item's id is made of, with its place.
        index: Its place in the output.
    """

    kind: str = "function_call"
    prefix: str = "fc"
    event: str = "response.function_call_arguments"
    field: str = "arguments"

    __slots__ = ("_call_id", "_index", "_item_id", "_said", "_status", "call")

    def __init__(self, call: ToolCall, call_id: str, run_id: str, index: int) -> None:
        self.call: ToolCall = call
        self._call_id = call_id
        self._item_id = f"{self.prefix}_{run_id}_{index}"
        self._index = index
        self._said: list[str] = []
        self._status: str | None = None

    def begin(self) -> Iterator[Said]:
        """Open the item."""
        yield "response.output_item.added", {"output_index": self._index, "item": self.item("in_progress")}

    def more(self, arguments: str) -> Iterator[Said]:
        """Take more of its arguments."""
        if arguments:
            self._said.append(arguments)
            yield f"{self.event}.delta", {**self._where(), "delta": arguments}

    def end(self, status: str) -> Iterator[Said]:
        """End the item with this status."""
        self._status = status
        item = self.item(status)
        yield f"{self.event}.done", {**self._where(), **self._done(item)}
        yield "response.output_item.done", {"output_index": self._index, "item": item}

    def item(self, status: str) -> Mapping[str, Any]:
        """Tell the item as it is; unless it has ended, with this status."""
        return {
            "id": self._item_id, "type": self.kind, "status": self._status or status, "call_id": self._call_id,
            "name": self.call.name or "", self.field: "".join(self._said),
        }  # fmt: skip

    def _where(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": self._index}

    def _done(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"name": item["name"], "arguments": item["arguments"]}


class CustomCallItem(CallItem):
    """A call of a custom tool: its arguments are JSON with the input in it, and the input is what is told."""

    kind: str = "custom_tool_call"
    prefix: str = "ctc"
    event: str = "response.custom_tool_call_input"
    field: str = "input"

    __slots__ = ("_input",)

    def __init__(self, call: ToolCall, call_id: str, run_id: str, index: int) -> None:
        super().__init__(call, call_id, run_id, index)
        self._input = ArgumentText(INPUT)

    def more(self, arguments: str) -> Iterator[Said]:
        """Take more of its arguments, and tell what that adds to the input."""
        return super().more(self._input.feed(arguments))

    def _done(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"input": item["input"]}
