"""
What it costs to read an event with the whole client, beside the SSE readers of the HTTP clients.

Each reads the same body from the same kind of transport, which has it in memory: what is measured is all that happens
between the bytes of a connection and the reader's ``async for``. Ours finds silence, resumes, bounds and deduplicates
on the way; the others do not.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from benchmarks.decoders import OURS
from benchmarks.fixtures import SHAPES
from benchmarks.measure import TIMES, Table, Verdict, at_least, cpu_ns, interleave, rounded
from sse_relay.client import Backoff, connect

__all__ = ["LIVE", "PEER", "Read", "readers", "tables"]

PEER = "httpx2"
LIVE = "id, event, data; one a chunk"
_URL = "http://localhost/"
_TARGET = 2.0
_AT_ONCE = Backoff(first=0, cap=0)

Read = Callable[[Sequence[bytes], Callable[[Any], object]], Coroutine[Any, Any, None]]
"""Reads one body to its end; each event that it hands over has ``data``, ``event`` and ``id``."""


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    count, rounds = (100, 2) if quick else (5000, 21)
    found = readers()
    peers = [name for name in found if name != OURS]
    table = Table(
        "Read 180-byte events, in chunks of 4 KiB, with a whole client",
        ("", f"{OURS}, ns an event", *[f"{TIMES} {name}" for name in peers], "target"),
    )
    bodies = {shape.name: shape.stream(count) for shape in SHAPES}
    bodies[LIVE] = [shape.frame for shape in SHAPES if shape.name == "id, event, data"] * count
    with asyncio.Runner() as runner:
        for name, body in bodies.items():
            cases = {reader: _reading(runner, read, body, count) for reader, read in found.items()}
            samples = interleave(cases, rounds)
            ratios = {peer: samples.ratio(peer, OURS) for peer in peers}
            judged = name != LIVE  # where what the HTTP client does for each chunk is most of it
            verdict: Verdict | str = at_least(_TARGET, ratios[PEER], f"{TIMES} {PEER}") if judged else ""
            cells = [rounded(ratio, 1) for ratio in ratios.values()]
            table.add(name, rounded(samples.median(OURS), 0), *cells, verdict)
    return [table]


def readers() -> dict[str, Read]:
    """Return the readers whose packages are here, by name."""
    httpx2 = import_module("httpx2")
    found: dict[str, Read] = {OURS: _sse_relay(httpx2), PEER: _httpx2(httpx2)}
    with suppress(ImportError):
        found["httpx-sse"] = _httpx_sse(import_module("httpx"), import_module("httpx_sse"))
    return found


def _reading(runner: asyncio.Runner, read: Read, body: Sequence[bytes], count: int) -> Callable[[], float]:
    async def run() -> None:
        await read(body, deque[Any](maxlen=0).append)

    return lambda: cpu_ns(lambda: runner.run(run())) / count


def _sse_relay(library: Any) -> Read:  # noqa: ANN401 - httpx2, or httpx
    async def read(body: Sequence[bytes], take: Callable[[Any], object]) -> None:
        answers = iter([(200, body), (204, [])])  # it asks again until it is told that there is no more
        async with (
            _client(library, lambda: next(answers)) as client,
            connect(_URL, client=client, backoff=_AT_ONCE) as events,
        ):
            async for event in events:
                take(event)

    return read


def _httpx2(library: Any) -> Read:  # noqa: ANN401 - httpx2
    async def read(body: Sequence[bytes], take: Callable[[Any], object]) -> None:
        async with _client(library, lambda: (200, body)) as client, client.sse(_URL) as events:
            async for event in events:
                take(event)

    return read


def _httpx_sse(library: Any, sse: Any) -> Read:  # noqa: ANN401 - httpx, and httpx-sse
    async def read(body: Sequence[bytes], take: Callable[[Any], object]) -> None:
        async with (
            _client(library, lambda: (200, body)) as client,
            sse.aconnect_sse(client, "GET", _URL) as source,
        ):
            async for event in source.aiter_sse():
                take(event)

    return read


def _client(library: Any, answer: Callable[[], tuple[int, Sequence[bytes]]]) -> Any:  # noqa: ANN401 - of httpx2, or httpx
    """Make a client whose server is in memory."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, chunks: Sequence[bytes]) -> None:
            self._chunks = chunks

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self._chunks:
                yield chunk

    class Server(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, _: object) -> object:
            status, body = answer()
            return library.Response(status, headers={"content-type": "text/event-stream"}, stream=Body(body))

    return library.AsyncClient(transport=Server())
