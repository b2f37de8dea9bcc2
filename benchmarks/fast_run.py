"""
A run that is produced as fast as it goes, over uvicorn, beside peers that send the same events by themselves.

Every application sends ``id: <place>``, ``data: <text>``, a blank line, and so on (FastAPI writes the id behind the
data). Ours keeps them in a log as well, for others to view and for this one to come back to.

``python -m benchmarks.fast_run FD NAME COUNT SECONDS`` serves one of them, as `benchmarks.servers` does.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module

from benchmarks.client import cpu_seconds, read_all
from benchmarks.measure import TIMES, Samples, Table, at_least, interleave, rounded
from benchmarks.servers import (
    BARE,
    HEADERS,
    Address,
    App,
    Apps,
    Message,
    Receive,
    Send,
    Streams,
    installed,
    main,
    serve,
)
from sse_relay import MemoryStore, Relay
from sse_relay.adapters.asgi import EventStreamResponse

__all__ = ["APPS", "LIVE", "MODULE", "PATHS", "PLACE", "REPLAY", "fast_run_table"]

LIVE = "Relay, a live run"
REPLAY = "Relay, a replay"
SSE_STARLETTE, FASTAPI = "sse-starlette", "FastAPI's SSE"
TARGETS = {SSE_STARLETTE: 3, FASTAPI: 10}
PATHS = {"suspending": "suspends", "bursts": "bursts of 20", "ready": "ready"}
JUDGED = "ready"
MODULE = "benchmarks.fast_run"
PLACE = "0123456789abcdef:"


async def _numbered(source: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Yield texts, each behind its place."""
    number = 0
    async for text in source:
        number += 1
        yield f"{PLACE}{number}", text


def _bare(streams: Streams) -> App:
    async def app(scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        async for place, text in _numbered(streams[scope["path"]]()):
            body = f"id: {place}\ndata: {text}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


class _Relayed:
    """Start a run for each request, and view it from its start; or keep the first one, and replay it."""

    def __init__(self, streams: Streams, *, replay: bool) -> None:
        self._streams = streams
        self._replay = replay
        self._kept: dict[str, str] = {}
        self._relay: Relay | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._relay is None:  # it is open until the process is gone
            self._relay = await Relay(MemoryStore(retention=3600 if self._replay else 1)).__aenter__()
        relay, path = self._relay, scope["path"]
        run_id = self._kept.get(path) or (await relay.start(self._streams[path]())).id
        if self._replay:
            await relay.wait(run_id)
            self._kept[path] = run_id
        await EventStreamResponse(relay.subscribe(run_id))(scope, receive, send)


def _sse_starlette(streams: Streams) -> App:
    sse_starlette = import_module("sse_starlette")

    async def events(source: AsyncIterator[str]) -> AsyncIterator[object]:
        async for place, text in _numbered(source):
            yield sse_starlette.ServerSentEvent(text, id=place, sep="\n")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sse_starlette.EventSourceResponse(events(streams[scope["path"]]()))(scope, receive, send)

    return app


def _fastapi(streams: Streams) -> App:
    fastapi, sse = import_module("fastapi"), import_module("fastapi.sse")
    app = fastapi.FastAPI()

    def endpoint(path: str) -> Callable[[], AsyncIterator[object]]:
        async def events() -> AsyncIterator[object]:
            async for place, text in _numbered(streams[path]()):
                yield sse.ServerSentEvent(raw_data=text, id=place)

        return events

    for path in streams:
        app.add_api_route(path, endpoint(path), response_class=sse.EventSourceResponse, response_model=None)
    return app  # type: ignore[no-any-return]


APPS: Apps = {
    BARE: _bare,
    LIVE: partial(_Relayed, replay=False),
    REPLAY: partial(_Relayed, replay=True),
    SSE_STARLETTE: _sse_starlette,
    FASTAPI: _fastapi,
}


def fast_run_table(*, count: int, rounds: int) -> Table:
    """Measure."""
    names = installed(APPS)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serve(name, count=count, seconds=0, module=MODULE)) for name in names}
        for address in servers.values():
            cpu_seconds(address)  # it is there
        found = {path: interleave(_cases(servers, path, count), rounds) for path in PATHS}
    peers = {name: limit for name, limit in TARGETS.items() if name in servers}
    columns = [column for kind in PATHS.values() for column in (kind, *[f"{TIMES} {name}" for name in peers])]
    table = Table(
        f"A run of {count:,} events, one viewer, over uvicorn: events a second",
        ("the source:", *columns, *["target" for _ in peers]),
    )
    for name in names:
        cells = [cell for samples in found.values() for cell in _cells(samples, name, list(peers))]
        judged = peers.items() if name in {LIVE, REPLAY} else ()
        verdicts = [at_least(limit, found[JUDGED].ratio(peer, name), f"{TIMES} {peer}") for peer, limit in judged]
        table.add(name, *cells, *verdicts)
    return table


def _cells(samples: Samples, name: str, peers: list[str]) -> list[str]:
    return [rounded(1 / samples.median(name), 0), *[rounded(samples.ratio(peer, name)) for peer in peers]]


def _cases(servers: Mapping[str, Address], path: str, count: int) -> dict[str, Callable[[], float]]:
    return {name: partial(read_all, address, f"/{path}", count) for name, address in servers.items()}


if __name__ == "__main__":
    main(APPS)
