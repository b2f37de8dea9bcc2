"""
The demo as a bare ASGI app: no framework, and one process that plays two.

::

    GET  /                       the page and its files
    GET  /about                  what answers here, and how long things take
    POST /runs                   {"prompt": …, "mode": …} → 201 {"id": …}; the run goes on whoever views it
    GET  /runs                   the newest runs
    GET  /runs/{id}/events       an event stream, from the start or after Last-Event-ID
    GET  /runs/{id}              one run's state
    POST /runs/{id}/cancel       ends it, whoever asks
    POST /workers/crash          the worker dies as by kill -9, and a new one takes its place

Two relays share one store, as two processes would. `web` serves viewers, and notices who has died; the worker produces.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from sse_relay import DrainingError, ErrorCatalog, MemoryStore, Relay
from sse_relay.adapters.asgi import ProblemResponse, relay_app
from sse_relay.adapters.messages import Receive, Scope, Send, body, start
from sse_relay.adapters.requests import path_of
from sse_relay.demo import modes
from sse_relay.demo.modes import Timings, misbehave
from sse_relay.demo.page import load_page
from sse_relay.demo.requests import MAX_PROMPT, Question, RefusedError, read_question, require, require_json
from sse_relay.demo.text import load_text, paced, tokens_of
from sse_relay.demo.worker import Workers
from sse_relay.dialects import Delta
from sse_relay.dialects.native import outcome_json
from sse_relay.stores.protocol import RunInfo

if TYPE_CHECKING:
    from sse_relay.demo.upstream import Upstream

__all__ = ["DemoApp"]

MAX_LIVE = 256
LISTED = 50
LISTED_PROMPT = 200
RETENTION = 3600.0
MAX_EVENTS = 50_000
MAX_BYTES = 8 << 20


class DemoApp:
    """
    The app: one page, and the runs that it starts.

    It is open between the lifespan's startup and shutdown, or inside its ``async with``.

    Args:
        upstream: What answers; None: the built-in text.
        text: The built-in text; None: the essay.
        timings: How long things take.
    """

    def __init__(
        self, *, upstream: "Upstream | None" = None, text: str | None = None, timings: Timings | None = None
    ) -> None:
        self._upstream = upstream
        self._timings = timings or Timings()
        self._page = load_page()
        self._tokens = list(tokens_of(text or load_text()))
        self._errors = ErrorCatalog()
        modes.register_errors(self._errors)
        if upstream is not None:
            from sse_relay.demo.upstream import register_errors  # noqa: PLC0415 - httpx2 is needed with an upstream only

            register_errors(self._errors)
        self._boot = 0.0
        self._store = MemoryStore(retention=RETENTION, max_events=MAX_EVENTS, max_bytes=MAX_BYTES, clock=self._now)
        self._web = Relay(self._store, lease=self._timings.lease)
        # Everyone may do everything: the demo listens to this machine only, unless it is told otherwise, and each tab
        # is to view and stop what another one started. An application tells here whose run it is.
        self._relay_app = relay_app(
            self._web,
            authorize=lambda _: True,
            cancel_grace=self._timings.grace,
            keepalive=self._timings.heartbeat,
        )
        self._workers = Workers(self._store, lease=self._timings.lease, errors=self._errors)
        self._starting = 0

    async def __aenter__(self) -> Self:
        self._boot = time.time() - asyncio.get_running_loop().time()
        await self._web.__aenter__()
        await self._workers.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(0)
        if self._upstream is not None:
            await self._upstream.aclose()

    async def live(self) -> int:
        """Tell how many runs have not ended."""
        return len([run async for run in self._web.runs("running")])

    async def drain(self, grace: float | None = None) -> None:
        """
        Refuse new runs, let the live ones end within the grace, seal the rest, and let every viewer go; idempotent.

        Args:
            grace: In seconds; None: the demo's own.
        """
        await self._workers.drain(self._timings.drain if grace is None else grace)
        await self._web.drain(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the demo answers http requests, not {scope['type']}")
        try:
            await self._route(scope, receive, send)
        except RefusedError as refusal:
            await ProblemResponse(refusal.error, _raw(refusal.headers))(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        match path.split("/")[1:]:
            case ["runs"]:
                require(scope, "GET", "HEAD", "POST")
                if scope["method"] == "POST":
                    await self._start(await read_question(scope, receive), send)
                else:
                    await _answer_json(send, await self._runs())
            case ["runs", *_]:
                await self._relay_app(scope, receive, send)
            case ["workers", "crash"]:
                require(scope, "POST")
                require_json(scope)
                await self._crash(send)
            case ["about"]:
                require(scope, "GET", "HEAD")
                await _answer_json(send, self._about())
            case _ if (asset := self._page.get(path)) is not None:
                require(scope, "GET", "HEAD")
                await _answer(send, 200, asset.headers, asset.content)
            case _:
                raise RefusedError(404, "not_found", "There is nothing here.")

    def _about(self) -> dict[str, object]:
        timings = self._timings
        return {
            "source": "upstream" if self._upstream else "text",
            "model": self._upstream and self._upstream.model,
            "idle_seconds": timings.idle,
            "heartbeat_seconds": timings.heartbeat,
            "lease_seconds": timings.lease,
            "away_seconds": timings.away,
            "grace": timings.grace,
            "max_prompt": MAX_PROMPT,
        }

    async def _runs(self) -> dict[str, object]:
        listed: list[dict[str, object]] = []
        async for run in self._web.runs():
            listed.append(_listed(run))
            if len(listed) == LISTED:
                break
        return {"now": self._now(), "runs": listed}

    async def _start(self, question: Question, send: Send) -> None:
        if await self.live() + self._starting >= MAX_LIVE:
            raise RefusedError(503, "too_many_runs", "Too many runs are live. Try again.")
        timings = self._timings
        patient = self._upstream is not None and question.mode != "silent"
        self._starting += 1
        try:
            run = await self._workers.start(
                misbehave(self._answer(question.prompt), question.mode, timings),
                metadata={"prompt": question.prompt, "mode": question.mode},
                idle_timeout=timings.upstream_idle if patient else timings.idle,
            )
        except DrainingError:  # the server leaves; or the worker crashed in this instant, and there is a new one now
            raise _draining() from None
        finally:
            self._starting -= 1
        await _answer_json(send, {"id": run.id}, status=201, headers={"location": f"runs/{run.id}"})

    def _answer(self, prompt: str) -> AsyncGenerator[Delta, None]:
        if self._upstream is not None:
            return self._upstream.answer(prompt)
        timings = self._timings
        return paced(self._tokens, tokens_per_second=timings.tokens_per_second, first_token=timings.first_token)

    async def _crash(self, send: Send) -> None:
        try:
            await self._workers.crash()
        except DrainingError:
            raise _draining() from None
        await _answer_json(send, {"lease_seconds": self._timings.lease}, status=202)

    def _now(self) -> float:
        """Tell the time of day by the loop's clock: one that is set back or forth must not end every lease."""
        return self._boot + asyncio.get_running_loop().time()


def _draining() -> RefusedError:
    return RefusedError(503, "draining", "Nobody takes new runs just now. Try again.")


def _listed(run: RunInfo) -> dict[str, object]:
    return {
        "id": run.id,
        "status": run.status,
        "outcome": run.outcome and outcome_json(run.outcome),
        "prompt": str(run.metadata["prompt"])[:LISTED_PROMPT],
        "mode": run.metadata["mode"],
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "last_offset": run.last_offset,
    }


async def _answer(send: Send, status: int, headers: Mapping[str, str], content: bytes) -> None:
    await send(start(status, _raw({**headers, "content-length": str(len(content))})))
    await send(body(content, more=False))


async def _answer_json(
    send: Send, said: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    headers = {"content-type": "application/json", "cache-control": "no-store", **headers}
    await _answer(send, status, headers, json.dumps(said).encode())


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}
