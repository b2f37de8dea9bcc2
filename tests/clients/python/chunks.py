"""What openai-python makes of a completion, its blocking client and its async one."""

from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletionChunk

from tests.clients.python.seen import URL, Seen

MESSAGES: Any = [{"role": "user", "content": "Go on."}]
USAGE: Any = {"include_usage": True}


@dataclass
class Place:
    """Where a client is in a run, as the chunks say."""

    run_id: str
    seq: int = 0

    @property
    def rest(self) -> dict[str, Any]:
        """What to ask for when the connection was cut."""
        params = {"dialect": "openai-chat", "after": self.seq}
        return {
            "path": f"{URL}/runs/{self.run_id}/events",
            "cast_to": ChatCompletionChunk,
            "options": {"params": params},
        }

    @property
    def end(self) -> dict[str, Any]:
        """What to ask for to stop it."""
        return {"path": f"{URL}/runs/{self.run_id}/cancel", "cast_to": object}


def note(chunk: ChatCompletionChunk, seen: Seen, place: Place) -> None:
    """Take one chunk."""
    place.seq = (chunk.model_extra or {}).get("relay", {}).get("seq", place.seq)
    if chunk.usage:
        seen.usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens]
    for choice in chunk.choices:
        if choice.delta.content:
            seen.pieces.append(choice.delta.content)
        for call in choice.delta.tool_calls or ():
            function = call.function
            name, arguments = (function.name, function.arguments) if function else (None, None)
            seen.call(call.index, call.id, name, arguments)
        if choice.finish_reason:
            seen.finish.append(choice.finish_reason)
