"""
Clients of each dialect that accept what the real ones do, and nothing else.

Each reads whole frames, tells what it heard, and asserts what its real one would stumble over: names, ids, fields,
numbers that are none, parts that were never begun.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sse_relay import EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import Dialect, RenderContext

__all__ = ["CLIENTS", "CONTEXT", "Heard", "frames", "hear"]

CONTEXT = RenderContext("run1", "epoch001", 1_700_000_000.5)


@dataclass
class Heard:
    """What a client made of a stream: the first answer's, where there are several."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[str, list[str]] = field(default_factory=dict)  # by id: name and arguments
    results: dict[str, object] = field(default_factory=dict)
    own: list[tuple[str, object]] = field(default_factory=list)
    succeeded: bool = False
    failed: bool = False
    reason: str | None = None
    usage: tuple[int, int] | None = None
    places: list[int | None] = field(default_factory=list)  # where each frame says that the log is


def frames(
    dialect: Dialect,
    log: Sequence[ServerSentEvent],
    outcome: Outcome | None,
    after: int | None = None,
    context: RenderContext = CONTEXT,
) -> list[bytes]:
    """Render a log as a viewer is shown it that comes with the offset, frame by frame."""
    renderer = dialect.renderer(context)
    folded = after or 0
    for offset, event in enumerate(log[:folded], 1):
        renderer.event(offset, event)
    shown = [*renderer.preamble()]
    for offset, event in enumerate(log[folded:], folded + 1):
        shown += renderer.event(offset, event)
    return [event.encode() for event in [*shown, *(renderer.end(outcome) if outcome else ())]]


def hear(name: str, shown: Iterable[bytes]) -> Heard:
    """Read a stream as the client of that dialect does."""
    events = EventDecoder(1 << 24).feed(b"".join(shown))
    heard = Heard()
    CLIENTS[name](heard, events)
    assert not (heard.succeeded and heard.failed)
    return heard


def _json(data: str | None) -> Any:
    def refuse(number: str) -> None:
        raise AssertionError(f"{number} is no JSON")

    return json.loads(data or "", parse_constant=refuse)


def openai_chat(heard: Heard, events: Sequence[ServerSentEvent]) -> None:
    """As openai-python: whatever has an id or no data is read as JSON, and what comes after the end is not read."""
    known: set[tuple[Any, ...]] = set()
    calls: dict[int, list[str]] = {}
    done = False
    for event in events:
        assert (event.event, event.id, event.retry) == (None, None, None)
        assert not done
        assert not heard.failed
        if event.data == "[DONE]":
            done = True
            heard.places.append(None)
            continue
        chunk = _json(event.data)
        if "error" in chunk:
            assert set(chunk["error"]) == {"message", "type", "param", "code"}
            heard.failed = True
            heard.places.append(None)
            continue
        known.add((chunk["id"], chunk["object"], chunk["created"], chunk["model"]))
        heard.places.append(chunk["relay"]["seq"] if "relay" in chunk else None)
        if usage := chunk.get("usage"):
            assert chunk["choices"] == []
            assert heard.usage is None
            heard.usage = usage["prompt_tokens"], usage["completion_tokens"]
        for choice in chunk["choices"]:
            assert 0 <= choice["index"] < 128
            if choice["index"] == 0:
                _choice(heard, choice, calls)
    for call_id, *call in calls.values():
        heard.calls[call_id] = call
    heard.succeeded = heard.reason is not None
    assert len(known) <= 1
    assert done == heard.succeeded


def _choice(heard: Heard, choice: dict[str, Any], calls: dict[int, list[str]]) -> None:
    if choice["finish_reason"] is not None:
        assert heard.reason is None
        assert choice["finish_reason"] in {"stop", "length", "tool_calls", "content_filter", "function_call"}
        heard.reason = choice["finish_reason"]
    delta = choice["delta"]
    heard.text += delta.get("content", "")
    heard.refusal += delta.get("refusal", "")
    assert delta.get("reasoning") == delta.get("reasoning_content")
    heard.reasoning += delta.get("reasoning", "")
    for call in delta.get("tool_calls", ()):
        if "id" in call:
            assert call["index"] == len(calls)
            assert call["type"] == "function"
            calls[call["index"]] = [call["id"], "", ""]
        made = calls[call["index"]]
        made[1] += call["function"].get("name", "")
        made[2] += call["function"]["arguments"]


