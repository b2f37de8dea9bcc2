"""What the model says in each play: the server performs it, and the tests know it by heart."""

import asyncio
from collections.abc import AsyncGenerator

from sse_relay.dialects import Delta, Finish, TextDelta, ToolCallDelta, Usage

PIECES = ("Hel", "lo, ", "wörld 🙂\n\n", "data: [DONE]\n", '{"error":', " null}", "!")
TEXT = "".join(PIECES)
TOOLS = [["call_a", "look_up", '{"city":"Zürich"}'], ["call_b", "add", '{"a":1,"b":2}']]
SECRET = "password=hunter2"

_SPOKEN = tuple(TextDelta(piece) for piece in PIECES)
_INTERLEAVED = (
    ToolCallDelta(id="call_a", name="look_up", index=0),
    ToolCallDelta('{"ci', index=0),
    ToolCallDelta('{"a"', id="call_b", name="add", index=1),
    ToolCallDelta('ty":"Zü', index=0),
    ToolCallDelta(':1,"b":', index=1),
    ToolCallDelta('rich"}', index=0),
    ToolCallDelta("2}", index=1),
)
_SCRIPTS: dict[str, tuple[Delta | float | Exception, ...]] = {
    "text": (*_SPOKEN, Finish("stop")),
    "tools": (TextDelta("Let me see."), *_INTERLEAVED, Finish("tool_calls")),
    "usage": (*_SPOKEN, Finish("stop"), Usage(11, 7)),
    "silence": (*_SPOKEN[:3], 3.0, *_SPOKEN[3:], Finish("stop")),
    "lasting": (*_SPOKEN, 3.0, Finish("stop")),
    "raises": (*_SPOKEN[:3], RuntimeError(SECRET)),
    "endless": (*_SPOKEN[:3], 3600.0),
}


async def perform(play: str) -> AsyncGenerator[Delta, None]:
    """Perform a play: a number is a silence in seconds, an exception is raised."""
    for step in _SCRIPTS[play]:
        if isinstance(step, (int, float)):
            await asyncio.sleep(step)
        elif isinstance(step, Exception):
            raise step
        else:
            yield step
