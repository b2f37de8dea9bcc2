"""
Every error that the library raises, in one tree.

::

    SSERelayError
    ├── InvalidCursorError      (ValueError)    a cursor that is not ``<epoch>:<offset>``
    ├── InvalidEventError       (ValueError)    an event that cannot be put on the wire
    ├── EventTooLargeError      (ValueError)    an event past its size bound
    ├── CursorMismatchError                     a cursor that this log cannot honour
    ├── RunNotFoundError        (LookupError)   no such run, or not yours
    ├── RunExpiredError         (LookupError)   the run's log is past its retention
    ├── RunConflictError                        the key has an active run
    ├── IdempotencyConflictError                one idempotency key, two different requests
    ├── DrainingError                           the relay takes no new runs
    ├── StreamCancelledError                    somebody asked the stream to stop
    ├── StreamIncompleteError                   a source ended without the terminal that its dialect requires
    ├── IdleTimeoutError        (TimeoutError)  the source was silent for too long
    ├── ChannelClosedError                      pushed into a channel that has ended
    ├── ChannelFullError                        pushed into a channel that is full and may not wait
    ├── StoreUnavailableError   (ConnectionError)  the store cannot be reached
    ├── StoreContractError                      a store broke its contract
    ├── ConnectionLostError     (ConnectionError)  a stream broke, and could not be resumed
    └── ResponseRefusedError                    a server answered, and not with a stream
        └── ServerBusyError                     it cannot just now: it is asked again

Classes hold fields and ``__str__`` builds the sentence, which says what to do. ``retryable`` tells whether
the same call may succeed later without any change.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
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
]

GiveUpReason = Literal["max_retries", "not_repeatable", "fail_fast"]

_WHY: dict[GiveUpReason, str] = {
    "max_retries": "the retries are used up; connect again with after=events.last_id",
    "not_repeatable": "no id was seen, and a POST without an Idempotency-Key may not be repeated; look for the run",
    "fail_fast": "the first connection brought no stream; check the address, or leave fail_fast out to wait for it",
}

_SHOWN = 60


def _shown(value: object) -> str:
    """Quote a foreign value, cut to a length that is safe in a log line."""
    if isinstance(value, (str, bytes)) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]!r}… ({len(value)} long)"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the error that it is shown in matters more; int of thousands of digits raises
        return f"<{type(value).__name__}>"
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"


class SSERelayError(Exception):
    """Root of the tree: catch it to catch whatever the library raises on purpose."""

    retryable: ClassVar[bool] = False

    def __reduce__(self) -> "tuple[object, ...]":
        # Keyword-only fields do not survive Exception's own pickling, which worker pools rely on.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[SSERelayError], args: tuple[object, ...], fields: dict[str, object]) -> SSERelayError:
    error = cls.__new__(cls, *args)
    error.args = args  # which an OSError takes in its __init__ only
    error.__dict__.update(fields)
    return error


class InvalidCursorError(SSERelayError, ValueError):
    """A cursor that does not match the grammar of `Cursor`; nothing was looked up."""

    def __init__(self, text: object) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return (
            f"{_shown(self.text)} is not a cursor: expected <epoch>:<offset>, where the epoch is 8 to 40 of "
            "A-Z a-z 0-9 _ . - and the offset a decimal number without leading zeros; "
            "send back the last event id unchanged, or none to start over"
        )


class InvalidEventError(SSERelayError, ValueError):
    """An event that the wire format cannot carry; nothing of it was written."""

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(field, value, problem)
        self.field = field
        self.value = value
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field} {_shown(self.value)}: {self.problem}"


class EventTooLargeError(SSERelayError, ValueError):
    """
    An event past its size bound.

    Attributes:
        limit: The bound, in bytes.
        events: What the same `EventDecoder.feed` call had completed before it met the event.
    """

    def __init__(self, limit: int, events: "Sequence[object]" = ()) -> None:
        super().__init__(limit)
        self.limit = limit
        self.events: tuple[object, ...] = tuple(events)

    def __str__(self) -> str:
        return f"an event exceeds {self.limit} bytes; split it, or raise max_event_bytes on the reading side"


class CursorMismatchError(SSERelayError):
    """
    A well-formed cursor that this log cannot honour: reading on from it would splice two histories.

    Attributes:
        kind: ``rolled_back`` (the log ends before the cursor) or ``foreign`` (the log never had its epoch).
    """

    def __init__(self, cursor: object, kind: Literal["rolled_back", "foreign"]) -> None:
        super().__init__(cursor, kind)
        self.cursor = cursor
        self.kind = kind

    def __str__(self) -> str:
        why = "the log ends before it" if self.kind == "rolled_back" else "the log never had its epoch"
        return f"cursor {self.cursor} cannot be resumed ({self.kind}): {why}; discard what was read and start over"


class _RunError(SSERelayError):
    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class RunNotFoundError(_RunError, LookupError):
    """No run of that id, or none that the caller may see."""

    def __str__(self) -> str:
        return f"no run {_shown(self.run_id)}; check the id, and that this store is the one that it was started on"


class RunExpiredError(_RunError, LookupError):
    """The run existed, but its log is past its retention."""

    def __str__(self) -> str:
        return f"run {_shown(self.run_id)} has expired; start a new one, or keep logs longer with retention="


class RunConflictError(SSERelayError):
    """The key already has an active run; without a key: the run id is taken."""

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(key, run_id)
        self.key = key
        self.run_id = run_id

    def __str__(self) -> str:
        if not self.key:
            return f"the run id {_shown(self.run_id)} is taken; leave it out, and the store makes one"
        return (
            f"key {_shown(self.key)} has the active run {self.run_id}; subscribe to it, cancel it, "
            'or start with on_conflict="join" or "replace"'
        )


class IdempotencyConflictError(SSERelayError):
    """One idempotency key was used for two different requests."""

    def __init__(self, idempotency_key: str, run_id: str) -> None:
        super().__init__(idempotency_key, run_id)
        self.idempotency_key = idempotency_key
        self.run_id = run_id

    def __str__(self) -> str:
        return (
            f"idempotency key {_shown(self.idempotency_key)} belongs to run {self.run_id}, which was started "
            "with another dialect or metadata; use a new key for a new request"
        )


class DrainingError(SSERelayError):
    """The relay is shutting down, or has: it takes no new runs, and shows none."""

    retryable = True

    def __str__(self) -> str:
        return "this relay is draining: it takes no new runs and shows none; send the request to another process"


class StreamCancelledError(SSERelayError):
    """Somebody asked the stream to stop. Not an `asyncio.CancelledError`: the reading task goes on."""

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the stream was cancelled ({self.reason}); keep what was read; nothing more comes"


class StreamIncompleteError(SSERelayError):
    """A source ended without the terminal that its dialect requires: it was cut off."""

    retryable = True

    def __init__(self, dialect: str) -> None:
        super().__init__(dialect)
        self.dialect = dialect

    def __str__(self) -> str:
        return f"the {self.dialect} source ended without its terminal event; treat what came as incomplete"


class IdleTimeoutError(SSERelayError, TimeoutError):
    """
    The source was silent for too long.

    Attributes:
        seconds: The silence that was allowed.
    """

    retryable = True

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the source was silent for {self.seconds:g} s; allow more, or make it yield progress"


class ChannelClosedError(SSERelayError):
    """Pushed into a channel that has ended."""

    def __str__(self) -> str:
        return "the channel has ended and takes no more items; stop the callbacks before closing it"


class ChannelFullError(SSERelayError):
    """Pushed into a full channel whose ``on_full`` is ``fail``."""

    retryable = True

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.capacity = capacity

    def __str__(self) -> str:
        return f'the channel holds {self.capacity} unread items; read faster, or use on_full="wait"'


class StoreUnavailableError(SSERelayError, ConnectionError):
    """The store cannot be reached; what was asked may or may not have been done."""

    retryable = True

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return f"the store cannot be reached{': ' if self.detail else ''}{self.detail}; retry, or check its health"


class StoreContractError(SSERelayError):
    """A store answered what its contract forbids."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return f"the store broke its contract: {self.detail}; run sse_relay.testing's store contract against it"


