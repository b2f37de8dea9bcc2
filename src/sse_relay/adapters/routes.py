"""
The runs of a relay as an ASGI application, to be mounted under any framework.

::

    GET  /runs/{id}/events   the stream: Last-Event-ID, else ?after=; ?dialect=
    GET  /runs/{id}          the state
    POST /runs/{id}/cancel   stop it; answered once the end is durable
    GET  /keys/{key}/active  the key's run that has not ended
    GET  /keys/{key}/latest  the key's run, also when it has ended

Nothing is told of a run before the application has said yes to the request; what is forbidden looks like what is not
there.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Literal

from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.adapters.requests import cursor_of, path_of, query_of
from sse_relay.adapters.respond import ProblemResponse
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.combinators.source import require_dialect
from sse_relay.combinators.stage import positive
from sse_relay.dialects.native import Native, outcome_json
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import RunExpiredError, RunNotFoundError
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.opening import is_run_id
from sse_relay.runs.relay import Relay
from sse_relay.stores.protocol import RunInfo
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import encode_json, to_utf8

__all__ = ["AccessRequest", "RelayApp", "relay_app"]

Action = Literal["events", "info", "cancel", "active", "latest"]

_NOTHING = ErrorInfo("not_found", "There is nothing here.", None, 404)
_UNKNOWN_DIALECT = ErrorInfo("unknown_dialect", "This server does not speak that dialect.", None, 400)
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """
    What somebody wants.

    Attributes:
        scope: The request's ASGI scope: headers, client, and what the middleware put there, such as the user.
        action: ``events``, ``info``, ``cancel``, ``active`` or ``latest``.
        run_id: The run that was asked for, or was found under the key; None: there is none under the key.
        key: The key that was asked for, or that the run was started with.
        run: The run; None: there is none, and the answer will be 404 or 410.
    """

    scope: Scope
    action: Action
    run_id: str | None
    key: str | None
    run: RunInfo | None


Authorize = Callable[[AccessRequest], bool | Awaitable[bool]]
Response = Callable[[Scope, Receive, Send], Awaitable[None]]


def relay_app(
    relay: Relay,
    *,
    authorize: Authorize,
    dialects: Iterable[Dialect] = (Native(),),
    errors: ErrorCatalog | None = None,
    cancel_grace: float = 5.0,
    **options: Any,  # noqa: ANN401 - the response's own
) -> "RelayApp":
    """
    Make the routes of a relay, to be mounted under a path of the application's.

    Args:
        relay: The relay; the application opens and drains it.
        authorize: Says whether a request may be answered, sync or async. There is no default: a run's id is no secret.
            What it raises is logged, and answered with 500.
        dialects: What clients may ask for by ``?dialect=``; the first one is the default.
        errors: What clients learn of exceptions; None: the built-in entries.
        cancel_grace: How long a cancelled run may clean up before it is sealed over, in seconds.
        **options: More of `EventStreamResponse`, such as `keepalive`, `send_timeout`, `end_status`.

    Raises:
        TypeError: `authorize` is not callable, a dialect is none, or an option of the wrong type.
        ValueError: There is no dialect, two have one name, or an option is out of range.

    Example:
        >>> app = relay_app(Relay(), authorize=lambda request: request.key == "lobby")
    """
    return RelayApp(
        relay,
        authorize=authorize,
        dialects=tuple(dialects),
        errors=errors or ErrorCatalog(),
        cancel_grace=cancel_grace,
        options=options,
    )


class RelayApp:
    """What `relay_app` makes: an ASGI application."""

    def __init__(
        self,
        relay: Relay,
        *,
        authorize: Authorize,
        dialects: tuple[Dialect, ...],
        errors: ErrorCatalog,
        cancel_grace: float,
        options: Mapping[str, Any],
    ) -> None:
        if not callable(authorize):
            raise TypeError("authorize must be a function of an AccessRequest that says who may do what")
        for dialect in dialects:
            require_dialect(dialect)
        self._dialects = {dialect.name: dialect for dialect in dialects}
        if not dialects or len(self._dialects) < len(dialects):
            raise ValueError("dialects must be one or more, each with a name of its own")
        self._relay = relay
        self._authorize = authorize
        self._default = dialects[0]
        self._errors = errors
        self._cancel_grace = positive("cancel_grace", cancel_grace)
        self._options = options
        for dialect in dialects:
            self._stream("", None, dialect)  # options that are wrong are refused now, and not at the first request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the routes of a relay answer http requests, not {scope['type']}")
        try:
            response = await self._respond(scope)
        except Exception as error:  # noqa: BLE001 - ours, or of the application's authorize; the catalog logs it
            response = ProblemResponse(self._errors.resolve(error))
        await response(scope, receive, send)

    async def _respond(self, scope: Scope) -> Response:
        match path_of(scope).split("/"):
            case ["", "runs", run_id]:
                return _wrong_method(scope, *_READING) or await self._info(scope, run_id)
            case ["", "runs", run_id, "events"]:
                return _wrong_method(scope, *_READING) or await self._events(scope, run_id)
            case ["", "runs", run_id, "cancel"]:
                return _wrong_method(scope, "POST") or await self._cancel(scope, run_id)
            case ["", "keys", *parts, ("active" | "latest") as which] if parts:
                key = "/".join(parts)  # servers decode the path, and a key may have slashes
                return _wrong_method(scope, *_READING) or await self._find(scope, key, active=which == "active")
            case _:
                return ProblemResponse(_NOTHING)

    async def _info(self, scope: Scope, run_id: str) -> Response:
        return JsonResponse(_described(await self._admitted(scope, "info", run_id)))

    async def _events(self, scope: Scope, run_id: str) -> Response:
        await self._admitted(scope, "events", run_id)
        name = query_of(scope).get("dialect")
        dialect = self._default if name is None else self._dialects.get(name)
        if dialect is None:
            return ProblemResponse(_UNKNOWN_DIALECT)
        return self._stream(run_id, cursor_of(scope), dialect)

    async def _cancel(self, scope: Scope, run_id: str) -> Response:
        await self._admitted(scope, "cancel", run_id)
        return JsonResponse(_described(await self._relay.cancel(run_id, grace=self._cancel_grace)))

    async def _find(self, scope: Scope, key: str, *, active: bool) -> Response:
        run = await (self._relay.active(key) if active else self._relay.latest(key))
        await self._admit(AccessRequest(scope, "active" if active else "latest", run.id if run else None, key, run))
        if run is None:
            raise RunNotFoundError(key)
        return JsonResponse(_described(run))

    async def _admitted(self, scope: Scope, action: Action, run_id: str) -> RunInfo:
        """Find a run that the request may see; whether there is one is told only to those who may."""
        missing: RunNotFoundError | RunExpiredError = RunNotFoundError(run_id)
        run = None
        if is_run_id(run_id):
            try:
                run = await self._relay.info(run_id)
            except (RunNotFoundError, RunExpiredError) as error:
                missing = error
        await self._admit(AccessRequest(scope, action, run_id, run.key if run else None, run))
        if run is None:
            raise missing
        return run

    async def _admit(self, request: AccessRequest) -> None:
        allowed = self._authorize(request)
        if isawaitable(allowed):
            allowed = await allowed
        if allowed is not True:
            raise RunNotFoundError(request.run_id or "")

    def _stream(self, run_id: str, after: Cursor | int | None, dialect: Dialect) -> EventStreamResponse:
        events = self._relay.subscribe(run_id, after)
        return EventStreamResponse(events, dialect=dialect, errors=self._errors, **self._options)


class JsonResponse:
    """Answer one request with JSON that nobody keeps."""

    def __init__(self, said: Mapping[str, object]) -> None:
        self._content = to_utf8(encode_json(said))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        del receive
        headers = {
            b"content-type": b"application/json",
            b"cache-control": b"no-store",
            b"content-length": str(len(self._content)).encode(),
        }
        await send(start(200, headers))
        await send(body(b"" if scope["method"] == "HEAD" else self._content, more=False))


def _described(run: RunInfo) -> Mapping[str, object]:
    """Tell a run's state to clients: all but the metadata, which is the application's own."""
    outcome = run.outcome
    return {
        "id": run.id,
        "key": run.key,
        "status": run.status,
        "epoch": run.epoch,
        "last_offset": run.last_offset,
        "outcome": outcome and outcome_json(outcome),
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "dialect": run.dialect,
    }


def _wrong_method(scope: Scope, *allowed: str) -> ProblemResponse | None:
    if scope["method"] in allowed:
        return None
    methods = ", ".join(allowed)
    error = ErrorInfo("method_not_allowed", f"This takes {methods}.", None, 405)
    return ProblemResponse(error, {b"allow": methods.encode()})
