"""
Events → bytes, by the WHATWG event stream format.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

A *frame* is what a log stores of an event: its ``event:`` and ``data:`` lines and the blank line. What belongs to
one connection (``id:``, ``retry:``, comments) is put in front of it, so that a replay prefixes ids and concatenates.
"""

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sse_relay.exceptions import InvalidEventError

if TYPE_CHECKING:
    from sse_relay.wire.event import ServerSentEvent

__all__ = ["MAX_RETRY", "encode", "encode_json", "frame", "require_encodable", "to_utf8"]

# A line break would let a value write lines of its own; a reader ignores an id with NUL (§9.2.6).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_RETRY = 10**12 - 1
"""The longest reconnection time that is written or read, in milliseconds; longer is hostile."""


def to_utf8(text: str) -> bytes:
    """Encode text as the wire does: a lone surrogate, which is half a character, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _without_lone_surrogates(text)


def frame(event: "ServerSentEvent") -> bytes:
    """
    Encode the lines of an event that do not depend on the connection.

    Raises:
        InvalidEventError: The event's name has a control character.
    """
    return to_utf8(_frame(event))


def encode(event: "ServerSentEvent") -> bytes:
    """
    Encode a whole event: comment, ``retry``, ``id``, then its frame.

    A pure comment is one line without a blank one: it waits in front of the next event, and no client dispatches an
    empty event for it.

    Raises:
        InvalidEventError: The event's name or id has a control character.
    """
    if (head := event._head) is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        text = f"{head}{event.data}\n\n"
    elif (
        (data := event.data) is None
        or "\n" in data
        or "\r" in data
        or event.retry is not None
        or event.comment is not None
    ):
        require_encodable(event)
        text = _of_connection(event, _frame(event))
    elif (event_id := event.id) is None:
        if (name := event.event) is None:
            text = f"data: {data}\n\n"
        else:
            if not name.isprintable():
                _refuse_controls("event", name)
            text = f"event: {name}\ndata: {data}\n\n"
    else:
        if not event_id.isprintable():
            require_encodable(event)
        if (name := event.event) is None:
            text = f"id: {event_id}\ndata: {data}\n\n"
        else:
            if not name.isprintable():
                _refuse_controls("event", name)
            text = f"id: {event_id}\nevent: {name}\ndata: {data}\n\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _without_lone_surrogates(text)


def require_encodable(event: "ServerSentEvent") -> None:
    """
    Raise what `encode` would, without encoding.

    Raises:
        InvalidEventError: As `encode`.
    """
    if (name := event.event) is not None and not name.isprintable():
        _refuse_controls("event", name)
    if (event_id := event.id) is not None and not event_id.isprintable():
        _refuse_controls("id", event_id)


def encode_json(obj: object) -> str:
    """
    Write JSON as compactly as a browser would; pydantic models and dataclasses as pydantic does, by alias.

    Raises:
        InvalidEventError: Something in `obj` is not JSON: NaN, infinities, unknown types, cycles, a nesting too deep.
    """
    try:
        return _json_encode(obj)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"is not JSON ({error}); pass dicts, lists, strings, finite numbers, pydantic models or dataclasses"
        raise InvalidEventError("data", type(obj).__name__, problem) from error


def _frame(event: "ServerSentEvent") -> str:
    if (head := event._head) is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return f"{head}{event.data}\n\n"
    data = event.data
    if data is None:
        body = "\n"
    elif "\n" in data or "\r" in data:
        body = "".join([f"data: {line}\n" for line in _lines(data)]) + "\n"
    else:
        body = f"data: {data}\n\n"
    if (name := event.event) is None:
        return body
    if not name.isprintable():
        _refuse_controls("event", name)
    return f"event: {name}\n{body}"


def _lines(text: str) -> list[str]:
    # CR, LF and CRLF only: str.splitlines also splits at U+2028, U+0085 and others, which are data here.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _refuse_controls(field: str, value: str) -> None:
    if (found := _CONTROL.search(value)) is not None:
        raise InvalidEventError(field, value, f"must not contain the control character {found[0]!r}; remove it")


def _of_connection(event: "ServerSentEvent", text: str) -> str:
    if event.id is not None:
        text = f"id: {event.id}\n{text}"
    if event.retry is not None:
        text = f"retry: {event.retry}\n{text}"
    if event.comment is not None:
        comment = "".join([f": {line}\n" if line else ":\n" for line in _lines(event.comment)])
        text = comment if text == "\n" else comment + text
    return text


def _without_lone_surrogates(text: str) -> bytes:
    # Half a surrogate pair is not text; a pair in two halves is the character that it stands for.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _plain(obj: object) -> Any:  # noqa: ANN401 - what json.JSONEncoder expects
    return _to_jsonable()(obj)


@lru_cache(maxsize=1)
def _to_jsonable() -> Any:  # noqa: ANN401 - pydantic is imported by the first model or dataclass only
    from pydantic_core import to_jsonable_python  # noqa: PLC0415

    return to_jsonable_python


_json_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