def anthropic(heard: Heard, events: Sequence[ServerSentEvent]) -> None:
    """As the SDK: every event has a name, and goes to a block that is open."""
    blocks: list[dict[str, Any]] = []
    open_blocks: set[int] = set()
    for number, event in enumerate(events):
        said = _json(event.data)
        assert (event.event, event.id) == (said["type"], None)
        assert (number == 0) == (event.event == "message_start") or event.event == "error"
        assert not heard.succeeded
        assert not heard.failed
        if event.event == "content_block_start":
            assert said["index"] == len(blocks)
            blocks.append(said["content_block"] | {"arguments": ""})
            open_blocks.add(said["index"])
        elif event.event == "content_block_delta":
            assert said["index"] in open_blocks
            _add(heard, blocks[said["index"]], said["delta"])
        elif event.event == "content_block_stop":
            open_blocks.remove(said["index"])
        elif event.event == "message_delta":
            assert not open_blocks
            heard.reason = said["delta"]["stop_reason"]
            heard.usage = said["usage"]["input_tokens"], said["usage"]["output_tokens"]
        elif event.event == "message_stop":
            assert heard.reason in {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
            heard.succeeded = True
        elif event.event == "error":
            assert isinstance(said["error"]["type"], str)
            heard.failed = True
    for block in blocks:
        if block["type"] == "tool_use":
            heard.calls[block["id"]] = [block["name"], block["arguments"]]


def _add(heard: Heard, block: dict[str, Any], delta: dict[str, Any]) -> None:
    kinds = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}
    assert delta["type"] == kinds[block["type"]]
    heard.text += delta.get("text", "")
    heard.reasoning += delta.get("thinking", "")
    block["arguments"] += delta.get("partial_json", "")


_PARTS = {
    "start": {"messageId"},
    "start-step": set[str](),
    "text-start": {"id"},
    "text-delta": {"id", "delta"},
    "text-end": {"id"},
    "reasoning-start": {"id"},
    "reasoning-delta": {"id", "delta"},
    "reasoning-end": {"id"},
    "tool-input-start": {"toolCallId", "toolName"},
    "tool-input-delta": {"toolCallId", "inputTextDelta"},
    "tool-input-available": {"toolCallId", "toolName", "input"},
    "tool-input-error": {"toolCallId", "toolName", "input", "errorText"},
    "tool-output-available": {"toolCallId", "output"},
    "source-url": {"sourceId", "url"},
    "source-document": {"sourceId", "mediaType", "title"},
    "file": {"url", "mediaType"},
    "finish-step": set[str](),
    "finish": set[str](),
    "abort": set[str](),
    "error": {"errorText"},
}
_MORE = {"source-url": {"title"}, "source-document": {"filename"}}


def ai_sdk(heard: Heard, events: Sequence[ServerSentEvent]) -> None:
    """As the AI SDK, whose schema is strict: an unknown type is fatal, and so is an unknown field."""
    texts: set[str] = set()
    calls: dict[str, str] = {}
    assert [event.data for event in events].count("[DONE]") == (events[-1].data == "[DONE]")
    for number, event in enumerate(events):
        assert (event.event, event.id) == (None, None)
        if event.data == "[DONE]":
            continue
        part = _json(event.data)
        kind = part.pop("type")
        assert (number == 0) == (kind == "start")
        assert not heard.succeeded
        assert not heard.failed
        if kind.startswith("data-"):
            assert set(part) == {"data"}
            heard.own.append((kind, part["data"]))
            continue
        assert _PARTS[kind] <= set(part) <= _PARTS[kind] | _MORE.get(kind, set())
        assert all(isinstance(part[name], str) for name in part if name not in {"input", "output"})
        if kind in {"source-url", "source-document", "file"}:
            heard.own.append((kind, part))
        _part(heard, kind, part, texts, calls)


