"""
What the head of an answer means. Sans-I/O.

========================  =====================================================================
200 and an event stream   read it
204                       the stream has ended
408 425 429 502 503 504   `ServerBusyError`: asked again, unless ``x-should-retry`` says ``false``
404, 410                  `RunNotFoundError`, `RunExpiredError`
409 ``cursor_mismatch``   `CursorMismatchError`
400 ``invalid_cursor``    `InvalidCursorError`
anything else             `ResponseRefusedError`, as for EventSource: also 200 with other content
========================  =====================================================================
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from sse_relay.exceptions import (
    CursorMismatchError,
    InvalidCursorError,
    ResponseRefusedError,
    RunExpiredError,
    RunNotFoundError,
    ServerBusyError,
    SSERelayError,
)

__all__ = ["Answer", "opens_stream", "refusal"]

_BUSY = frozenset({408, 425, 429, 502, 503, 504})
_RUN = re.compile(r"/runs/([^/]+)(?:/events|/stream)?/?$")


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A response that is no stream.

    Attributes:
        url: What was asked for.
        status: The HTTP status.
        headers: The headers, by any spelling of their names.
        body: The beginning of the body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def opens_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether a response is an event stream."""
    return status == 200 and _media_type(headers) == "text/event-stream"


def refusal(answer: Answer, *, place: str | None, resumed: bool) -> SSERelayError:
    """
    Tell what an answer without a stream means.

    Args:
        answer: It.
        place: The id that the request named; None: none.
        resumed: Whether that id was seen in this very stream.
    """
    code, detail = _problem(answer)
    match answer.status, code:
        case 404, _:
            return RunNotFoundError(_run_id(answer.url))
        case 410, _:
            return RunExpiredError(_run_id(answer.url))
        case 409, "cursor_mismatch":  # a log that has given out an epoch has had it
            return CursorMismatchError(place, "rolled_back" if resumed else "foreign")
        case 400, "invalid_cursor":
            return InvalidCursorError(place)
        case status, _ if status in _BUSY and answer.headers.get("x-should-retry") != "false":
            return ServerBusyError(answer.url, status, code, detail, retry_after=_retry_after(answer.headers))
        case status, _:
            if status == 200:
                shown = _media_type(answer.headers) or "no content type"
                code, detail = "no_event_stream", f"{shown:.80} is not text/event-stream"
            return ResponseRefusedError(answer.url, status, code, detail)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _run_id(url: str) -> str:
    found = _RUN.search(urlsplit(url).path)
    return unquote(found[1]) if found else url


def _problem(answer: Answer) -> tuple[str | None, str | None]:
    """Read a problem body (RFC 9457), or the ``error`` object that model providers answer with."""
    try:
        said: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None, None
    if isinstance(said, dict) and isinstance(inner := cast("dict[str, Any]", said).get("error"), dict):
        said = cast("dict[str, Any]", inner)
    if not isinstance(said, dict):
        return None, None
    fields = cast("dict[str, Any]", said)
    return _text(fields.get("code")), _text(fields.get("detail") or fields.get("message"))


def _text(value: object) -> str | None:
    return value[:500] if isinstance(value, str) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read seconds, or a date: by the server's own clock, which the answer tells."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        seconds = (parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(seconds, 0.0)
