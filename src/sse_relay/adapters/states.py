"""What clients are told of a run: its state, as JSON."""

from collections.abc import Mapping

from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.dialects.native import outcome_json
from sse_relay.stores.protocol import RunInfo
from sse_relay.wire.encoder import encode_json, to_utf8

__all__ = ["JsonResponse", "OptionsResponse", "described"]


class JsonResponse:
    """
    Answer one request with JSON that nobody keeps.

    Args:
        said: What it says.
    """

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


class OptionsResponse:
    """
    Answer an OPTIONS request: 204, and what a path takes.

    Args:
        allow: The methods.
    """

    def __init__(self, allow: str) -> None:
        self._allow = allow.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        del scope, receive
        await send(start(204, {b"allow": self._allow}))
        await send(body(b"", more=False))


def described(run: RunInfo) -> Mapping[str, object]:
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
