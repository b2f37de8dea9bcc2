"""What a provider's stream says of its failure → an outcome, and nothing of what it says in words."""

from typing import Any, cast

from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.problems import ERROR, problem_of

__all__ = ["failed"]


def failed(error: object) -> Outcome:
    """Read the ``error`` object of a stream, or of a response's body."""
    told: dict[str, Any] = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    problem = problem_of(told.get("code"), told.get("type"), status=told.get("code")) or ERROR
    return Outcome("failed", problem.reason, ErrorInfo(problem.code, problem.message, None, problem.status))
