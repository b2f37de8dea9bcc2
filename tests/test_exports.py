"""The public names: what users may type, and nothing by accident."""

import sse_relay
from sse_relay import adapters, combinators, dialects, testing, wire

WIRE = {"Cursor", "EventDecoder", "ServerSentEvent"}
COMBINATORS = {
    "CancelToken",
    "EventChannel",
    "as_events",
    "cancellable",
    "from_anthropic",
    "from_openai_chat",
    "from_openai_responses",
    "from_sse",
    "from_thread",
    "guard_terminal",
    "idle_timeout",
    "keepalive",
    "openai_chat",
    "render",
    "tool_argument_text",
    "watch_outcome",
}
RUNS = {"MemoryStore", "Relay"}
TESTING = {
    "Combinator",
    "FaultAt",
    "FaultyStore",
    "History",
    "Law",
    "Pause",
    "Probe",
    "Step",
    "StoreFactory",
    "StoreLaw",
    "StoreUnderTest",
    "Viewer",
    "VirtualClockLoop",
    "WatchedSubscription",
    "cancel_at_every_await",
    "cancelled_at",
    "combinator_laws",
    "fault_at_every_step",
    "run_virtual",
    "store_contract",
}
OUTCOME = {"ErrorCatalog", "ErrorInfo", "Outcome"}
DELTAS = {"Delta", "Finish", "ReasoningDelta", "RefusalDelta", "TextDelta", "ToolCallDelta", "ToolResult", "Usage"}
DIALECTS = {"AISDK", "Anthropic", "Letta", "Native", "OpenAIChat", "OpenAIResponses"}
ERRORS = {
    "ChannelClosedError",
    "ChannelFullError",
    "ConnectionLostError",
    "CursorMismatchError",
    "DrainingError",
    "EventTooLargeError",
    "IdempotencyConflictError",
    "IdleTimeoutError",
    "InvalidCursorError",
    "InvalidEventError",
    "ResponseRefusedError",
    "RunConflictError",
    "RunExpiredError",
    "RunNotFoundError",
    "SSERelayError",
    "ServerBusyError",
    "StoreContractError",
    "StoreUnavailableError",
    "StreamCancelledError",
    "StreamIncompleteError",
}


def test_the_first_hour_names() -> None:
    """`sse_relay` has the wire, combinators, relay and its store, outcomes and errors; each name resolves."""
    assert set(sse_relay.__all__) == WIRE | COMBINATORS | RUNS | OUTCOME | ERRORS
    for name in sse_relay.__all__:
        assert name in dir(sse_relay)
        assert getattr(sse_relay, name).__module__.startswith("sse_relay.")


def test_the_layers_names() -> None:
    """Each layer exports what its first page names."""
    assert set(wire.__all__) == WIRE
    assert set(combinators.__all__) == COMBINATORS
    assert set(dialects.__all__) == DELTAS | DIALECTS | {
        "Dialect",
        "RenderContext",
        "Renderer",
        "delta_of",
        "event_of",
    }
    assert set(testing.__all__) == TESTING
    assert not hasattr(adapters, "__all__")


def test_every_name_in_all_exists() -> None:
    """`from module import *` works in each layer."""
    for module in (wire, combinators, dialects, testing):
        for name in module.__all__:
            assert hasattr(module, name)
