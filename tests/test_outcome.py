"""How a stream ended is one of five words, and what a client learns of an exception is what was registered for it."""

import asyncio
import logging
import re
from typing import Any, get_args

import pytest
from hypothesis import given

from sse_relay import ErrorCatalog, ErrorInfo, Outcome
from sse_relay.dialects import Native, RenderContext
from sse_relay.dialects.protocol import render_end
from sse_relay.exceptions import (
    EventTooLargeError,
    IdleTimeoutError,
    InvalidCursorError,
    InvalidEventError,
    RunNotFoundError,
    SSERelayError,
    StoreUnavailableError,
    StreamCancelledError,
    StreamIncompleteError,
)
from sse_relay.outcome import Status
from tests.properties import examples, hostile_text

SECRET = "postgres://user:hunter2@db"


class LLMError(Exception):
    """The root of a provider's errors, as its users know it: `acme.LLMError`, from a private module."""

    __module__ = "acme._errors"


class LLMRateLimitError(LLMError):
    """Too many requests."""

    __module__ = "acme._errors"


class LLMAuthenticationError(LLMError):
    """A wrong key."""

    __module__ = "acme._errors"


class LLMEmptyResponseError(LLMError):
    """An answer without any text."""

    __module__ = "acme._errors"


def visible(outcome: Outcome) -> bytes:
    """Render an outcome as a client sees it."""
    return b"".join([event.encode() for event in render_end(Native().renderer(RenderContext()), outcome)])


# --- Outcome


def test_the_five_words() -> None:
    """An outcome has one of five final statuses; `running` and anything else is refused, with the choice."""
    assert set(get_args(Status)) == {"completed", "failed", "cancelled", "lost", "timed_out"}
    for status in get_args(Status):
        assert Outcome(status) == Outcome(status, None, None)
    wrong: list[Any] = ["running", "Completed", "", None]
    for status in wrong:
        with pytest.raises(ValueError, match="use one of cancelled, completed, failed, lost, timed_out"):
            Outcome(status)


def test_an_outcome_cannot_be_changed() -> None:
    """An outcome is a value: the last word on a stream is not edited afterwards."""
    outcome: Any = Outcome("failed", "error", ErrorInfo("code", "message"))
    assert outcome == Outcome("failed", "error", ErrorInfo("code", "message", None, 500))
    assert hash(outcome) == hash(Outcome("failed", "error", ErrorInfo("code", "message")))
    for changed, field in ((outcome, "status"), (outcome.error, "message")):
        with pytest.raises(AttributeError):
            setattr(changed, field, "other")


def test_a_reason_is_filled_in_only_where_none_was_stated() -> None:
    """The reason that a dialect stated ahead of its terminal counts, unless the terminal has one itself."""
    assert Outcome("completed").because("stop") == Outcome("completed", "stop")
    assert Outcome("completed", "length").because("stop") == Outcome("completed", "length")
    assert Outcome("completed").because(None) == Outcome("completed")
    assert Outcome("completed").because("") == Outcome("completed", "")


# --- ErrorCatalog: finding the entry


def test_registered_by_type() -> None:
    """An exception gets the code, message, status and stop reason of its type, and a fresh error id of 128 bits."""
    catalog = ErrorCatalog()
    catalog.register(TimeoutError, "llm_timeout", "The model took too long.", status=504, reason="llm_api_error")
    outcome = catalog.outcome_of(TimeoutError(SECRET))
    assert (outcome.status, outcome.reason) == ("failed", "llm_api_error")
    assert outcome.error is not None
    assert outcome.error == ErrorInfo("llm_timeout", "The model took too long.", outcome.error.error_id, 504)
    ids = [catalog.resolve(TimeoutError()).error_id or "" for _ in range(3)]
    assert len({*ids, outcome.error.error_id}) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", error_id) for error_id in ids)


def test_registered_by_name() -> None:
    """A name is as good as the type: in full, or with the package alone, and nothing is imported for it."""
    for name in ("acme._errors.LLMError", "acme.LLMError"):
        catalog = ErrorCatalog()
        catalog.register(name, "llm_error", "The model failed.")
        assert catalog.resolve(LLMError()).code == "llm_error"
        assert catalog.resolve(LLMRateLimitError()).code == "llm_error"
        assert catalog.resolve(ValueError()).code == "internal_error"
    catalog = ErrorCatalog()
    catalog.register("no_such_package.Missing", "missing", "Never.")
    for near in ("acme.errors.LLMError", "_errors.LLMError", "acme.llmerror", "acme._errors.LLM"):
        catalog.register(near, "wrong", "Never.")
    assert catalog.resolve(LLMError()).code == "internal_error"


def test_registered_by_name_nested_and_builtin() -> None:
    """A nested class goes by its qualified name, a built-in one by `builtins.`."""

    class Local(Exception):  # noqa: N818
        pass

    catalog = ErrorCatalog()
    catalog.register(f"{__name__}.{Local.__qualname__}", "local", "Local.")
    catalog.register("builtins.ValueError", "value", "Value.")
    assert catalog.resolve(Local()).code == "local"
    assert catalog.resolve(UnicodeError()).code == "value"


