"""Headers and messages: what a server gets to send."""

import json
from http import HTTPStatus
from typing import Any

import pytest

from sse_relay import ErrorInfo
from sse_relay.adapters.messages import body, http_status, problem, start, stream_headers
from sse_relay.dialects import Native
from tests.adapters.servers import TwoParts


def test_a_stream_is_neither_cached_nor_buffered() -> None:
    """The headers are those that proxies need, and no `Connection`: the server's to say."""
    assert stream_headers(Native(), {}) == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-store",
        b"x-accel-buffering": b"no",
    }


def test_later_headers_replace_earlier_ones_in_any_case() -> None:
    """The application's header replaces the dialect's, and the dialect's ours, whatever the case of their names."""
    headers = stream_headers(TwoParts(), {"Cache-Control": "no-cache", "x-two-parts": "v2", "X-Own": "caf\xe9"})
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"x-two-parts"] == b"v2"
    assert headers[b"x-own"] == b"caf\xe9"
    assert stream_headers(TwoParts(), {})[b"x-two-parts"] == b"v1"
    assert all(name == name.lower() for name in headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "1\r\nset-cookie: admin=1"),
        ("x-a", "1\nset-cookie: admin=1"),
        ("x-a", "1\n"),
        ("x-a", "1\0"),
        ("x-a", "\N{SNOWMAN}"),
        ("x-a\r\nset-cookie", "1"),
        ("x-a\n", "1"),
        ("x a", "1"),
        ("x-a:", "1"),
        ("x-\N{SNOWMAN}", "1"),
        ("", "1"),
    ],
)
def test_a_header_cannot_bring_another(name: str, value: str) -> None:
    """A line break, a control character or what is no token is refused, and the message says which header."""
    with pytest.raises(ValueError, match=r"invalid header .* control characters"):
        stream_headers(Native(), {name: value})


@pytest.mark.parametrize("headers", [{"x-a": 1}, {"x-a": b"1"}, {b"x-a": "1"}, {"x-a": None}])
def test_a_header_is_text(headers: dict[Any, Any]) -> None:
    """A header that is no text is a TypeError, and not one from inside the library."""
    with pytest.raises(TypeError, match="a header must be str: str"):
        stream_headers(Native(), headers)


@pytest.mark.parametrize("status", [0, 100, 199, 600, -200])
def test_a_status_is_final(status: int) -> None:
    """A status that ends no response is refused."""
    with pytest.raises(ValueError, match="200 to 599"):
        http_status(status)


@pytest.mark.parametrize("status", ["200", 200.0, None, True])
def test_a_status_is_an_int(status: Any) -> None:
    """A status that is no int is refused."""
    with pytest.raises(TypeError, match="must be an int"):
        http_status(status)


def test_a_status_may_be_named() -> None:
    """`HTTPStatus.CREATED` is an int."""
    assert http_status(HTTPStatus.CREATED) == 201


def test_a_body_says_whether_more_comes() -> None:
    """A part of the body has more after it, unless it is the last."""
    assert body(b"x") == {"type": "http.response.body", "body": b"x", "more_body": True}
    assert body(b"", more=False) == {"type": "http.response.body", "body": b"", "more_body": False}
    assert start(201, {b"a": b"b"}) == {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]}


@pytest.mark.parametrize(
    ("status", "title"), [(429, "Too Many Requests"), (500, "Internal Server Error"), (599, "Error")]
)
def test_a_problem_tells_what_clients_may_learn(status: int, title: str) -> None:
    """An error is a problem body of the catalog's words, under its status (I13)."""
    error = ErrorInfo("too_fast", "Slow \N{SNOWMAN} down.", "id1", status)
    opening, said = problem(error, {b"content-type": b"text/event-stream", b"x-own": b"1"})
    assert opening["status"] == status
    assert dict(opening["headers"]) == {b"content-type": b"application/problem+json", b"x-own": b"1"}
    assert not said["more_body"]
    assert json.loads(said["body"]) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "Slow \N{SNOWMAN} down.",
        "code": "too_fast",
        "error_id": "id1",
    }


@pytest.mark.parametrize(
    ("status", "advice"), [(409, {b"x-should-retry": b"false"}), (503, {b"retry-after": b"1"}), (410, {}), (500, {})]
)
def test_a_problem_says_whether_to_ask_again(status: int, advice: dict[bytes, bytes]) -> None:
    """409 is not to be repeated, 503 in a second, unless the application's headers say otherwise."""
    error = ErrorInfo("code", "Sentence.", None, status)
    opening, _ = problem(error, {})
    assert dict(opening["headers"]) == {b"content-type": b"application/problem+json", **advice}
    for name in advice:
        opening, _ = problem(error, {name: b"own"})
        assert dict(opening["headers"])[name] == b"own"


def test_a_problem_has_no_body_for_a_head() -> None:
    """The answer to a HEAD has the same headers and no body."""
    error = ErrorInfo("code", "Sentence.", None, 404)
    assert problem(error, {}, head=True) == (problem(error, {})[0], body(b"", more=False))


def test_a_problem_may_say_anything() -> None:
    """A sentence with half a character is sent all the same."""
    _, said = problem(ErrorInfo("code", "\ud83d", None, 404), {})
    assert json.loads(said["body"])["detail"] == "\ufffd"
