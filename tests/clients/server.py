"""
What the clients ask: uvicorn, a relay, and every dialect under the paths where its clients look for it.

The name of the model (the agent, the chat) says which play is to be performed, and after how many events its connection
is to be cut: ``text``, ``usage.cut3``; what follows a dash tells runs apart.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import uvicorn

from sse_relay import Relay
from sse_relay.adapters.asgi import EventStreamResponse, relay_app, respond, responses_app
from sse_relay.adapters.messages import Message, Receive, Scope, Send, body, start
from sse_relay.adapters.requests import query_of
from sse_relay.dialects import AISDK, Anthropic, Dialect, Letta, OpenAIChat, OpenAIResponses
from sse_relay.stores.redis import RedisStore
from tests.clients.plays import perform

App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEEPALIVE = 0.25
MODEL = "a-model"
UI = AISDK(finish_reason=True)


class Server:
    """
    The application.

    Args:
        relay: Where runs are.
        redis: Where its store is, for producers of other processes.
    """

    def __init__(self, relay: Relay, redis: str) -> None:
        dialects = (OpenAIChat(model=MODEL, include_usage=True), Anthropic(model=MODEL), UI, Letta())
        options: Any = {"authorize": lambda _: True, "keepalive": KEEPALIVE}
        self._relay = relay
        self._redis = redis
        self._cut_off: set[str] = set()
        self._producers: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
        self._runs = relay_app(relay, **options)
        # The official clients take a 204 for an error: those who have seen the end get it again.
        self._rendered = relay_app(relay, dialects=dialects, end_status=200, **options)
        self._responses = responses_app(relay, model=MODEL, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        said = await _json(receive) if scope["method"] == "POST" else {}
        await (await self._answer(scope, said))(scope, receive, send)

    async def _answer(self, scope: Scope, said: Mapping[str, Any]) -> App:
        path = scope["path"].split("/")[1:]
        if scope["method"] == "POST" and (asked := _asked(path, said)) is not None:
            return await self._play(scope, *asked)
        return await (self._again(scope, path) if scope["method"] == "GET" else self._other(path, said))

    async def _again(self, scope: Scope, path: list[str]) -> App:
        """Show what is there already."""
        query = query_of(scope)
        match path:
            case ["api", "chat", chat, "stream"]:
                run = await self._relay.active(chat)
                return _told(None) if run is None else self._view(run.id, UI)
            case ["v1", "responses", *_]:
                return self._responses
            case ["runs", run_id, "events"] if "cut" in query and run_id not in self._cut_off:
                self._cut_off.add(run_id)  # once: these clients come back under the same address
                return _cut(self._runs, query["cut"])
            case _:
                return self._rendered if "dialect" in query else self._runs

    async def _other(self, path: list[str], said: Mapping[str, Any]) -> App:
        match path:
            case ["native", play]:
                return _told({"id": await self._start(play)})
            case ["v1", "runs", run_id, "stream"]:
                return self._view(run_id, Letta(), said.get("starting_after"))
            case ["v1", "agents", _, "messages", "cancel"]:
                return await self._cancel(said["run_ids"])
            case ["api", "chat", chat, "stop"]:
                run = await self._relay.active(chat)
                return await self._cancel([] if run is None else [run.id])
            case ["v1", "responses", *_]:
                return self._responses
            case _:
                return self._runs

    async def _play(self, scope: Scope, name: str, dialect: Dialect, key: str | None) -> App:
        play, _, cut = name.partition("-")[0].partition(".cut")
        if play == "killed":
            return self._view(await self._doomed(), dialect)
        shown = await respond(self._relay, perform(play), scope=scope, key=key, dialect=dialect, keepalive=KEEPALIVE)
        return _cut(shown, cut)

    def _view(self, run_id: str, dialect: Dialect, after: int | None = None) -> App:
        return EventStreamResponse(
            self._relay.subscribe(run_id, after), dialect=dialect, keepalive=KEEPALIVE, end_status=200
        )

    async def _cancel(self, run_ids: list[str]) -> App:
        return _told({run_id: (await self._relay.cancel(run_id)).status for run_id in run_ids})

    async def _start(self, play: str) -> str:
        return await self._doomed() if play == "killed" else (await self._relay.start(perform(play))).id

    async def prepare(self) -> None:
        """Have a producer ready that can be killed: to start one takes longer than clients wait."""
        command = (sys.executable, "-m", "tests.clients.producer", self._redis)
        pipe = asyncio.subprocess.PIPE
        await self._producers.put(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def dismiss(self) -> None:
        """Let nobody wait any longer."""
        while not self._producers.empty():
            process = self._producers.get_nowait()
            process.kill()
            await process.wait()

    async def _doomed(self) -> str:
        """Start a run in a process of its own, and kill that as soon as half of the text is stored."""
        process = await self._producers.get()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        run_id = (await process.stdout.readline()).decode().strip()
        process.kill()
        await process.wait()
        await self.prepare()
        return run_id


def _asked(path: list[str], said: Mapping[str, Any]) -> tuple[str, Dialect, str | None] | None:
    """Tell which play a request wants to see, in which dialect, and as whose one run."""
    match path:
        case ["v1", "chat", "completions"]:
            usage = (said.get("stream_options") or {}).get("include_usage", False)
            return said["model"], OpenAIChat(model=MODEL, include_usage=usage), None
        case ["v1", "responses"]:
            return said["model"], OpenAIResponses(model=MODEL), None
        case ["v1", "messages"]:
            return said["model"], Anthropic(model=MODEL), None
        case ["v1", "agents", agent, "messages", "stream"]:
            return agent, Letta(), None
        case ["api", "chat"]:
            return said["id"], UI, said["id"]
        case _:
            return None


def _cut(app: App, after: str) -> App:
    """Cut the connection after so many events, heartbeats apart; nothing: never."""
    if not after:
        return app
    left = int(after)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def meter(message: Message) -> None:
            nonlocal left
            if message["type"] != "http.response.body":
                await send(message)
                return
            *blocks, rest = message["body"].split(b"\n\n")
            for block in blocks:
                if b"data:" in block and b"ping" not in block:
                    if not left:
                        raise ConnectionResetError
                    left -= 1
                await send(body(block + b"\n\n"))
            await send(body(rest, more=message["more_body"]))

        await app(scope, receive, meter)

    return answer


def _told(said: Mapping[str, Any] | None) -> App:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send(start(204 if said is None else 200, {b"content-type": b"application/json"}))
        await send(body(b"" if said is None else json.dumps(said).encode(), more=False))

    return answer


async def _json(receive: Receive) -> dict[str, Any]:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body", False):
            said: dict[str, Any] = json.loads(content or b"{}")
            return said


@asynccontextmanager
async def application(redis: str) -> AsyncGenerator[Server, None]:
    """Open the relay, and the application on it."""
    async with aclosing(RedisStore.from_url(redis)) as store, Relay(store, lease=1.0) as relay:
        server = Server(relay, redis)
        await server.prepare()
        try:
            yield server
        finally:
            await server.dismiss()


async def main(redis: str, descriptor: int) -> None:
    """Serve on an open socket until the process is told to end."""
    async with application(redis) as app:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_level="warning", timeout_graceful_shutdown=1)
        with socket.socket(fileno=descriptor) as listener:
            await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
