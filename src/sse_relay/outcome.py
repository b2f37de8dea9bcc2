"""
How a stream ended, in neutral terms: no wire format, no framework.

`ErrorCatalog` is the border between an exception and what a client may learn of it: no byte that a client
sees derives from ``str(exc)`` unless the application opts in (invariant I13).
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal, get_args

from sse_relay.exceptions import (
    CursorMismatchError,
    DrainingError,
    EventTooLargeError,
    IdempotencyConflictError,
    IdleTimeoutError,
    InvalidCursorError,
    InvalidEventError,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
    SSERelayError,
    StoreUnavailableError,
    StreamCancelledError,
    StreamIncompleteError,
)
from sse_relay.problems import EXCEPTIONS, Problem, problem_of

__all__ = ["ErrorCatalog", "ErrorInfo", "Outcome", "Status"]

Status = Literal["completed", "failed", "cancelled", "lost", "timed_out"]
"""How a stream can have ended."""

_STATUSES = frozenset(get_args(Status))
_logger = logging.getLogger("sse_relay")

Message = str | Callable[[BaseException], str]


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """
    What a client may learn of a failure.

    Attributes:
        code: A stable, machine-readable name.
        message: A sentence for people, free of detail about the server.
        error_id: Under which the log has the detail; None: nothing was logged.
        status: The HTTP status, should the failure come before the first event.
    """

    code: str
    message: str
    error_id: str | None = None
    status: int = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How a stream ended: exactly one a stream, and its last word.

    Attributes:
        status: ``completed``, ``failed``, ``cancelled``, ``lost`` (its producer died) or ``timed_out``.
        reason: The stop reason (``stop``, ``max_tokens``, ``user``, ``idle_timeout``, …); None: none was given.
        error: What went wrong; None when nothing did.

    Raises:
        ValueError: The status is not one of the five.
    """

    status: Status
    reason: str | None = None
    error: ErrorInfo | None = None

    def __post_init__(self) -> None:
        if self.status not in _STATUSES:
            raise ValueError(f"{self.status!r} is not a final status: use one of {', '.join(sorted(_STATUSES))}")

    def because(self, reason: str | None) -> "Outcome":
        """Fill in the reason, where the terminal itself did not state one."""
        return self if reason is None or self.reason is not None else replace(self, reason=reason)


@dataclass(frozen=True, slots=True)
class _Entry:
    code: str
    message: Message
    http_status: int
    reason: str
    order: int = 0


_UNKNOWN = _Entry("internal_error", "An internal error occurred.", 500, "error")

_MISMATCH = "The cursor belongs to another history of the stream. Discard what was read, and start over."
_MALFORMED = "That is not a cursor. Send the last event id unchanged."
_BUSY = "There is an active run already. View it, stop it, or replace it."
_REUSED = "The idempotency key was used for another request."

_BUILT_IN: dict[type[BaseException] | str, _Entry] = {
    "asyncio.CancelledError": _Entry("task_cancelled", "The stream's task was cancelled.", 500, "error"),
    CursorMismatchError: _Entry("cursor_mismatch", _MISMATCH, 409, "error"),
    DrainingError: _Entry("draining", "The server is shutting down. Try again.", 503, "error"),
    EventTooLargeError: _Entry("event_too_large", "An event of the stream exceeds the size limit.", 502, "error"),
    IdempotencyConflictError: _Entry("idempotency_conflict", _REUSED, 409, "error"),
    IdleTimeoutError: _Entry("idle_timeout", "The source was silent for too long.", 504, "idle_timeout"),
    InvalidCursorError: _Entry("invalid_cursor", _MALFORMED, 400, "error"),
    InvalidEventError: _Entry("invalid_event", "The source produced an invalid event.", 500, "error"),
    RunConflictError: _Entry("run_conflict", _BUSY, 409, "error"),
    RunExpiredError: _Entry("run_expired", "The run is no longer kept. Start a new one.", 410, "error"),
    RunNotFoundError: _Entry("run_not_found", "There is no such run.", 404, "error"),
    StoreUnavailableError: _Entry("store_unavailable", "The stream cannot be read just now. Try again.", 503, "error"),
    StreamIncompleteError: _Entry("stream_incomplete", "The source ended unexpectedly.", 502, "error"),
}


def _entry_of(problem: Problem) -> _Entry:
    return _Entry(problem.code, problem.message, problem.status, problem.reason)


_PROVIDERS: dict[type[BaseException] | str, _Entry] = {name: _entry_of(problem) for name, problem in EXCEPTIONS.items()}


