"""What a reader is told."""

import copy

import pytest

from sse_relay import SSERelayError
from sse_relay.client import ConnectionLostError, ResponseRefusedError, ServerBusyError

URL = "http://peer/events"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ResponseRefusedError(URL, 403, "forbidden", "Not yours."), "403 (forbidden: Not yours.); check the address"),
        (ResponseRefusedError(URL, 500), "500; check"),
        (ServerBusyError(URL, 503, retry_after=2.0), "503; it is asked again"),
        (ConnectionLostError("max_retries", OSError()), "(OSError) and not resumed: the retries are used up"),
        (ConnectionLostError("not_repeatable", OSError()), "look for the run"),
    ],
    ids=["refused", "refused, no more said", "busy", "used up", "not repeatable"],
)
def test_the_sentence_says_what_to_do(error: SSERelayError, advice: str) -> None:
    """I7: each error is one of the library's, says what to do, and survives copying."""
    assert advice in str(error)
    found = copy.copy(error)
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_what_may_be_tried_again() -> None:
    """I7: `retryable` tells a refusal from what may be over soon."""
    assert not ResponseRefusedError.retryable
    assert ServerBusyError.retryable
    assert ConnectionLostError.retryable