class ConnectionLostError(SSERelayError, ConnectionError):
    """
    The connection broke, and the stream could not be resumed. The cause is what broke it last.

    Attributes:
        reason: ``max_retries``; ``not_repeatable``: no id was seen of the answer to a POST; ``fail_fast``: there was no
            first connection, and the caller does not wait for one.
        original: What broke the connection first, since the last event.
    """

    retryable = True

    def __init__(self, reason: GiveUpReason, original: Exception) -> None:
        super().__init__(reason, original)
        self.reason: GiveUpReason = reason
        self.original = original

    def __str__(self) -> str:
        return f"the stream was cut ({type(self.original).__name__}) and not resumed: {_WHY[self.reason]}"


class ResponseRefusedError(SSERelayError):
    """
    The server answered, and not with a stream; asking again would not help.

    Attributes:
        url: What was asked for.
        status: The HTTP status.
        code: The machine-readable name in the answer's problem body, or ours; None: there was none.
        detail: The sentence in it.
    """

    def __init__(self, url: str, status: int, code: str | None = None, detail: str | None = None) -> None:
        super().__init__(url, status, code, detail)
        self.url = url
        self.status = status
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        said = ": ".join(filter(None, (self.code, self.detail)))
        return f"{self.url} answered {self.status}{f' ({said})' if said else ''}; check the address and the permissions"


class ServerBusyError(ResponseRefusedError):
    """
    The server cannot answer just now; the client asks again by itself.

    Attributes:
        retry_after: How long the server wants to be left alone, in seconds; None: it did not say.
    """

    retryable = True

    def __init__(
        self,
        url: str,
        status: int,
        code: str | None = None,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(url, status, code, detail)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.url} answered {self.status}; it is asked again, unless the retries are used up"
