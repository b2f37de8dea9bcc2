"""Who may do what with a run: asked of the application, whose no looks like there being nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Literal

from sse_relay.adapters.messages import Scope
from sse_relay.exceptions import RunExpiredError, RunNotFoundError
from sse_relay.runs.opening import is_run_id
from sse_relay.runs.relay import Relay
from sse_relay.stores.protocol import RunInfo

__all__ = ["Access", "AccessRequest", "Action", "Authorize"]

Action = Literal["events", "info", "cancel", "active", "latest", "list"]


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """
    What somebody wants.

    Attributes:
        scope: The request's ASGI scope: headers, client, and what the middleware put there, such as the user.
        action: ``events``, ``info``, ``cancel``, ``active``, ``latest`` or ``list``. A listing is asked about first,
            without a run, and then about each run that it would show.
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


class Access:
    """
    The application's word on the runs of a relay.

    Args:
        relay: The relay.
        authorize: Says yes by True, and by nothing else; sync or async.

    Raises:
        TypeError: `authorize` is not callable.
    """

    def __init__(self, relay: Relay, authorize: Authorize) -> None:
        if not callable(authorize):
            raise TypeError("authorize must be a function of an AccessRequest that says who may do what")
        self._relay = relay
        self._authorize = authorize

    async def allows(self, request: AccessRequest) -> bool:
        """Ask the application."""
        allowed = self._authorize(request)
        if isawaitable(allowed):
            allowed = await allowed
        return allowed is True

    async def require(self, request: AccessRequest) -> None:
        """
        Go on only if the application says yes.

        Raises:
            RunNotFoundError: It does not.
        """
        if not await self.allows(request):
            raise RunNotFoundError(request.run_id or "")

    async def find(self, scope: Scope, action: Action, run_id: str) -> tuple[RunInfo, AccessRequest]:
        """
        Find a run that the request may see; whether there is one is told only to those who may.

        Raises:
            RunNotFoundError, RunExpiredError: There is none, or it is none of theirs.
        """
        missing: RunNotFoundError | RunExpiredError = RunNotFoundError(run_id)
        run = None
        if is_run_id(run_id):
            try:
                run = await self._relay.info(run_id)
            except (RunNotFoundError, RunExpiredError) as error:
                missing = error
        request = AccessRequest(scope, action, run_id, run.key if run else None, run)
        await self.require(request)
        if run is None:
            raise missing
        return run, request
