"""What `collect` tells at the end."""

from dataclasses import dataclass
from typing import Literal

from sse_relay.client.diary import Entry
from sse_relay.client.pending import PendingCall
from sse_relay.outcome import Outcome

__all__ = ["CollectResult", "NotResumed"]

NotResumed = Literal["aborted", "max_retries", "fail_fast", "not_repeatable", "run_not_found", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectResult:
    """
    How a stream was read.

    Attributes:
        outcome: How it ended: what the server said, or a hook; ``cancelled`` after an abort; ``failed`` where it could
            not be read to its end. None: the server said that it has ended, and not how.
        last_cursor: Where to go on: the id of the last event; None: none was seen.
        ttft: The time to the first event, in seconds; None: there was none.
        duration: The whole time, in seconds.
        events: How many events there were.
        resumes: How many connections were opened after the first.
        error: What broke the stream at first, where it was not read to its end; None: nothing did.
        resume_error: What resuming it failed with; None: it did not fail, or was not tried.
        not_resumed: Why resuming was not tried. ``aborted``; ``max_retries``, which is 0;
            ``fail_fast``: the first connection failed; ``not_repeatable``: no id of the answer to a POST was seen;
            ``run_not_found``: nor was its run found; ``refused``: an answer that no repetition changes.
        pending: Tool calls without a result, whole or as far as they came: what waits for an approval.
        diary: The last events, for diagnosis.
    """

    outcome: Outcome | None
    last_cursor: str | None
    ttft: float | None
    duration: float
    events: int
    resumes: int
    error: Exception | None
    resume_error: Exception | None
    not_resumed: NotResumed | None
    pending: tuple[PendingCall, ...]
    diary: tuple[Entry, ...]
