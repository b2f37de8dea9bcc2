"""Messages of a Letta agent become deltas."""

from typing import Any

import pytest

from sse_relay.dialects import Delta, Finish, ReasoningDelta, TextDelta, ToolCallDelta, ToolResult, Usage
from sse_relay.dialects.letta_messages import deltas_of_message


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("assistant_message", {"content": "Hi"}, [TextDelta("Hi")]),
        ("assistant_message", {"content": [{"type": "text", "text": "Hi"}]}, [TextDelta("Hi")]),
        ("assistant_message", {"content": ""}, []),
        ("assistant_message", {"content": 1}, []),
        ("reasoning_message", {"reasoning": "so"}, [ReasoningDelta("so")]),
        ("tool_call_message", {"tool_call": {"name": "f", "arguments": "{", "tool_call_id": "c"}},
         [ToolCallDelta("{", id="c", name="f")]),
        ("tool_call_message", {"tool_call": {"name": None, "arguments": "}", "tool_call_id": "c"}},
         [ToolCallDelta("}", id="c")]),
        ("approval_request_message", {"tool_calls": [{"name": "f", "tool_call_id": "c"}, 1, {"name": "g"}]},
         [ToolCallDelta(id="c", name="f"), ToolCallDelta(name="g")]),
        ("tool_call_message", {"tool_call": "x"}, []),
        ("tool_return_message", {"tool_call_id": "c", "tool_return": "42"}, [ToolResult("c", "42")]),
        ("stop_reason", {"stop_reason": "end_turn"}, [Finish("end_turn")]),
        ("stop_reason", {"stop_reason": None}, []),
        ("usage_statistics", {"prompt_tokens": 1, "completion_tokens": 2}, [Usage(1, 2)]),
        ("usage_statistics", {"prompt_tokens": 1}, []),
        ("ping", {}, []),
        ("user_message", {"content": "Hi"}, []),
        (["stop_reason"], {"stop_reason": "x"}, []),
        (None, {}, []),
    ],
    ids=range(18),
)  # fmt: skip
def test_a_message_is_read(kind: object, fields: dict[str, Any], said: list[Delta]) -> None:
    """H1, H3: what it says to a client of a model, if anything; what is not of its type is left out."""
    assert deltas_of_message({"message_type": kind, **fields}) == said
