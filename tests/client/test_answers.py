"""What the head of an answer means."""

import json

import pytest

from sse_relay import CursorMismatchError, InvalidCursorError, RunExpiredError, RunNotFoundError, SSERelayError
from sse_relay.client import ResponseRefusedError, ServerBusyError
from sse_relay.client.answers import Answer, opens_stream, refusal

CURSOR = "0123456789abcdef:7"
DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


def refused(status: int, body: object = None, *, resumed: bool = False, **headers: str) -> SSERelayError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = "http://peer/relay/runs/r%201/events?after=1"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(Answer(url, status, named, content), place=CURSOR, resumed=resumed)


def test_what_opens_a_stream() -> None:
    """WHATWG: 200 with the media type of an event stream, whatever its case and parameters, and nothing else."""
    assert opens_stream(200, {"content-type": "Text/Event-Stream; charset=utf-8"})
    for status, kind in [(200, "text/html"), (200, ""), (206, "text/event-stream"), (500, "text/event-stream")]:
        assert not opens_stream(status, {"content-type": kind})
    assert not opens_stream(200, {})


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_a_busy_server(status: int) -> None:
    """I2: what may be over soon is asked again, unless the server says not to."""
    error = refused(status, retry_after="7")
    assert isinstance(error, ServerBusyError)
    assert (error.status, error.retry_after) == (status, 7.0)
    assert not isinstance(refused(status, x_should_retry="false"), ServerBusyError)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("Sat, 21 Nov 2026 10:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("9" * 5000, 999_999_999.0),
        ("-1", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    """I2: Retry-After is seconds, or a date by the server's own clock; anything else says nothing."""
    error = refused(503, retry_after=said, date=DATE)
    assert isinstance(error, ServerBusyError)
    assert error.retry_after == seconds


def test_a_date_without_the_servers_clock() -> None:
    """I2: a Retry-After date says nothing where the answer has no date of its own."""
    error = refused(503, retry_after=DATE)
    assert isinstance(error, ServerBusyError)
    assert error.retry_after is None


def test_typed_refusals() -> None:
    """I7, I11: each row of the cursor table comes back as the error that it was."""
    expired, missing = refused(410), refused(404)
    assert isinstance(expired, RunExpiredError)
    assert isinstance(missing, RunNotFoundError)
    assert (expired.run_id, missing.run_id) == ("r 1", "r 1")
    foreign, rolled_back = (refused(409, {"code": "cursor_mismatch"}, resumed=resumed) for resumed in (False, True))
    assert isinstance(foreign, CursorMismatchError)
    assert isinstance(rolled_back, CursorMismatchError)
    assert (foreign.kind, rolled_back.kind, foreign.cursor) == ("foreign", "rolled_back", CURSOR)
    assert isinstance(refused(400, {"code": "invalid_cursor"}), InvalidCursorError)


@pytest.mark.parametrize("status", [201, 206, 301, 304, 400, 401, 403, 405, 409, 500, 501])
def test_any_other_answer(status: int) -> None:
    """WHATWG: what is neither a stream nor known fails for good, with what the body says."""
    error = refused(status, {"code": "run_conflict", "detail": "There is one."})
    assert type(error) is ResponseRefusedError
    assert (error.status, error.code, error.detail) == (status, "run_conflict", "There is one.")


def test_other_content() -> None:
    """WHATWG: 200 with other content is no stream; the error says what it is."""
    error = refused(200, b"<html>", content_type="text/html")
    assert type(error) is ResponseRefusedError
    assert (error.code, error.detail) == ("no_event_stream", "text/html is not text/event-stream")


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b'{"code":1}', b"[" * 60_000, b'{"error":[]}', b"null"])
def test_hostile_bodies(body: bytes) -> None:
    """L6: a body that says nothing changes nothing."""
    error = refused(403, body)
    assert isinstance(error, ResponseRefusedError)
    assert (error.code, error.detail) == (None, None)


def test_a_model_providers_error() -> None:
    """I7: the error object of model providers is read, too, and cut to a length for a log."""
    error = refused(401, {"error": {"code": "invalid_api_key", "message": "No." * 1000}})
    assert isinstance(error, ResponseRefusedError)
    assert error.code == "invalid_api_key"
    assert len(error.detail or "") == 500
