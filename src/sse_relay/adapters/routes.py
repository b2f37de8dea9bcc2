"""
The runs of a relay as an ASGI application, to be mounted under any framework.

::

    GET  /runs/{id}/events   the stream: Last-Event-ID, else ?after=; ?dialect=
    GET  /runs/{id}          the state
    POST /runs/{id}/cancel   stop it; answered once the end is durable
    GET  /keys/{key}/active  the key's run that has not ended
    GET  /keys/{key}/latest  the key's run, also when it has ended
    GET  /runs               by option: those that the client may see; ?status=

Nothing is told of a run before the application has said yes to the request; what is forbidden looks like what is not
there.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from random import randint
from types import MappingProxyType
from typing import Any, Literal

from sse_relay.adapters.access import Access, AccessRequest, Action, Authorize
from sse_relay.adapters.limits import LimitedResponse, Limits, Principal
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.adapters.paths import Route
from sse_relay.adapters.requests import cursor_of, path_of, query_of
from sse_relay.adapters.respond import ProblemResponse
from sse_relay.adapters.response import EventStreamResponse
from sse_relay.adapters.states import JsonResponse, OptionsResponse, described
from sse_relay.combinators.source import require_dialect
from sse_relay.combinators.stage import positive
from sse_relay.dialects.native import Native
from sse_relay.dialects.protocol import Dialect
from sse_relay.exceptions import RunExpiredError, RunNotFoundError
from sse_relay.outcome import ErrorCatalog, ErrorInfo
from sse_relay.runs.relay import Relay
from sse_relay.runs.subscription import Subscription
from sse_relay.stores.paging import PAGE_BYTES
from sse_relay.stores.protocol import RunStatus

__all__ = ["ROUTES", "AccessRequest", "Authorize", "RelayApp", "relay_app"]

_NOTHING = ErrorInfo("not_found", "There is nothing here.", None, 404)
_TOO_MANY = ErrorInfo("too_many_viewers", "You have too many streams open. Close one, or try again later.", None, 429)
_UNKNOWN_DIALECT = ErrorInfo("unknown_dialect", "This server does not speak that dialect.", None, 400)
_UNKNOWN_STATUS = ErrorInfo("unknown_status", "That is no status of a run.", None, 400)
_NAMES: tuple[RunStatus, ...] = ("running", "completed", "failed", "cancelled", "lost", "timed_out")
_STATUSES: Mapping[str, RunStatus] = {name: name for name in _NAMES}
_LISTED = 100  # runs at most, of
_LOOKED_AT = 1000  # at most

ROUTES: Mapping[Action, Route] = MappingProxyType(
    {
        "events": Route("/runs/{run_id}/events"),
        "info": Route("/runs/{run_id}"),
        "cancel": Route("/runs/{run_id}/cancel", ("POST",)),
        "active": Route("/keys/{key}/active"),
        "latest": Route("/keys/{key}/latest"),
        "list": Route("/runs"),
    }
)
"""What there is to ask for; all of it is asked about first."""

Response = Callable[[Scope, Receive, Send], Awaitable[None]]


def relay_app(
    relay: Relay,
    *,
    authorize: Authorize,
    dialects: Iterable[Dialect] = (Native(),),
    errors: ErrorCatalog | None = None,
    cancel_grace: float = 5.0,
    principal: Principal | None = None,
    max_viewers: int | None = None,
    max_age: float | None = None,
    reauthorize: float | None = None,
    page_bytes: int = PAGE_BYTES,
    listing: bool = False,
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
        principal: Whose a request is, by its scope: a user's id, an address. It is asked after `authorize` said yes.
        max_viewers: The most streams that one principal may have open in this process, beyond which they get 429.
        max_age: After how many seconds a viewing ends at the border of an event, for its client to come back.
        reauthorize: After how many seconds `authorize` is asked again about a viewer. Where it does not say yes in
            time the viewing ends, and whoever comes back is asked about anew.
        page_bytes: The most bytes of a run that are read from the store for a viewer at once.
        listing: Whether there is a listing: the newest runs, of those that `authorize` says yes to, 100 at most.
        **options: More of `EventStreamResponse`, such as `keepalive`, `send_timeout`, `end_status`, `retry`.

    Raises:
        TypeError: `authorize` is not callable, a dialect is none, or an option of the wrong type.
        ValueError: There is no dialect, two have one name, there is `max_viewers` without a `principal`, or an option
            is out of range.

    Example:
        >>> app = relay_app(Relay(), authorize=lambda request: request.key == "lobby")
    """
    return RelayApp(
        relay,
        access=Access(relay, authorize),
        dialects=tuple(dialects),
        errors=errors or ErrorCatalog(),
        cancel_grace=cancel_grace,
        limits=Limits(principal, max_viewers, max_age, reauthorize),
        page_bytes=page_bytes,
        listing=listing,
        options=options,
    )


