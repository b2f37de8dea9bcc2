"""What scripts answer."""

from typing import Any

from sse_relay.exceptions import IdempotencyConflictError, RunConflictError, RunExpiredError, RunNotFoundError
from sse_relay.stores.redis.snapshot import Snapshot, text
from sse_relay.stores.terms import Answer, Appended, Grant, Opened, Opening

__all__ = ["appended", "opened_as", "require_found"]

_ANSWERS = {answer.value.encode(): answer for answer in Answer}


def require_found(run_id: str, reply: list[Any]) -> None:
    """
    Look at the first word.

    Raises:
        RunNotFoundError: There is no such run.
        RunExpiredError: There was one.
    """
    if reply[0] == b"missing":
        raise RunNotFoundError(run_id)
    if reply[0] == b"expired":
        raise RunExpiredError(run_id)


def appended(reply: Any, last_offset: int = 0) -> Appended:  # noqa: ANN401 - what the script answers
    """Read what became of an append, which may have ended at that offset, or of a renewal."""
    if reply == b"ok":
        return Appended.told(Answer.OK, last_offset, None)
    word, last, cancel = reply
    return Appended.told(_ANSWERS[word], last, None if cancel is None else text(cancel))


def opened_as(opening: Opening, run_id: str, reply: list[Any]) -> Opened:
    """
    Read what became of a start.

    Raises:
        IdempotencyConflictError: The idempotency key was used for another start.
        RunConflictError: The key has an active run, or the id is taken.
    """
    answer, *told = reply
    if answer == b"reused":
        raise IdempotencyConflictError(opening.idempotency_key or "", text(told[0]))
    if answer == b"busy":
        raise RunConflictError(opening.key or "", text(told[0]))
    if answer == b"taken":
        raise RunConflictError("", run_id)
    if answer == b"joined":
        return Opened(Snapshot(told[0]).info(joined=True), None)
    epoch, run, ended = told
    grant = Grant(run_id, epoch.decode(), 1, opening.lease)
    return Opened(Snapshot(run).info(), grant, None if ended is None else Snapshot(ended).info())
