"""What clients send: read, bounded, and refused in words."""

import asyncio
import json

import pytest

from sse_relay.adapters.messages import Message, Scope
from sse_relay.demo.requests import (
    BODY_TIMEOUT,
    MAX_BODY,
    MAX_PROMPT,
    Question,
    RefusedError,
    read_question,
    require,
    require_json,
)
from sse_relay.testing import run_virtual

JSON = "application/json"


def scope(content_type: str | None = JSON, method: str = "POST") -> Scope:
    """Make the scope of a request."""
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    return {"type": "http", "method": method, "headers": headers}


async def read(*messages: Message, content_type: str | None = JSON) -> Question:
    """Read a question from what a server passes on; then it passes on nothing more."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else await asyncio.get_running_loop().create_future()

    return await read_question(scope(content_type), receive)


def part(content: bytes, *, more: bool = False) -> Message:
    """Make a message with a part of a request's body."""
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_question_is_read_in_parts() -> None:
    """A body may come in any parts; the mode is `normal` unless it says otherwise."""
    content = b'{"prompt": "Why?"}'
    parts = [part(content[at : at + 1], more=True) for at in range(len(content))]
    question = run_virtual(read(*parts, {"type": "http.request"}, content_type="Application/JSON; charset=utf-8"))
    assert question == Question(prompt="Why?", mode="normal")
    assert run_virtual(read(part(b'{"prompt": "x", "mode": "hang"}'))).mode == "hang"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"prompt": ""}',
        b'{"prompt": 7}',
        b'{"mode": "normal"}',
        b'{"prompt": "x", "mode": "explode"}',
        b'{"prompt": "x", "more": 1}',
        json.dumps({"prompt": "x" * (MAX_PROMPT + 1)}).encode(),
    ],
    ids=lambda content: repr(content[:30]),
)
def test_bad_questions(content: bytes) -> None:
    """A body that is not a question is a 400 that says what is wrong, and repeats nothing of it."""
    with pytest.raises(RefusedError) as caught:
        run_virtual(read(part(content)))
    assert (caught.value.error.status, caught.value.error.code) == (400, "invalid_request")
    assert "explode" not in caught.value.error.message


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp", "application/x-www-form-urlencoded"])
def test_only_json_is_taken(content_type: str | None) -> None:
    """A form of another site can start nothing: only JSON is taken, for which a browser asks first."""
    with pytest.raises(RefusedError) as caught:
        run_virtual(read(part(b'{"prompt": "x"}'), content_type=content_type))
    assert caught.value.error.status == 415
    with pytest.raises(RefusedError):
        require_json(scope(content_type))


@pytest.mark.parametrize(
    ("messages", "status", "after"),
    [
        ([part(b" " * MAX_BODY, more=True), part(b" ", more=True)], 413, 0),
        ([part(b"{", more=True)], 408, BODY_TIMEOUT),
        ([part(b"{", more=True), {"type": "http.disconnect"}], 400, 0),
    ],
    ids=["large", "slow", "cut"],
)
def test_the_body_is_bounded(messages: list[Message], status: int, after: float) -> None:
    """A body that is too large, too slow or cut off is refused, and the app does not wait for more."""

    async def main() -> float:
        with pytest.raises(RefusedError) as caught:
            await read(*messages)
        assert caught.value.error.status == status
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == after


def test_a_method_is_required() -> None:
    """A method that is not among those is a 405, with those in a header."""
    require(scope(method="HEAD"), "GET", "HEAD")
    with pytest.raises(RefusedError) as caught:
        require(scope(method="PUT"), "GET", "HEAD")
    assert caught.value.error.status == 405
    assert caught.value.headers == {"allow": "GET, HEAD"}
