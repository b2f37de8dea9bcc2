"""What an OpenAPI document says of streams, of runs, and of what goes wrong."""

from http import HTTPStatus
from typing import Any, TypeAlias

from pydantic import BaseModel, Field

from sse_relay.outcome import Status
from sse_relay.stores.protocol import RunStatus

__all__ = ["CURSOR", "OFFSET", "Problem", "Responses", "RunList", "RunState", "problem_responses", "stream_responses"]

OFFSET = "(0|[1-9][0-9]{0,17})"
CURSOR = f"[A-Za-z0-9_.-]{{8,40}}:{OFFSET}"

Responses: TypeAlias = dict[int | str, dict[str, Any]]
"""Responses by status, as FastAPI takes them."""

_PROBLEMS = {
    400: "What was sent as the last event id is no cursor.",
    404: "There is no such run, or it is another's.",
    409: "The request conflicts with what is there; the same one would fail again.",
    410: "What was asked for is no longer kept.",
    503: "The server is shutting down, or its store does not answer; ask again.",
}
_LATER = {"retry-after": {"description": "In how many seconds to ask again.", "schema": {"type": "integer"}}}
_NEVER = {"x-should-retry": {"description": "Tells the SDKs of models not to.", "schema": {"enum": ["false"]}}}
_HEADERS: dict[int, dict[str, Any]] = {409: _NEVER, 429: _LATER, 503: _LATER}
_EVENT = {
    "type": "object",
    "description": "One event. The last one of a stream is `end`, and says how it ended; `gap` says what is lost.",
    "properties": {
        "id": {"type": "string", "description": "Where the reader stands: to be sent back as `Last-Event-ID`."},
        "event": {"type": "string", "description": "The event's name; none: the application's own data."},
        "data": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0, "description": "Milliseconds before a reader reconnects."},
    },
}
_EXAMPLE = """\
id: 6f1c0a9e4b7d2358:1
data: Hello

id: 6f1c0a9e4b7d2358:2
event: end
data: {"status":"completed","reason":null,"error":null}

"""


class Problem(BaseModel):
    """The body of an HTTP error (RFC 9457)."""

    type: str = Field(description="Always `about:blank`.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="A sentence for people.")
    code: str = Field(description="A stable, machine-readable name.")
    error_id: str | None = Field(description="Under which the server's log has the detail.")


class _Error(BaseModel):
    code: str
    message: str
    error_id: str | None


class _Outcome(BaseModel):
    status: Status
    reason: str | None = Field(description="The stop reason.")
    error: _Error | None


class RunState(BaseModel):
    """The state of a run."""

    id: str
    key: str | None = Field(description="What may have one active run, such as a conversation.")
    status: RunStatus
    epoch: str
    last_offset: int = Field(description="How many records there are.")
    outcome: _Outcome | None = Field(description="How the run ended; null: it has not.")
    created_at: float = Field(description="Seconds since 1970.")
    updated_at: float
    dialect: str


class RunList(BaseModel):
    """The newest runs that the client may see."""

    runs: list[RunState]


def problem_responses(*statuses: int) -> Responses:
    """
    Describe HTTP errors: ``responses=problem_responses(404, 409)``.

    Args:
        *statuses: Which; none: all that the library answers with before a stream begins.

    Example:
        >>> list(problem_responses())
        [400, 404, 409, 410, 503]
    """
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    described: Responses = {}
    for status in statuses or _PROBLEMS:
        described[status] = {"description": _PROBLEMS.get(status) or HTTPStatus(status).phrase, "content": content}
        if status in _HEADERS:
            described[status]["headers"] = _HEADERS[status]
    return described


def stream_responses() -> Responses:
    """Describe an event stream and its errors: ``response_class=EventStreamResponse, responses=stream_responses()``."""
    run_id = {"description": "The run that is viewed, if it is one.", "schema": {"type": "string"}}
    schemas = {"schema": {"type": "array", "items": _EVENT}, "itemSchema": _EVENT}  # of OpenAPI 3.2, and FastAPI's
    content = {"text/event-stream": {**schemas, "example": _EXAMPLE}}
    return {
        200: {"description": "The events, as they come.", "headers": {"x-run-id": run_id}, "content": content},
        204: {"description": "The reader has seen the end."},
        **problem_responses(),
    }