def _part(heard: Heard, kind: str, part: dict[str, Any], texts: set[str], calls: dict[str, str]) -> None:
    call_id = part.get("toolCallId", "")
    match kind:
        case "text-start" | "reasoning-start":
            assert part["id"] not in texts
            texts.add(part["id"])
        case "text-delta":
            assert part["id"] in texts
            heard.text += part["delta"]
        case "reasoning-delta":
            assert part["id"] in texts
            heard.reasoning += part["delta"]
        case "text-end" | "reasoning-end":
            texts.remove(part["id"])
        case "tool-input-start":
            assert call_id not in calls
            calls[call_id] = "open"
            heard.calls[call_id] = [part["toolName"], ""]
        case "tool-input-delta":
            assert calls[call_id] == "open"
            heard.calls[call_id][1] += part["inputTextDelta"]
        case "tool-input-available" | "tool-input-error":
            assert calls[call_id] == "open"
            calls[call_id] = kind
        case "tool-output-available":
            assert calls[call_id] != "open"
            heard.results[call_id] = part["output"]
        case "finish":
            assert not texts
            assert "open" not in calls.values()
            heard.succeeded = True
        case "abort" | "error":
            heard.failed = True
        case _:
            pass


def letta(heard: Heard, events: Sequence[ServerSentEvent]) -> None:
    """As Letta's client: unnamed messages, with the cursor in two fields."""
    kinds: dict[str, str] = {}
    for event in events:
        assert (event.event, event.id) == (None, None)
        if event.data == "[DONE]":
            heard.places.append(None)
            continue
        said = _json(event.data)
        heard.places.append(said["seq_id"])
        kind = said["message_type"]
        if "id" in said and kind.endswith("_message"):
            assert kinds.setdefault(said["id"], kind) == kind
        if kind == "assistant_message":
            heard.text += said["content"]
        elif kind == "reasoning_message":
            heard.reasoning += said["reasoning"]
        elif kind == "tool_call_message":
            call = said["tool_call"]
            made = heard.calls.setdefault(call["tool_call_id"], ["", ""])
            made[0] = made[0] or call["name"] or ""
            made[1] += call["arguments"]
        elif kind == "tool_return_message":
            heard.results[said["tool_call_id"]] = said["tool_return"]
        elif kind == "stop_reason":
            assert heard.reason is None
            heard.reason = said["stop_reason"]
        elif kind == "error_message":
            heard.failed = True
        elif kind == "usage_statistics":
            heard.usage = said["prompt_tokens"], said["completion_tokens"]
    heard.failed = heard.failed or heard.reason in {"cancelled", "error", "llm_api_error"}
    heard.succeeded = heard.reason is not None and not heard.failed


def openai_responses(heard: Heard, events: Sequence[ServerSentEvent]) -> None:
    """As openai-python: events with names and consecutive numbers, of items that were begun."""
    items: list[dict[str, Any]] = []
    for number, event in enumerate(events):
        said = _json(event.data)
        assert (event.event, event.id, said["sequence_number"]) == (said["type"], None, number)
        assert not heard.succeeded
        assert not heard.failed
        match said["type"].removeprefix("response."):
            case "output_item.added":
                assert said["output_index"] == len(items)
                items.append(said["item"] | {"arguments": ""})
            case "output_text.delta":
                heard.text += said["delta"]
            case "refusal.delta":
                heard.refusal += said["delta"]
            case "reasoning_summary_text.delta":
                heard.reasoning += said["delta"]
            case "function_call_arguments.delta":
                items[said["output_index"]]["arguments"] += said["delta"]
            case "completed" | "incomplete" | "failed":
                status = said["response"]["status"]
                details = said["response"]["incomplete_details"]
                heard.succeeded = status == "completed" or details is not None
                heard.failed = not heard.succeeded
            case _:
                pass
    for item in items:
        if item["type"] == "function_call":
            heard.calls[item["call_id"]] = [item["name"], item["arguments"]]


CLIENTS: dict[str, Callable[[Heard, Sequence[ServerSentEvent]], None]] = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "ai-sdk": ai_sdk,
    "letta": letta,
}