class ErrorCatalog:
    """
    Map exception types to what a client may learn of them.

    An exception finds the entry of the nearest class in its method resolution order. Those of the openai and anthropic
    SDKs, of httpx and httpx2 have entries already (``llm_timeout``, ``llm_rate_limit``, …). What has none becomes
    ``internal_error`` with a generic message; the detail goes to the ``sse_relay`` logger under the
    ``error_id`` that the client gets.

    Example:
        >>> catalog = ErrorCatalog()
        >>> catalog.register(TimeoutError, "llm_timeout", "The model took too long.", status=504)
        >>> catalog.resolve(TimeoutError("secret detail")).code
        'llm_timeout'
    """

    def __init__(self) -> None:
        self._entries: dict[type[BaseException] | str, _Entry] = {**_BUILT_IN, **_PROVIDERS}
        self._registered = 0

    def register(
        self,
        kind: type[BaseException] | str,
        code: str,
        message: Message,
        *,
        status: int = 500,
        reason: str = "error",
    ) -> None:
        """
        Say what clients learn of one exception type and its subclasses; a later call replaces an earlier one.

        Args:
            kind: The type, or its qualified name ``package.module.Name``, so that nothing needs importing. The
                package alone also fits (``openai.RateLimitError`` for a class that lives in a private module).
            code: A stable, machine-readable name.
            message: A sentence for people. A callable gets the exception: that is how an application opts in to
                showing detail of it.
            status: The HTTP status when it happens before the first event, 400 to 599.
            reason: The stop reason of the outcome.

        Raises:
            TypeError: `kind` is neither an exception type nor a string.
            ValueError: `kind` is a string without a package or a name, or `status` is not an error status.
        """
        if isinstance(kind, str):
            package, _, name = kind.rpartition(".")
            if not package or not name:
                raise ValueError(f"{kind!r} is no qualified name: use 'package.Name'")
        elif not (isinstance(kind, type) and issubclass(kind, BaseException)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{kind!r} is no exception type: pass the class, or its name as 'package.Name'")
        if not 400 <= status <= 599:
            raise ValueError(f"status {status} is not an HTTP error status: use 400 to 599")
        self._registered += 1
        self._entries[kind] = _Entry(code, message, status, reason, self._registered)

    def resolve(self, exc: BaseException) -> ErrorInfo:
        """
        Tell what a client may learn of `exc`, and log the rest.

        Returns:
            Its entry with a fresh `error_id` of 128 random bits, under which the log has the detail: with a
            traceback where the exception is unknown, in one line where it is registered. A mistake of the client's
            (one of our own errors, with a status below 500) has no detail, and no `error_id`.
        """
        entry = self._entry(exc)
        if isinstance(exc, SSERelayError) and entry.http_status < 500:
            return ErrorInfo(entry.code, _message(entry, exc), None, entry.http_status)
        return self._info(exc, entry)

    def outcome_of(self, exc: BaseException) -> Outcome:
        """
        Tell how a stream ended that raised `exc`.

        A cancellation has a reason and no error. What is registered changes what is said of a failure, never whether
        it is one: an idle timeout is ``timed_out`` under any code.
        """
        if isinstance(exc, StreamCancelledError):
            return Outcome("cancelled", exc.reason)
        entry = self._entry(exc)
        status: Status = "timed_out" if isinstance(exc, IdleTimeoutError) else "failed"
        return Outcome(status, entry.reason, self._info(exc, entry))

    def _entry(self, exc: BaseException) -> _Entry:
        for cls in type(exc).__mro__:
            entries = [entry for name in (cls, *_names(cls)) if (entry := self._entries.get(name)) is not None]
            if entries:  # a class that is registered under its type and under its name: the later one
                return _refined(max(entries, key=attrgetter("order")), exc)
        return _UNKNOWN

    def _info(self, exc: BaseException, entry: _Entry) -> ErrorInfo:
        error_id = secrets.token_hex(16)
        fields = {"code": entry.code, "error_id": error_id}
        if entry is _UNKNOWN and not isinstance(exc, SSERelayError):
            _logger.error("stream failed (%s, error_id=%s)", entry.code, error_id, exc_info=exc, extra=fields)
        else:
            _logger.warning("stream failed (%s, error_id=%s): %r", entry.code, error_id, exc, extra=fields)
        return ErrorInfo(entry.code, _message(entry, exc), error_id, entry.http_status)


def _refined(entry: _Entry, exc: BaseException) -> _Entry:
    """Look at what a provider's exception says of itself, unless the application has said what it means."""
    if entry.order or entry not in _PROVIDERS.values():
        return entry
    told = getattr(exc, "code", None), getattr(exc, "type", None)
    problem = problem_of(*told) or (problem_of(status=_status(exc)) if entry.code == "llm_error" else None)
    return entry if problem is None else _entry_of(problem)


def _status(exc: BaseException) -> object:
    return getattr(exc, "status_code", None) or getattr(getattr(exc, "response", None), "status_code", None)


def _message(entry: _Entry, exc: BaseException) -> str:
    if isinstance(entry.message, str):
        return entry.message
    try:
        message = entry.message(exc)
        if not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a message must be text, not {type(message).__qualname__}")  # noqa: TRY301
    except Exception:
        _logger.exception("the message of error code %s could not be made", entry.code, extra={"code": entry.code})
        return "An error occurred."
    return message


def _names(cls: type[BaseException]) -> tuple[str, str]:
    module = cls.__module__
    return f"{module}.{cls.__qualname__}", f"{module.partition('.')[0]}.{cls.__qualname__}"
