"""
When to connect again, and when not to. Sans-I/O: no clock, no socket, no randomness of its own.

The rules are EventSource's (https://html.spec.whatwg.org/multipage/server-sent-events.html#processing-model), and what
they lack: a pause that grows, a limit, and a server's ``Retry-After``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLCertVerificationError

from sse_relay.exceptions import ConnectionLostError, ServerBusyError, StreamIncompleteError

__all__ = ["MAX_WISH", "Backoff", "Reconnection", "is_transient", "was_sent"]

MAX_WISH = 600.0
"""The longest pause that a server may ask for, in seconds."""

_JITTER = 0.25
_GATEWAY = frozenset({502, 504})  # a gateway speaks for a server that may be at work
_FATAL = frozenset({"LocalProtocolError", "UnsupportedProtocol"})
_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    How long to wait before each connection that follows a failed one.

    The pause doubles with each failure since the last event. Up to a quarter is added at random, so that the viewers of
    a server that restarts do not come back at one moment.

    Attributes:
        first: The first pause, in seconds, unless the server names another one by ``retry:``.
        cap: The longest pause, in seconds, unless the server wants a longer one.

    Raises:
        ValueError: A pause is negative, or the first one is longer than the longest.
    """

    first: float = 3.0
    cap: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.cap:
            raise ValueError(f"a backoff needs 0 <= first <= cap, not first={self.first!r}, cap={self.cap!r}")

    def pause(
        self, failures: int, jitter: float, *, retry: float | None = None, at_least: float | None = None
    ) -> float:
        """
        Tell the pause after so many failures in a row.

        Args:
            failures: 1 or more.
            jitter: From 0 to 1.
            retry: The server's ``retry:``, in seconds; it takes the place of `first`.
            at_least: The server's ``Retry-After``, in seconds.
        """
        first = self.first if retry is None else retry
        grown = min(first * 2.0 ** min(failures - 1, 64), self.cap / (1 + _JITTER))
        floor = max(retry or 0.0, at_least or 0.0)
        return min(max(grown * (1 + jitter * _JITTER), floor), max(self.cap, MAX_WISH))


class Reconnection:
    """
    What one stream has been through.

    Args:
        backoff: The pauses.
        max_retries: How many connections in a row may fail after the first; None: any number.
        random: Draws a number from 0 to 1.
        fail_fast: Whether the first connection must bring the stream.

    Attributes:
        retry: The server's ``retry:``, in milliseconds; None: it did not say.
        original: What broke the connection first, since the last event; None: nothing did.
    """

    def __init__(
        self, backoff: Backoff, max_retries: int | None, random: Callable[[], float], *, fail_fast: bool = False
    ) -> None:
        if max_retries is not None and max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, or None for no limit, not {max_retries}")
        self.retry: int | None = None
        self._backoff = backoff
        self._max_retries = max_retries
        self._random = random
        self._fail_fast = fail_fast
        self._failures = 0
        self.original: Exception | None = None

    def connected(self) -> None:
        """Note that a connection brought the stream."""
        self._fail_fast = False

    def progressed(self) -> None:
        """Note that an event came: what failed before no longer counts."""
        self._failures = 0
        self.original = None

    def pause_after(self, error: Exception, *, repeatable: bool) -> float:
        """
        Tell how long to wait before the next connection.

        Args:
            error: What ended the last one.
            repeatable: Whether the request may be made again, if it has reached the server.

        Raises:
            ConnectionLostError: There is none; its cause is `error`.
            Exception: `error` itself, where no repetition can help; its cause is what broke the connection first.
        """
        if not is_transient(error):
            raise error from error.__cause__ or self.original
        self._failures += 1
        self.original = self.original or error
        if not repeatable and was_sent(error):
            raise ConnectionLostError("not_repeatable", self.original) from error
        if self._fail_fast:
            raise ConnectionLostError("fail_fast", self.original) from error
        if self._max_retries is not None and self._failures > self._max_retries:
            raise ConnectionLostError("max_retries", self.original) from error
        wish = error.retry_after if isinstance(error, ServerBusyError) else None
        retry = None if self.retry is None else self.retry / 1000
        return self._backoff.pause(self._failures, self._random(), retry=retry, at_least=wish)


def is_transient(error: Exception) -> bool:
    """
    Tell whether the next connection may do better.

    The errors of HTTP clients are told by their names: which client it is, is the caller's choice.
    """
    if isinstance(error, (ServerBusyError, StreamIncompleteError, ConnectionError, TimeoutError)):
        return True
    names = _names(error)
    return "TransportError" in names and not names & _FATAL and not _is_untrusted(error)


def was_sent(error: Exception) -> bool:
    """Tell whether the server may have begun to do what the request asked for."""
    if isinstance(error, ServerBusyError):
        return error.status in _GATEWAY
    return not isinstance(error, ConnectionRefusedError) and not _names(error) & _UNSENT


def _is_untrusted(error: BaseException | None) -> bool:
    """Tell whether the server could not prove who it is."""
    while error is not None and not isinstance(error, SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _names(error: Exception) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}
