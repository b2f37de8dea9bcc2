"""
The output of an OpenAI response, item by item: what each delta adds to it, and the events that say so.

Texts follow one another. Calls of tools stay open beside them, since their arguments may come interleaved: a call is
done once its result is there, or the model has stopped. Each ``done`` repeats its text whole, and so does the response
at its end: all of it is kept, once.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sse_relay.dialects.deltas import Delta, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolResult
from sse_relay.dialects.response_calls import CallItem, CustomCallItem, Said
from sse_relay.dialects.tool_calls import ToolCall, ToolCalls

__all__ = ["ResponseItems", "Said"]


class _Kind(NamedTuple):
    """
    One kind of text.

    Attributes:
        item: The type and the fixed fields of its item.
        parts: The item's field with its parts.
        part_event: What is said of a part.
        number: What a part's place is called.
        text_event: What is said of its text.
        text: What the text is called, in its part and its last event.
        more: The other fields of a part.
        beside: The other fields of the text's events.
    """

    item: str
    parts: str
    part_event: str
    number: str
    text_event: str
    text: str
    more: Mapping[str, Any]
    beside: Mapping[str, Any]


_CONTENT = ("message", "content", "response.content_part", "content_index")
_SUMMARY = ("reasoning", "summary", "response.reasoning_summary_part", "summary_index")
_KINDS: dict[type[Delta], _Kind] = {
    TextDelta: _Kind(
        *_CONTENT, "response.output_text", "text",
        {"type": "output_text", "annotations": [], "logprobs": []}, {"logprobs": []},
    ),
    RefusalDelta: _Kind(*_CONTENT, "response.refusal", "refusal", {"type": "refusal"}, {}),
    ReasoningDelta: _Kind(*_SUMMARY, "response.reasoning_summary_text", "text", {"type": "summary_text"}, {}),
}  # fmt: skip
_PREFIXES = {"message": "msg", "reasoning": "rs"}


class _Text:
    """A message, or reasoning: parts that follow one another, each of one kind."""

    __slots__ = ("_done", "_index", "_item", "_parts", "_place", "_status")

    def __init__(self, kind: _Kind, run_id: str, index: int) -> None:
        self._item: dict[str, Any] = {"id": f"{_PREFIXES[kind.item]}_{run_id}_{index}", "type": kind.item}
        if kind.item == "message":
            self._item["role"] = "assistant"
        self._item[kind.parts] = []
        self._parts = kind.parts
        self._index = index
        self._done: list[Mapping[str, Any]] = []
        self._place: tuple[_Kind, list[str]] | None = None  # the open part
        self._status: str | None = None

    def takes(self, kind: _Kind) -> bool:
        return self._status is None and kind.item == self._item["type"]

    def begin(self) -> Iterator[Said]:
        yield "response.output_item.added", {"output_index": self._index, "item": self.item("in_progress")}

    def more(self, kind: _Kind, text: str) -> Iterator[Said]:
        if self._place is None or self._place[0] is not kind:
            yield from self._end_part()
            self._place = kind, []
            yield f"{kind.part_event}.added", {**self._where(kind), "part": _part(kind, "")}
        self._place[1].append(text)
        yield f"{kind.text_event}.delta", {**self._where(kind), "delta": text, **kind.beside}

    def end(self, status: str) -> Iterator[Said]:
        yield from self._end_part()
        self._status = status
        yield "response.output_item.done", {"output_index": self._index, "item": self.item(status)}

    def item(self, status: str) -> Mapping[str, Any]:
        open_part = [_part(self._place[0], "".join(self._place[1]))] if self._place else []
        return {**self._item, "status": self._status or status, self._parts: [*self._done, *open_part]}

    def _end_part(self) -> Iterator[Said]:
        if self._place is None:
            return
        kind, texts = self._place
        where, part = self._where(kind), _part(kind, "".join(texts))
        self._place = None
        self._done.append(part)
        yield f"{kind.text_event}.done", {**where, kind.text: part[kind.text], **kind.beside}
        yield f"{kind.part_event}.done", {**where, "part": part}

    def _where(self, kind: _Kind) -> dict[str, Any]:
        return {"item_id": self._item["id"], "output_index": self._index, kind.number: len(self._done)}


class ResponseItems:
    """
    The items of one response.

    Args:
        run_id: What their ids are made of, with their places.
    """

    __slots__ = ("_call_ids", "_calls", "_items", "_open", "_run_id", "_text")

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._items: list[_Text | CallItem] = []
        self._text: _Text | None = None
        self._calls = ToolCalls()
        self._open: dict[int, CallItem] = {}  # by the number of the call
        self._call_ids: dict[str, int] = {}  # and how often each was given

    def add(self, delta: Delta) -> Iterator[Said]:
        """Add a delta; what it says apart from the output, and of other choices than the first, is nothing here."""
        if getattr(delta, "choice", 0):
            return
        if isinstance(delta, ToolCallDelta):
            yield from self._add_call(delta)
        elif isinstance(delta, ToolResult):
            for number, item in list(self._open.items()):
                if item.call.id == delta.id:
                    yield from self._open.pop(number).end("completed")
        elif isinstance(delta, (TextDelta, RefusalDelta, ReasoningDelta)) and delta.text:
            kind = _KINDS[type(delta)]
            if self._text is None or not self._text.takes(kind):
                yield from self._end_text()
                self._text = _Text(kind, self._run_id, len(self._items))
                self._items.append(self._text)
                yield from self._text.begin()
            yield from self._text.more(kind, delta.text)

    def end(self, status: str) -> Iterator[Said]:
        """End every item that is open, each with this status."""
        open_items = {self._text, *self._open.values()}
        for item in self._items:
            if item in open_items:
                yield from item.end(status)
        self._text = None
        self._open.clear()

    def output(self, status: str) -> list[Mapping[str, Any]]:
        """Tell all items; those that are open have this status."""
        return [item.item(status) for item in self._items]

    def _add_call(self, delta: ToolCallDelta) -> Iterator[Said]:
        if not (delta.arguments or delta.id or delta.name):
            return
        call, is_new = self._calls.place(delta)
        item = self._open.get(call.number)
        if item is None:
            if not (is_new or delta.arguments):
                return
            yield from self._end_text()
            kind = CustomCallItem if call.custom else CallItem
            item = kind(call, self._new_call_id(call), self._run_id, len(self._items))
            self._items.append(item)
            self._open[call.number] = item
            yield from item.begin()
        yield from item.more(delta.arguments)

    def _end_text(self) -> Iterator[Said]:
        if self._text is not None:
            yield from self._text.end("completed")
            self._text = None

    def _new_call_id(self, call: ToolCall) -> str:
        """Choose an id that no other item has: upstreams repeat theirs, and clients tell calls apart by it."""
        given = call.id or f"call_{call.number}"
        call_id = given
        while call_id in self._call_ids:
            self._call_ids[given] += 1
            call_id = f"{given}_{self._call_ids[given]}"
        self._call_ids[call_id] = 1
        return call_id


def _part(kind: _Kind, text: str) -> Mapping[str, Any]:
    return {**kind.more, kind.text: text}
