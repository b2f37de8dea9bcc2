"""What a reader is told when its stream cannot be had, or cannot be had again."""

from typing import Literal

from sse_relay.exceptions import SSERelayError

__all__ = ["ConnectionLostError", "GiveUpReason", "ResponseRefusedError", "ServerBusyError"]

GiveUpReason = Literal["max_retries", "not_repeatable"]

_WHY: dict[GiveUpReason, str] = {
    "max_retries": "the retries are used up; connect again with after=events.last_id",
    "not_repeatable": "no id was seen, and a POST without an Idempotency-Key may not be repeated; look for the run",
}


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


class ConnectionLostError(SSERelayError, ConnectionError):
    """
    The connection broke, and the stream could not be resumed. The cause is what broke it last.

    Attributes:
        reason: ``max_retries``, or ``not_repeatable``: no id was seen of the answer to a POST.
        original: What broke the connection first, since the last event.
    """

    retryable = True

    def __init__(self, reason: GiveUpReason, original: Exception) -> None:
        super().__init__(reason, original)
        self.reason: GiveUpReason = reason
        self.original = original

    def __str__(self) -> str:
        return f"the stream was cut ({type(self.original).__name__}) and not resumed: {_WHY[self.reason]}"
