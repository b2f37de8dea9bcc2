"""How each kind of provider streams: what its objects say, and which of them is the end."""

from typing import Any

import pytest

from sse_relay import Outcome
from sse_relay.combinators.provider_objects import DONE
from sse_relay.combinators.providers import ANTHROPIC, CHAT, RESPONSES, Provider
from tests.combinators import recorded


@pytest.mark.parametrize(
    ("provider", "objects", "deltas"),
    [
        (CHAT, recorded.CHAT_CHUNKS, recorded.CHAT_DELTAS),
        (RESPONSES, recorded.RESPONSE_EVENTS, recorded.RESPONSE_DELTAS),
        (ANTHROPIC, recorded.MESSAGE_EVENTS, recorded.MESSAGE_DELTAS),
    ],
    ids=["chat", "responses", "anthropic"],
)
def test_a_reader_for_each_stream(provider: Provider, objects: list[Any], deltas: list[Any]) -> None:
    """H1: each stream has a reader of its own, which remembers nothing of another stream."""
    for _ in range(2):
        read = provider.reader()
        assert [delta for said in objects for delta in read(said)] == deltas


@pytest.mark.parametrize(
    ("provider", "said", "status"),
    [
        (CHAT, {"type": DONE}, "completed"),
        (CHAT, {"type": "error"}, "failed"),
        (CHAT, recorded.CHAT_CHUNKS[-2], None),
        (RESPONSES, recorded.RESPONSE_EVENTS[-1], "completed"),
        (RESPONSES, {"type": "response.failed"}, "failed"),
        (RESPONSES, {"type": "response.cancelled"}, "cancelled"),
        (RESPONSES, {"type": DONE}, None),
        (ANTHROPIC, {"type": "message_stop", "odd": object()}, "completed"),
        (ANTHROPIC, {"type": "error"}, "failed"),
        (ANTHROPIC, {"type": DONE}, None),
        *((provider, {"type": odd}, None) for provider in (CHAT, RESPONSES, ANTHROPIC) for odd in (None, ["error"], 1)),
    ],
)
def test_ends(provider: Provider, said: dict[str, Any], status: str | None) -> None:
    """B3: each provider's terminals are told, and nothing else is one, of whatever type its type is."""
    outcome = provider.end_of(said)
    assert (outcome and outcome.status) == status


def test_only_a_message_needs_its_terminal() -> None:
    """B5: which streams may end once they have said why the model stopped."""
    assert [provider.finish_ends for provider in (CHAT, RESPONSES, ANTHROPIC)] == [True, True, False]
    assert RESPONSES.end_of(recorded.RESPONSE_EVENTS[-1]) == Outcome("completed", "tool_calls")
