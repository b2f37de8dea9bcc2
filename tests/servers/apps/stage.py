"""
What all applications of the table have: one relay, the plays that they perform, and a way to look behind the stage.

The beginning of a run's id says which play it is: ``words-…``. Paths below ``/stage`` are answered ahead of the
framework, and tell nothing to it.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from sse_relay import CancelToken, ErrorCatalog, ErrorInfo, MemoryStore, Relay, SSERelayError, cancellable
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.adapters.states import JsonResponse
from tests.servers.plays import MODEST, WORDS, big_words, many_words

App = Callable[[Scope, Receive, Send], Awaitable[None]]

SEND_TIMEOUT = float(os.environ.get("SEND_TIMEOUT", "30"))

_store = MemoryStore()
_elsewhere = Relay(_store)
_gone_on: dict[str, asyncio.Event] = {}
_streams = 0

relay = Relay(_store)
leaving = CancelToken()
drained: dict[str, Any] = {
    "grace": float(os.environ.get("GRACE", "1")),
    "signals": [signal.SIGTERM, signal.SIGINT],
    "leaving": leaving,
}
options: dict[str, Any] = {"send_timeout": SEND_TIMEOUT}


def allow_everyone(request: object) -> bool:
    """Let the tests in."""
    del request
    return True


async def perform(run_id: str) -> AsyncGenerator[str, None]:
    """Be the source of a run."""
    match run_id.partition("-")[0]:
        case "words":
            for number, word in enumerate(WORDS):
                if number == len(WORDS) // 2:
                    await _until_told(run_id)
                yield word
        case "big":
            for word in big_words():
                yield word
                await asyncio.sleep(0)
            await _until_told(run_id)
        case "busy":
            while True:
                yield MODEST
                await asyncio.sleep(0.002)
        case "flood":
            for word in many_words():
                yield word
                await asyncio.sleep(0.002)
        case _:
            yield "a"
            await _until_told(run_id)


async def read(run_id: str) -> AsyncGenerator[bytes, None]:
    """Be the body of a run, for frameworks whose routes cannot answer with an ASGI application."""
    async with relay.subscribe(run_id) as events:
        async for event in events:
            yield event.encode()  # noqa: ASYNC119 - the frameworks close their bodies


def refusal(error: SSERelayError) -> tuple[ErrorInfo, dict[str, str]]:
    """Say why there is no run, to those frameworks."""
    info = ErrorCatalog().resolve(error)
    return info, {"code": info.code, "detail": info.message}


def mounted(mounts: Mapping[str, App], other: App) -> App:
    """Answer below some paths by an application, and all else by another one: what ``asgi.py`` of a project has."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        for path, app in mounts.items():
            if scope["type"] == "http" and scope["path"].startswith(f"{path}/"):
                await app({**scope, "root_path": scope.get("root_path", "") + path}, receive, send)
                return
        await other(scope, receive, send)

    return answer


def staged(app: App) -> App:
    """Put the stage around an application."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        global _streams  # noqa: PLW0603 - the process has one stage
        if scope["type"] == "lifespan":
            await _elsewhere.__aenter__()
            await app(scope, receive, send)
        elif scope["path"].startswith("/stage/"):
            await (await _behind(scope["path"].split("/")[2:]))(scope, receive, send)
        else:
            _streams += 1
            try:
                await app(scope, receive, send)
            finally:
                _streams -= 1

    return answer


async def _behind(path: list[str]) -> App:
    match path:
        case ["state"]:
            viewers = sum(window.viewers for window in relay._tail._windows.values())
            return JsonResponse({"streams": _streams, "viewers": viewers, "memory": _memory()})
        case ["start", run_id]:
            return JsonResponse({"epoch": (await relay.start(perform(run_id), run_id=run_id)).epoch})
        case ["elsewhere", run_id]:
            return JsonResponse({"epoch": (await _elsewhere.start(perform(run_id), run_id=run_id)).epoch})
        case ["go", *run_ids]:
            for run_id in run_ids:
                _gone_on.setdefault(run_id, asyncio.Event()).set()
            return JsonResponse({})
        case _:
            return EventStreamResponse(cancellable(perform("foreground"), leaving))


async def _until_told(run_id: str) -> None:
    await _gone_on.setdefault(run_id, asyncio.Event()).wait()


def _memory() -> int:
    """Tell how much memory the process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
