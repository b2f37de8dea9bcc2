"""Tool calls that wait for a result."""

from sse_relay import ServerSentEvent
from sse_relay.client.pending import PendingCall, PendingCalls, tool_delta_of
from sse_relay.dialects import TextDelta, ToolCallDelta, ToolResult, event_of


def test_a_call_is_put_together() -> None:
    """I6, defect 20: parts of several calls, mixed, are each call's own; a result takes its call away."""
    pending = PendingCalls(tool_delta_of)
    for delta in (
        ToolCallDelta('{"a"', id="one", name="send", index=0),
        ToolCallDelta('{"b"', id="two", name="ask", index=1),
        TextDelta("between"),
        ToolCallDelta(":1}", index=0),
        ToolCallDelta(":2", index=1),
    ):
        pending.take(event_of(delta))
    assert list(pending.calls) == [PendingCall("one", "send", '{"a":1}'), PendingCall("two", "ask", '{"b":2')]
    pending.take(event_of(ToolResult("one", "done")))
    pending.take(event_of(ToolResult("unknown", "done")))
    assert list(pending.calls) == [PendingCall("two", "ask", '{"b":2')]


def test_events_that_only_look_like_it() -> None:
    """I6: another server's event of that name is no call, and no error."""
    pending = PendingCalls(tool_delta_of)
    for event in (ServerSentEvent("x", event="tool_call"), ServerSentEvent("{}", event="text"), ServerSentEvent(None)):
        pending.take(event)
    assert pending.calls == ()
