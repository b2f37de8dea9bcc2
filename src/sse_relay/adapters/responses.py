"""
The runs of a relay under the paths of OpenAI's Responses: its SDKs resume, retrieve and cancel them.

::

    GET  /v1/responses/{id}                               the response so far, or as it ended
    GET  /v1/responses/{id}?stream=true[&starting_after=N]  its events, or those behind event N
    POST /v1/responses/{id}/cancel                        stop it; answered once the end is durable

To create a response is the application's: ``respond(relay, source, dialect=OpenAIResponses(…))`` where it is to be
streamed, else ``relay.start`` and `response_of`. A response's id is ``resp_`` and the id of its run. Whoever may cancel
gets the output, too: that is what the SDKs expect. No answer is a 204, which they take for an error: who has seen the
last event gets it again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from sse_relay.adapters.access import Access, Action, Authorize
from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.adapters.paths import Route
from sse_relay.adapters.requests import path_of, query_of
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.adapters.states import JsonResponse
from sse_relay.adapters.viewing import TRIMMED
from sse_relay.combinators.stage import positive
from sse_relay.dialects.openai_responses import OpenAIResponses
from sse_relay.dialects.protocol import RenderContext
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.relay import Relay
from sse_relay.runs.subscription import Subscription
from sse_relay.stores.protocol import RunInfo
from sse_relay.wire.cursor import Cursor
from sse_relay.wire.encoder import encode_json, to_utf8

__all__ = ["ROUTES", "ResponsesApp", "response_of", "responses_app"]

Model = str | Callable[[RunInfo], str]
Response = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTES: Mapping[Action, Route] = MappingProxyType(
    {
        "events": Route("/responses/{response_id}"),
        "cancel": Route("/responses/{response_id}/cancel", ("POST",)),
    }
)
"""What there is to ask for, by what the application is asked about; all of it below ``/v1``, too."""

_PREFIX = "resp_"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_NOTHING = ErrorInfo("not_found", "There is nothing here.", None, 404)
_NO_NUMBER = ErrorInfo("invalid_starting_after", "starting_after is not the number of an event.", None, 400)
_COMPLETED = ErrorInfo("response_completed", "A response that has completed cannot be cancelled.", None, 400)
_WORTH_A_RETRY = frozenset({408, 429})


def responses_app(
    relay: Relay,
    *,
    authorize: Authorize,
    model: Model = "unknown",
    errors: ErrorCatalog | None = None,
    cancel_grace: float = 5.0,
    **options: Any,  # noqa: ANN401 - the response's own
) -> "ResponsesApp":
    """
    Make the routes for runs that are read as OpenAI responses, to be mounted at the root, or under ``/v1``.

    Args:
        relay: The relay; the application opens and drains it.
        authorize: Says whether a request may be answered, sync or async: with the action ``events`` to read a response,
            streamed or not, and ``cancel`` to stop one.
        model: What responses say the model is, or a function of a run that tells: the same as where it was created.
        errors: What clients learn of exceptions; None: the built-in entries.
        cancel_grace: How long a cancelled run may clean up before it is sealed over, in seconds.
        **options: More of `EventStreamResponse`, such as `keepalive`, `send_timeout`.

    Raises:
        TypeError: `authorize` is not callable, or an option of the wrong type.
        ValueError: An option is out of range.

    Example:
        >>> app = responses_app(Relay(), authorize=lambda request: request.key == "lobby", model="gpt-5")
    """
    return ResponsesApp(
        relay,
        access=Access(relay, authorize),
        model=model,
        errors=errors or ErrorCatalog(),
        cancel_grace=cancel_grace,
        options=options,
    )


class ResponsesApp:
    """What `responses_app` makes: an ASGI application."""

    def __init__(
        self,
        relay: Relay,
        *,
        access: Access,
        model: Model,
        errors: ErrorCatalog,
        cancel_grace: float,
        options: Mapping[str, Any],
    ) -> None:
        self._relay = relay
        self._access = access
        self._model = model
        self._errors = errors
        self._cancel_grace = positive("cancel_grace", cancel_grace)
        self._options = options
        self._stream(relay.subscribe(""), OpenAIResponses())  # wrong options are refused now, not at the first request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the routes of responses answer http requests, not {scope['type']}")
        try:
            response = await self._respond(scope)
        except Exception as error:  # noqa: BLE001 - ours, or of the application's functions; the catalog logs it
            response = _Refusal(self._errors.resolve(error))
        await response(scope, receive, send)

    async def _respond(self, scope: Scope) -> Response:
        path = path_of(scope).removesuffix("/").removeprefix("/v1")  # the slash is what some frameworks add to a mount
        for action, route in ROUTES.items():
            if (found := route.pattern.fullmatch(path)) is not None:
                answer = self._cancel if action == "cancel" else self._retrieve
                return _wrong_method(scope, *route.methods) or await answer(scope, _run_id(found[1]))
        return _Refusal(_NOTHING)

    async def _retrieve(self, scope: Scope, run_id: str) -> Response:
        run, _ = await self._access.find(scope, "events", run_id)
        query = query_of(scope)
        if query.get("stream") != "true":
            return await self._whole(run)
        after = query.get("starting_after")
        if after is not None and not _NUMBER.fullmatch(after):
            return _Refusal(_NO_NUMBER)
        dialect = OpenAIResponses(model=_name(self._model, run), starting_after=None if after is None else int(after))
        events = self._relay.subscribe(run_id)
        await events.enter()  # now, so that a refusal is told in OpenAI's way
        return self._stream(events, dialect)

    async def _cancel(self, scope: Scope, run_id: str) -> Response:
        await self._access.find(scope, "cancel", run_id)
        run = await self._relay.cancel(run_id, grace=self._cancel_grace)
        return _Refusal(_COMPLETED) if run.status == "completed" else await self._whole(run)

    async def _whole(self, run: RunInfo) -> Response:
        try:
            return JsonResponse(await response_of(self._relay, run.id, model=self._model, wait=False))
        except _TrimmedError:
            return _Refusal(TRIMMED)

    def _stream(self, events: Subscription, dialect: OpenAIResponses) -> Response:
        return EventStreamResponse(events, dialect=dialect, errors=self._errors, **self._options)


class _TrimmedError(LookupError):
    """The beginning of a response is not kept any more."""


async def response_of(relay: Relay, run_id: str, *, model: Model = "unknown", wait: bool = True) -> dict[str, Any]:
    """
    Tell a run as a whole response: what ``responses.create`` and ``responses.retrieve`` answer without ``stream``.

    Args:
        relay: The relay.
        run_id: The run's id; the response's has ``resp_`` in front of it.
        model: As `responses_app` takes it.
        wait: Whether to wait for the end; else the response is told as far as it is, as with ``background``.

    Raises:
        RunNotFoundError, RunExpiredError: There is no such run, or not any more.
        LookupError: Its beginning is not kept any more.

    Example:
        >>> async def create(relay, source):
        ...     run = await relay.start(source)
        ...     return await response_of(relay, run.id, model="gpt-5")
    """
    if wait:
        await relay.wait(run_id)
    async with relay.subscribe(run_id) as events:
        run = events.info
        context = RenderContext(run.id, run.epoch, run.created_at, run.metadata)
        renderer = OpenAIResponses(model=_name(model, run)).renderer(context)
        place: Cursor | int = 0
        until = Cursor(run.epoch, run.last_offset)
        while (batch := await events.read_before(place, until)) is not None:
            if batch.has_gap:
                raise _TrimmedError(TRIMMED.message)
            place = Cursor(batch.epoch, batch.last)
            for offset, event in enumerate(batch.events, batch.first):
                renderer.event(offset, event)  # the end adds nothing to the output
            await asyncio.sleep(0)  # nobody else is held up by a long past
    return renderer.response(run.outcome)


def _name(model: Model, run: RunInfo) -> str:
    return model if isinstance(model, str) else model(run)


class _Refusal:
    """Answer one request with an error as OpenAI writes them; its SDKs repeat a request unless they are told not to."""

    def __init__(self, error: ErrorInfo, headers: Mapping[bytes, bytes] | None = None) -> None:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        said = {"message": error.message, "type": kind, "param": None, "code": error.code}
        self._content = to_utf8(encode_json({"error": said}))
        self._status = error.status
        self._headers = {
            b"content-type": b"application/json",
            b"cache-control": b"no-store",
            b"content-length": str(len(self._content)).encode(),
            **({b"x-request-id": error.error_id.encode()} if error.error_id else {}),
            **({b"x-should-retry": b"false"} if error.status < 500 and error.status not in _WORTH_A_RETRY else {}),
            **({b"retry-after": b"1"} if error.status == 503 else {}),
            **(headers or {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        del receive
        await send(start(self._status, self._headers))
        await send(body(b"" if scope["method"] == "HEAD" else self._content, more=False))


def _run_id(response_id: str) -> str:
    """Tell the run of a response; no run has the empty id."""
    return response_id.removeprefix(_PREFIX) if response_id.startswith(_PREFIX) else ""


def _wrong_method(scope: Scope, *allowed: str) -> _Refusal | None:
    if scope["method"] in allowed:
        return None
    methods = ", ".join(allowed)
    error = ErrorInfo("method_not_allowed", f"This takes {methods}.", None, 405)
    return _Refusal(error, {b"allow": methods.encode()})
