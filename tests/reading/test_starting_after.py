"""Our own OpenAI and Letta endpoints behind uvicorn, cut after every few events, read by their `starting_after`."""

import asyncio
from typing import Any

import pytest

from sse_relay import Relay
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.client import Backoff, connect
from sse_relay.dialects import Letta, OpenAIResponses
from tests.adapters.servers import serve
from tests.clients.server import MODEL, Server, _cut

# How many events their end has, which comes again as a whole where it was cut: fewer at once would never bring it.
ENDPOINTS: dict[str, dict[str, Any]] = {
    "openai": {"path": "/v1/responses", "json": {"model": "{play}", "input": "Hi", "stream": True}, "end": 1},
    "letta": {"path": "/v1/agents/{play}/messages/stream", "json": {"messages": []}, "end": 3},
}


class Cutting:
    """Cut every connection after so many events; `None`: none."""

    def __init__(self, app: Server) -> None:
        self.after: int | None = None
        self.asked: list[str] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        self.asked.append(scope["path"])
        await _cut(self._app, "" if self.after is None else str(self.after))(scope, receive, send)


def asked(endpoint: str, port: int, play: str) -> tuple[str, dict[str, Any]]:
    """Make the request that begins a run."""
    where = ENDPOINTS[endpoint]
    body = {name: value.format(play=play) if isinstance(value, str) else value for name, value in where["json"].items()}
    dialect = OpenAIResponses(model=MODEL) if endpoint == "openai" else Letta()
    return f"http://127.0.0.1:{port}{where['path'].format(play=play)}", {
        "method": "POST", "json": body, "dialect": dialect, "starting_after": endpoint,
        "backoff": Backoff(first=0.001, cap=0.01),
    }  # fmt: skip


@pytest.mark.parametrize("play", ["text", "tools", "usage", "raises"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_dropped_after_every_few_events(endpoint: str, play: str) -> None:
    """I1, I2, I3: however often a stream is cut, what is read is what one connection brings: no gap, no double."""

    async def main() -> None:
        async with Relay() as relay:
            app = Cutting(Server(relay, ""))
            async with asyncio.timeout(15), serve(app) as uvicorn:
                known: set[str] = set()
                for after in range(ENDPOINTS[endpoint]["end"], 100):
                    app.after, app.asked = after, []
                    url, options = asked(endpoint, uvicorn._port, play)
                    async with connect(url, **options) as events:
                        seen = [event.data async for event in events]
                    connections = len(app.asked)
                    (run,) = [run async for run in relay.runs() if run.id not in known]
                    known.add(run.id)
                    assert seen == await whole(endpoint, uvicorn._port, run.id, app), after
                    assert connections == events.resumes + 1
                    assert run.outcome is not None
                    assert events.outcome is not None
                    assert events.outcome.status == run.outcome.status
                    if connections == 1:
                        break
                assert len(known) > 1

    asyncio.run(main())


async def whole(endpoint: str, port: int, run_id: str, app: Cutting) -> list[str | None]:
    """Read a run that has ended, in one go."""
    app.after = None
    _, options = asked(endpoint, port, "")
    if endpoint == "openai":
        options |= {"method": "GET", "json": None}
        url = f"http://127.0.0.1:{port}/v1/responses/resp_{run_id}?stream=true"
    else:
        options |= {"json": {}}
        url = f"http://127.0.0.1:{port}/v1/runs/{run_id}/stream"
    async with connect(url, **options) as events:
        return [event.data async for event in events]
