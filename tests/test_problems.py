"""What clients learn of a provider's failures."""

import importlib

import pytest

from sse_relay import ErrorCatalog
from sse_relay.problems import EXCEPTIONS, problem_of


@pytest.mark.parametrize("package", ["openai", "anthropic", "httpx2"])
def test_every_exception_that_is_named_exists(package: str) -> None:
    """A name that nobody has would be a promise to nobody; those of one family may be lacking in the other."""
    module = importlib.import_module(package)
    named = [name.partition(".")[2] for name in EXCEPTIONS if name.partition(".")[0] == package]
    lacking = {name for name in named if not hasattr(module, name)}
    only_anthropic = {"OverloadedError", "ServiceUnavailableError", "DeadlineExceededError", "RequestTooLargeError"}
    assert lacking <= only_anthropic


def exception(package: str, name: str, **fields: object) -> Exception:
    """Make an exception of an SDK without its constructor, which wants a response."""
    cls = getattr(importlib.import_module(package), name)
    error: Exception = cls.__new__(cls)
    for field, value in fields.items():
        setattr(error, field, value)
    return error


@pytest.mark.parametrize(
    ("package", "name", "fields", "code", "status"),
    [
        ("openai", "APITimeoutError", {}, "llm_timeout", 504),
        ("openai", "APIConnectionError", {}, "llm_connection", 502),
        ("openai", "RateLimitError", {}, "llm_rate_limit", 429),
        ("openai", "AuthenticationError", {}, "llm_authentication", 502),
        ("openai", "BadRequestError", {}, "llm_bad_request", 400),
        ("openai", "BadRequestError", {"code": "context_length_exceeded"}, "llm_context_length", 400),
        ("openai", "APIError", {"code": None, "type": "overloaded_error"}, "llm_overloaded", 503),
        ("openai", "APIStatusError", {"status_code": 503}, "llm_overloaded", 503),
        ("openai", "APIStatusError", {"status_code": "x"}, "llm_error", 502),
        ("anthropic", "OverloadedError", {}, "llm_overloaded", 503),
        ("anthropic", "InternalServerError", {}, "llm_error", 502),
        ("httpx2", "ReadTimeout", {}, "llm_timeout", 504),
        ("httpx2", "ConnectError", {}, "llm_connection", 502),
    ],
)
def test_an_exception_of_an_sdk_has_its_code(
    package: str, name: str, fields: dict[str, object], code: str, status: int
) -> None:
    """G6: each family of errors has a code, which what the error says of itself makes more exact."""
    info = ErrorCatalog().resolve(exception(package, name, **fields))
    assert (info.code, info.status) == (code, status)
    assert ErrorCatalog().outcome_of(exception(package, name, **fields)).reason == "llm_api_error"


def test_the_application_has_the_last_word() -> None:
    """What an application registers for an SDK's exception is not refined."""
    catalog = ErrorCatalog()
    catalog.register("openai.BadRequestError", "mine", "No.", status=418)
    info = catalog.resolve(exception("openai", "BadRequestError", code="context_length_exceeded"))
    assert (info.code, info.message, info.status) == ("mine", "No.", 418)


def test_words_count_before_statuses() -> None:
    """A code says more than a status; what is neither text nor a number says nothing."""
    assert problem_of("rate_limit_exceeded", status=400) == problem_of(status=429)
    assert problem_of(None, 5, "authentication_error") == problem_of(status=401)
    assert problem_of("llm_empty_response") is not None
    assert problem_of({}, status="429") is None
