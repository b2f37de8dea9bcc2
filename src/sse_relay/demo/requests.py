"""What clients send, and how it is refused."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sse_relay import ErrorInfo
from sse_relay.adapters.messages import Receive, Scope
from sse_relay.demo.modes import Mode

__all__ = [
    "BODY_TIMEOUT",
    "MAX_BODY",
    "MAX_PROMPT",
    "Question",
    "RefusedError",
    "read_question",
    "require",
    "require_json",
]

MAX_BODY = 64 * 1024
MAX_PROMPT = 4000
BODY_TIMEOUT = 10.0


class Question(BaseModel):
    """What a client asks."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    mode: Mode = "normal"


class RefusedError(Exception):
    """
    A request is answered with a problem body.

    Attributes:
        error: What the client learns.
        headers: What goes with it.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(status, code, detail)
        self.error: ErrorInfo = ErrorInfo(code, detail, None, status)
        self.headers: Mapping[str, str] = headers


def require(scope: Scope, *methods: str) -> None:
    """
    Take these methods only.

    Raises:
        RefusedError: It is another one: 405.
    """
    if scope["method"] not in methods:
        allowed = ", ".join(methods)
        raise RefusedError(405, "method_not_allowed", f"This takes {allowed}.", {"allow": allowed})


def require_json(scope: Scope) -> None:
    """
    Take JSON only: another site's page can send forms and text to here, but JSON only if we said that it may.

    Raises:
        RefusedError: It is something else: 415.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise RefusedError(415, "unsupported_media_type", "Send this as application/json.")


async def read_question(scope: Scope, receive: Receive) -> Question:
    """
    Read what a client asks.

    Raises:
        RefusedError: It is no question, or does not come to its end: 400, 408, 413, 415.
    """
    require_json(scope)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            question = await _read(receive)
    except TimeoutError:
        raise RefusedError(408, "request_timeout", "The request did not come to its end.") from None
    try:
        return Question.model_validate_json(question)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise RefusedError(400, "invalid_request", f"{where}: {first['msg']}") from None


async def _read(receive: Receive) -> bytes:
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "incomplete_request", "The request did not come to its end.")
        content += message.get("body", b"")
        if len(content) > MAX_BODY:
            raise RefusedError(413, "request_too_large", f"A question has {MAX_BODY} bytes at most.")
        more = message.get("more_body", False)
    return content
