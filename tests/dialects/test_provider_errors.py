"""What a provider's stream says of its failure becomes an outcome, without its words."""

from typing import Any

import pytest

from sse_relay.dialects.provider_errors import failed


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        ({"code": "rate_limit_exceeded", "message": "secret"}, "llm_rate_limit", 429),
        ({"type": "overloaded_error"}, "llm_overloaded", 503),
        ({"code": "unheard_of", "type": "authentication_error"}, "llm_authentication", 502),
        ({"code": 429}, "llm_rate_limit", 429),
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, "llm_context_length", 400),
        ({"code": [], "type": {}, "message": "secret"}, "llm_error", 502),
        ({}, "llm_error", 502),
        (None, "llm_error", 502),
        ("secret", "llm_error", 502),
        ([1], "llm_error", 502),
    ],
    ids=range(10),
)
def test_an_error_is_a_typed_outcome(error: Any, code: str, status: int) -> None:
    """G6, I13: its code, else its type, else its status is known; what it says in words is shown to nobody."""
    outcome = failed(error)
    assert (outcome.status, outcome.reason) == ("failed", "llm_api_error")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.status, outcome.error.error_id) == (code, status, None)
    assert "secret" not in repr(outcome)