def test_the_nearest_class_decides() -> None:
    """The first class of the method resolution order that is registered decides, whatever the order of the calls."""

    class BothError(LLMRateLimitError, ValueError):
        pass

    calls: list[tuple[type[BaseException] | str, str]] = [
        (ValueError, "value"),
        ("acme.LLMError", "llm"),
        (Exception, "any"),
    ]
    for order in (calls, calls[::-1]):
        catalog = ErrorCatalog()
        for kind, code in order:
            catalog.register(kind, code, "…")
        assert catalog.resolve(BothError()).code == "llm"
        assert catalog.resolve(ValueError()).code == "value"
        assert catalog.resolve(KeyError()).code == "any"
        assert catalog.resolve(KeyboardInterrupt()).code == "internal_error"


def test_a_later_call_replaces_an_earlier_one() -> None:
    """The last registration of a class counts, by type or by either of its names, over a built-in entry too."""
    kinds: list[type[BaseException] | str] = [
        IdleTimeoutError,
        "sse_relay.IdleTimeoutError",
        "sse_relay.exceptions.IdleTimeoutError",
        IdleTimeoutError,
    ]
    catalog = ErrorCatalog()
    for number, kind in enumerate(kinds):
        catalog.register(kind, f"code_{number}", "…")
        assert catalog.resolve(IdleTimeoutError(1)).code == f"code_{number}"
    assert ErrorCatalog().resolve(IdleTimeoutError(1)).code == "idle_timeout"  # catalogs share nothing


def test_what_cannot_be_registered() -> None:
    """A name without its package, what is no exception, and a status that is no error are refused, and say why."""
    catalog = ErrorCatalog()
    for name in ("TimeoutError", "", ".TimeoutError", "acme."):
        with pytest.raises(ValueError, match=r"use 'package\.Name'"):
            catalog.register(name, "code", "…")
    wrong: list[Any] = [int, 5, None, ValueError()]
    for kind in wrong:
        with pytest.raises(TypeError, match=r"pass the class, or its name as 'package\.Name'"):
            catalog.register(kind, "code", "…")
    for status in (200, 302, 399, 600, -1):
        with pytest.raises(ValueError, match="use 400 to 599"):
            catalog.register(ValueError, "code", "…", status=status)
    assert catalog.resolve(ValueError()).code == "internal_error"


def test_the_classes_of_errors_of_a_streaming_service() -> None:
    """Seed row G6: timeout, rate limit, authentication, empty response, other provider errors, and anything else."""
    catalog = ErrorCatalog()
    api = "llm_api_error"
    catalog.register(TimeoutError, "llm_timeout", "The model took too long.", status=504, reason=api)
    catalog.register("acme.LLMError", "llm_error", "The model failed.", status=502, reason=api)
    catalog.register("acme.LLMRateLimitError", "llm_rate_limit", "The model is busy.", status=429, reason=api)
    catalog.register("acme.LLMAuthenticationError", "llm_authentication", "Wrong key.", status=401, reason=api)
    catalog.register(
        "acme.LLMEmptyResponseError", "llm_empty_response", "No answer.", status=502, reason="invalid_llm_response"
    )

    class LLMOverloadedError(LLMError):
        __module__ = "acme._errors"

    found = {
        type(exc).__name__: (
            outcome.reason,
            outcome.error and outcome.error.code,
            outcome.error and outcome.error.status,
        )
        for exc in (
            asyncio.TimeoutError(),  # noqa: UP041 - the old name of the same class
            LLMRateLimitError(),
            LLMAuthenticationError(),
            LLMEmptyResponseError(),
            LLMOverloadedError(),
            KeyError(),
        )
        if (outcome := catalog.outcome_of(exc)).status == "failed"
    }
    assert found == {
        "TimeoutError": (api, "llm_timeout", 504),
        "LLMRateLimitError": (api, "llm_rate_limit", 429),
        "LLMAuthenticationError": (api, "llm_authentication", 401),
        "LLMEmptyResponseError": ("invalid_llm_response", "llm_empty_response", 502),
        "LLMOverloadedError": (api, "llm_error", 502),
        "KeyError": ("error", "internal_error", 500),
    }


# --- ErrorCatalog: what is built in