class RelayApp:
    """What `relay_app` makes: an ASGI application."""

    def __init__(
        self,
        relay: Relay,
        *,
        access: Access,
        dialects: tuple[Dialect, ...],
        errors: ErrorCatalog,
        cancel_grace: float,
        limits: Limits,
        page_bytes: int,
        listing: bool,
        options: Mapping[str, Any],
    ) -> None:
        for dialect in dialects:
            require_dialect(dialect)
        self._dialects = {dialect.name: dialect for dialect in dialects}
        if not dialects or len(self._dialects) < len(dialects):
            raise ValueError("dialects must be one or more, each with a name of its own")
        self._relay = relay
        self._access = access
        self._default = dialects[0]
        self._errors = errors
        self._cancel_grace = positive("cancel_grace", cancel_grace)
        self._limits = limits
        self._page_bytes = page_bytes
        self._listing = listing
        self._options = options
        self._handlers: Mapping[Action, Callable[..., Awaitable[Response]]] = {
            "events": self._events,
            "info": self._info,
            "cancel": self._cancel,
            "active": partial(self._find, action="active"),
            "latest": partial(self._find, action="latest"),
            "list": self._list,
        }
        for dialect in dialects:
            self._stream(
                relay.subscribe("", page_bytes=page_bytes), dialect
            )  # wrong options are refused now, not at the first request

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
        path = path_of(scope).removesuffix("/")  # that some frameworks add to what they mount
        for action, route in ROUTES.items():
            if (found := route.pattern.fullmatch(path)) is not None and (self._listing or action != "list"):
                return _without(scope, route.methods) or await self._handlers[action](scope, *found.groups())
        return ProblemResponse(_NOTHING)

    async def _info(self, scope: Scope, run_id: str) -> Response:
        run, _ = await self._access.find(scope, "info", run_id)
        return JsonResponse(described(run))

    async def _events(self, scope: Scope, run_id: str) -> Response:
        _, request = await self._access.find(scope, "events", run_id)
        name = query_of(scope).get("dialect")
        dialect = self._default if name is None else self._dialects.get(name)
        if dialect is None:
            return ProblemResponse(_UNKNOWN_DIALECT)
        events = self._relay.subscribe(run_id, cursor_of(scope), page_bytes=self._page_bytes)
        response = self._stream(events, dialect)
        if scope["method"] == "HEAD" or self._limits.are_none:
            return response
        if (give_back := self._limits.take(scope)) is None:
            later = str(randint(1, 5)).encode()  # noqa: S311 - no secret; not all at the same time
            return ProblemResponse(_TOO_MANY, {b"retry-after": later})
        return LimitedResponse(response, events, self._limits, partial(self._access.allows, request), give_back)

    async def _cancel(self, scope: Scope, run_id: str) -> Response:
        await self._access.find(scope, "cancel", run_id)
        return JsonResponse(described(await self._relay.cancel(run_id, grace=self._cancel_grace)))

    async def _find(self, scope: Scope, key: str, *, action: Literal["active", "latest"]) -> Response:
        run = await self._relay.lookup(key)  # no more than this before the application's yes: its cost would tell
        if run is not None and run.outcome is not None and action == "active":
            run = None
        await self._access.require(AccessRequest(scope, action, run.id if run else None, key, run))
        if run is not None and run.outcome is None:
            try:
                run = await self._relay.info(run.id)  # not by the key, which may lead to another run by now
            except RunExpiredError:
                run = None
        if run is None or (run.outcome is not None and action == "active"):
            raise RunNotFoundError(key)
        return JsonResponse(described(run))

    async def _list(self, scope: Scope) -> Response:
        await self._access.require(AccessRequest(scope, "list", None, None, None))
        wanted = query_of(scope).get("status")
        status = _STATUSES.get(wanted or "")
        if wanted is not None and status is None:
            return ProblemResponse(_UNKNOWN_STATUS)
        shown: list[Mapping[str, object]] = []
        left = _LOOKED_AT
        async for run in self._relay.runs(status):
            if await self._access.allows(AccessRequest(scope, "list", run.id, run.key, run)):
                shown.append(described(run))
            left -= 1
            if not left or len(shown) == _LISTED:
                break
        return JsonResponse({"runs": shown})

    def _stream(self, events: Subscription, dialect: Dialect) -> EventStreamResponse:
        return EventStreamResponse(events, dialect=dialect, errors=self._errors, **self._options)


def _without(scope: Scope, allowed: tuple[str, ...]) -> Response | None:
    """Answer what can be answered without looking at a run: OPTIONS, and what the path does not take; else None."""
    if scope["method"] in allowed:
        return None
    methods = ", ".join([*allowed, "OPTIONS"])
    if scope["method"] == "OPTIONS":
        return OptionsResponse(methods)
    error = ErrorInfo("method_not_allowed", f"This takes {methods}.", None, 405)
    return ProblemResponse(error, {b"allow": methods.encode()})
