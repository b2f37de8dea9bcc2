"""
What clients learn when a model's provider fails: by the exception of its SDK, or by what its stream says.

Nothing is imported for it: exceptions are known by their qualified names. What a provider says in words is shown to
nobody (it may quote keys, prompts or addresses); its machine-readable codes say enough.
"""

from typing import NamedTuple

__all__ = ["EXCEPTIONS", "Problem", "problem_of"]


class Problem(NamedTuple):
    """
    One kind of failure.

    Attributes:
        code: A stable, machine-readable name.
        message: A sentence for people.
        status: The HTTP status, should it come before the first event.
        reason: The stop reason.
    """

    code: str
    message: str
    status: int
    reason: str = "llm_api_error"


ERROR = Problem("llm_error", "The model's provider reported an error.", 502)
_TIMEOUT = Problem("llm_timeout", "The model took too long to answer.", 504)
_RATE_LIMIT = Problem("llm_rate_limit", "The model is asked too often just now. Try again later.", 429)
_AUTHENTICATION = Problem("llm_authentication", "The model's provider refused the service's credentials.", 502)
_EMPTY = Problem("llm_empty_response", "The model answered nothing.", 502, "invalid_llm_response")
_BAD_REQUEST = Problem("llm_bad_request", "The model's provider did not accept the request.", 400)
_CONTEXT_LENGTH = Problem("llm_context_length", "The conversation is too long for the model.", 400)
_OVERLOADED = Problem("llm_overloaded", "The model is overloaded just now. Try again later.", 503)
_CONNECTION = Problem("llm_connection", "The model's provider could not be reached.", 502)

_SAID = {
    "api_timeout": _TIMEOUT,
    "authentication_error": _AUTHENTICATION,
    "billing_error": _AUTHENTICATION,
    "context_length_exceeded": _CONTEXT_LENGTH,
    "context_window_overflow_in_system_prompt": _CONTEXT_LENGTH,
    "deadline_exceeded": _TIMEOUT,
    "empty_response": _EMPTY,
    "insufficient_quota": _RATE_LIMIT,
    "invalid_api_key": _AUTHENTICATION,
    "invalid_request_error": _BAD_REQUEST,
    "llm_timeout": _TIMEOUT,
    "not_found_error": _BAD_REQUEST,
    "overloaded_error": _OVERLOADED,
    "permission_error": _AUTHENTICATION,
    "rate_limit_error": _RATE_LIMIT,
    "rate_limit_exceeded": _RATE_LIMIT,
    "request_too_large": _CONTEXT_LENGTH,
    "server_is_overloaded": _OVERLOADED,
    "service_unavailable": _OVERLOADED,
    "slow_down": _OVERLOADED,
    "string_above_max_length": _CONTEXT_LENGTH,
    "timeout": _TIMEOUT,
    "timeout_error": _TIMEOUT,
}
_STATUSES = {
    400: _BAD_REQUEST, 401: _AUTHENTICATION, 403: _AUTHENTICATION, 404: _BAD_REQUEST, 408: _TIMEOUT,
    413: _CONTEXT_LENGTH, 422: _BAD_REQUEST, 429: _RATE_LIMIT, 503: _OVERLOADED, 504: _TIMEOUT, 529: _OVERLOADED,
}  # fmt: skip
_OURS = {
    problem.code: problem
    for problem in (
        ERROR, _TIMEOUT, _RATE_LIMIT, _AUTHENTICATION, _EMPTY, _BAD_REQUEST, _CONTEXT_LENGTH, _OVERLOADED, _CONNECTION,
    )
}  # fmt: skip

_SDK = {
    "APIError": ERROR,
    "APIConnectionError": _CONNECTION,
    "APITimeoutError": _TIMEOUT,
    "APIStatusError": ERROR,
    "AuthenticationError": _AUTHENTICATION,
    "PermissionDeniedError": _AUTHENTICATION,
    "RateLimitError": _RATE_LIMIT,
    "BadRequestError": _BAD_REQUEST,
    "NotFoundError": _BAD_REQUEST,
    "UnprocessableEntityError": _BAD_REQUEST,
    "ConflictError": ERROR,
    "InternalServerError": ERROR,
    "OverloadedError": _OVERLOADED,
    "ServiceUnavailableError": _OVERLOADED,
    "DeadlineExceededError": _TIMEOUT,
    "RequestTooLargeError": _CONTEXT_LENGTH,
}
_HTTP = {
    "HTTPError": ERROR,
    "HTTPStatusError": ERROR,
    "TimeoutException": _TIMEOUT,
    "TransportError": _CONNECTION,
}
EXCEPTIONS: dict[str, Problem] = {
    f"{package}.{name}": problem
    for packages, problems in ((("openai", "anthropic"), _SDK), (("httpx", "httpx2"), _HTTP))
    for package in packages
    for name, problem in problems.items()
}
"""What the exceptions of SDKs and HTTP clients mean; what is derived from them means the same."""


def problem_of(*said: object, status: object = None) -> Problem | None:
    """
    Tell what is meant by what a provider, or an exception of its SDK, says.

    Args:
        said: Its ``code``, its ``type``, in the order of how exact they are; what is no text says nothing.
        status: Its HTTP status.
    """
    for word in said:
        if isinstance(word, str) and (problem := _SAID.get(word) or _OURS.get(word)) is not None:
            return problem
    return _STATUSES.get(status) if isinstance(status, int) else None