@pytest.mark.parametrize(
    ("exc", "status", "reason", "code", "http_status"),
    [
        (EventTooLargeError(10), "failed", "error", "event_too_large", 502),
        (IdleTimeoutError(5), "timed_out", "idle_timeout", "idle_timeout", 504),
        (InvalidEventError("id", SECRET, SECRET), "failed", "error", "invalid_event", 500),
        (StreamIncompleteError("native"), "failed", "error", "stream_incomplete", 502),
        (asyncio.CancelledError(SECRET), "failed", "error", "task_cancelled", 500),
        (RunNotFoundError(SECRET), "failed", "error", "run_not_found", 404),
        (TimeoutError(SECRET), "failed", "error", "internal_error", 500),
        (SystemExit(SECRET), "failed", "error", "internal_error", 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_is_built_in(exc: BaseException, status: str, reason: str, code: str, http_status: int) -> None:
    """The library's own errors have codes; a cancellation that nobody asked for is a failure."""
    outcome = ErrorCatalog().outcome_of(exc)
    assert outcome.error is not None
    found = (outcome.status, outcome.reason, outcome.error.code, outcome.error.status)
    assert found == (status, reason, code, http_status)
    assert SECRET not in repr(outcome)


def test_a_cancellation_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Seed defect 3: who asked for the end gets `cancelled` with the reason, no error, and nothing is logged."""
    catalog = ErrorCatalog()
    catalog.register(Exception, "any", "Something failed.")
    catalog.register(StreamCancelledError, "cancelled", "Stopped.")

    class StoppedError(StreamCancelledError):
        pass

    assert catalog.outcome_of(StreamCancelledError("user")) == Outcome("cancelled", "user", None)
    assert catalog.outcome_of(StoppedError()) == Outcome("cancelled", "cancelled", None)
    assert not caplog.records


def test_a_timeout_stays_a_timeout() -> None:
    """Registering an idle timeout under another code changes what is said, not that the stream timed out."""
    catalog = ErrorCatalog()
    catalog.register(IdleTimeoutError, "too_slow", "Too slow.", status=503)
    outcome = catalog.outcome_of(IdleTimeoutError(1))
    assert (outcome.status, outcome.error and outcome.error.code) == ("timed_out", "too_slow")


# --- ErrorCatalog: what a client learns (I13)


def test_the_unknown_is_internal_and_its_detail_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """I13: an unknown exception has a generic message; the log has all of it, with a traceback, under the error id."""
    with pytest.raises(LLMError) as raised:
        raise LLMError(SECRET)
    info = ErrorCatalog().resolve(raised.value)
    assert info == ErrorInfo("internal_error", "An internal error occurred.", info.error_id, 500)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("sse_relay", logging.ERROR)
    assert f"error_id={info.error_id}" in record.getMessage()
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("exc", [LLMError(SECRET), StoreUnavailableError(SECRET)], ids=lambda exc: type(exc).__name__)
def test_the_known_is_one_line_in_the_log(exc: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What is registered, or an error of the library, is expected: one line under its error id, no traceback."""
    catalog = ErrorCatalog()
    catalog.register(LLMError, "llm_error", "The model failed.")
    info = catalog.resolve(exc)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert f"error_id={info.error_id}" in record.getMessage()
    assert SECRET in record.getMessage()
    assert "\n" not in record.getMessage()


EXCEPTIONS: list[type[Exception]] = [
    *(ValueError, KeyError, OSError, RuntimeError, LLMError, LLMRateLimitError, SSERelayError),
    *(InvalidCursorError, RunNotFoundError, StoreUnavailableError),
]


@examples(100)
@given(hostile_text())
def test_no_word_of_an_exception_reaches_a_client(text: str) -> None:
    """I13: whatever an exception says, what a client sees is the same but for the error id."""
    catalog = ErrorCatalog()
    catalog.register(LLMError, "llm_error", "The model failed.", reason="llm_api_error")
    for cls in EXCEPTIONS:
        seen = set()
        for words in (text, SECRET):
            exc = cls(words)
            exc.__cause__ = ValueError(words)
            exc.add_note(words)
            outcome = catalog.outcome_of(exc)
            assert outcome.error is not None
            error_id = outcome.error.error_id or ""
            seen.add((repr(outcome).replace(error_id, ""), visible(outcome).replace(error_id.encode(), b"")))
        assert len(seen) == 1
        assert SECRET.encode() not in seen.pop()[1]


def test_an_application_may_opt_in_to_detail() -> None:
    """I13: a callable message gets the exception, and what it returns is shown: the application's own choice."""
    catalog = ErrorCatalog()
    catalog.register(ValueError, "bad_request", lambda exc: f"Bad request: {exc}", status=422)
    catalog.register(LLMRateLimitError, "busy", str)
    assert catalog.resolve(ValueError("no messages")).message == "Bad request: no messages"
    assert b"wait 3 s" in visible(catalog.outcome_of(LLMRateLimitError("wait 3 s")))


def test_a_message_that_fails_is_generic(caplog: pytest.LogCaptureFixture) -> None:
    """A callable message that raises, or returns no text, never breaks the end of a stream and shows nothing."""

    def raises(exc: BaseException) -> str:
        raise RuntimeError(f"{SECRET} {exc}")

    def is_no_text(exc: BaseException) -> Any:
        return {"detail": str(exc)}

    for message in (raises, is_no_text):
        caplog.clear()
        catalog = ErrorCatalog()
        catalog.register(ValueError, "bad", message)
        outcome = catalog.outcome_of(ValueError(SECRET))
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.message) == ("bad", "An error occurred.")
        assert SECRET.encode() not in visible(outcome)
        assert "the message of error code bad could not be made" in caplog.text
