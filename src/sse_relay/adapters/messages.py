"""What an adapter says to an ASGI server: headers and messages, without waiting for anything."""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from sse_relay.dialects.protocol import Dialect
from sse_relay.outcome import ErrorInfo
from sse_relay.wire.encoder import encode_json, to_utf8

__all__ = ["Message", "Receive", "Scope", "Send", "body", "http_status", "problem", "start", "stream_headers"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PLAIN: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-store",
        b"x-accel-buffering": b"no",  # nginx would hold events back
    }
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def http_status(status: int) -> int:
    """
    Refuse what is not the status of a whole response.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is not from 200 to 599.
    """
    if not isinstance(status, int) or isinstance(status, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"status_code must be an int, not {status!r:.80}")
    if not 200 <= status <= 599:
        raise ValueError(f"status_code must be a final HTTP status, 200 to 599, not {status}")
    return status


def stream_headers(dialect: Dialect, more: Mapping[str, str]) -> Mapping[bytes, bytes]:
    """
    Make the headers of an event stream: ours, the dialect's, then the application's; the later one replaces.

    Raises:
        TypeError: A name or value of `more` is not text.
        ValueError: A name is not an HTTP token, or a value has a control character: it could add headers of its own.
    """
    if not dialect.headers and not more:
        return _PLAIN  # shared by a thousand viewers
    headers = {name.decode(): value.decode() for name, value in _PLAIN.items()}
    for name, value in [*dialect.headers.items(), *more.items()]:
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a header must be str: str, not {name!r}: {value!r:.80}")
        if not _HEADER_NAME.fullmatch(name.lower()) or not _HEADER_VALUE.fullmatch(value):
            rule = "a name is an HTTP token, a value has no control characters"
            raise ValueError(f"invalid header {name!r}: {value!r:.80}; {rule}")
        headers[name.lower()] = value
    return {name.encode("ascii"): value.encode("latin-1") for name, value in headers.items()}


def start(status: int, headers: Mapping[bytes, bytes]) -> Message:
    """Make the message that opens a response."""
    return {"type": "http.response.start", "status": status, "headers": list(headers.items())}


def body(data: bytes, *, more: bool = True) -> Message:
    """Make a message with a part of the body; the last one says that there is no more."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def problem(error: ErrorInfo, headers: Mapping[bytes, bytes], *, head: bool = False) -> tuple[Message, Message]:
    """Make the two messages of an HTTP error with a problem body (RFC 9457), which the answer to a HEAD leaves out."""
    said = {
        "type": "about:blank",
        "title": _phrase(error.status),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "error_id": error.error_id,
    }
    opening = start(error.status, {**_advice(error.status), **headers, b"content-type": b"application/problem+json"})
    return opening, body(b"" if head else to_utf8(encode_json(said)), more=False)


def _advice(status: int) -> Mapping[bytes, bytes]:
    """Tell clients whether to ask again: the model SDKs repeat a 409 three times unless they are told not to."""
    return {409: {b"x-should-retry": b"false"}, 503: {b"retry-after": b"1"}}.get(status, {})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
