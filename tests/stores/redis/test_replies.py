"""What scripts answer."""

import json
from typing import Any

import pytest

from sse_relay import IdempotencyConflictError, Outcome, RunConflictError, RunExpiredError, RunNotFoundError
from sse_relay.stores.protocol import Answer, Appended, Opening, Seal
from sse_relay.stores.redis.replies import appended, opened_as, require_found

SEAL = Seal(Outcome("lost"), b"event: end\n\n")
OPENING = Opening(5.0, SEAL, SEAL, key="k", idempotency_key="i")
KNOWN = {
    "id": "r",
    "epochs": "first-epoch",
    "last": "0",
    "created": "1",
    "updated": "1",
    "metadata": "",
    "dialect": "d",
}
RUN = json.dumps([part for pair in KNOWN.items() for part in pair]).encode()


@pytest.mark.parametrize(("word", "error"), [(b"missing", RunNotFoundError), (b"expired", RunExpiredError)])
def test_a_run_that_is_not_there_is_an_error(word: bytes, error: type[Exception]) -> None:
    """A run that never was and one that is kept no more are told apart."""
    with pytest.raises(error):
        require_found("r", [word])
    require_found("r", [b"found", RUN])


def test_every_answer_is_known() -> None:
    """Each word of an append is one of the contract, with the last record and the reason to stop, in any text."""
    for answer in Answer:
        assert appended([answer.value.encode(), 5, None]) == Appended(answer, 5)
    assert appended(b"ok", 7) == Appended(Answer.OK, 7)
    reason = "us\u00e9r \ud800"
    assert appended([b"ok", 1, reason.encode("utf-8", "surrogatepass")]).cancel == reason


def test_a_start_is_made_joined_or_refused() -> None:
    """Whoever made the run has its grant, whoever found one has none, and each refusal says of which run."""
    made = opened_as(OPENING, "r", [b"made", b"first-epoch", RUN, None])
    assert made.grant is not None
    assert (made.grant.run_id, made.grant.epoch, made.grant.fence, made.grant.lease) == ("r", "first-epoch", 1, 5.0)
    assert made.ended is None
    assert opened_as(OPENING, "r", [b"made", b"first-epoch", RUN, RUN]).ended is not None
    joined = opened_as(OPENING, "other", [b"joined", RUN])
    assert (joined.grant, joined.info.id, joined.info.joined) == (None, "r", True)
    refusals: list[tuple[list[Any], type[Exception]]] = [
        ([b"reused", b"x"], IdempotencyConflictError),
        ([b"busy", b"x"], RunConflictError),
        ([b"taken"], RunConflictError),
    ]
    for reply, error in refusals:
        with pytest.raises(error):
            opened_as(OPENING, "r", reply)
