"""The gateway in memory: for the virtual clock."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from sse_relay import Relay
from tests.adapters.relays import memory, open_to_all
from tests.adapters.servers import App, Exchange
from tests.reading.gateway import Cut, Fault, Gateway, Truncated, Visit, begin


class _InMemory(Visit):
    """A request in memory: at most one piece is on the wire."""

    def __init__(self, app: App, request: httpx2.Request) -> None:
        super().__init__(0, request.url.raw_path.decode(), request.headers.get("last-event-id"))
        self._app = app
        self._wire: asyncio.Queue[Any] = asyncio.Queue(1)

    async def rest(self) -> AsyncGenerator[bytes]:
        messages: asyncio.Queue[Any] = asyncio.Queue(1)
        headers = {} if self.last_id is None else {"last-event-id": self.last_id}
        exchange = Exchange(on_send=messages.put, path=self.path, headers=headers)
        task = asyncio.ensure_future(exchange.view(self._app))
        try:
            while (message := await messages.get()).get("more_body", True):
                if message.get("body"):
                    yield message["body"]
            yield message["body"]
        finally:
            exchange.gone.set()
            task.cancel()
            await asyncio.wait({task})

    async def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self._wire.put((status, {"content-type": content_type, **named}))

    async def write(self, data: bytes) -> None:
        if data:
            await self._wire.put(data)

    async def serve(self, gateway: Gateway) -> None:
        """Answer, and tell how that ended."""
        try:
            await gateway.answer(self)
            end: Exception | None = None
        except Cut:
            end = httpx2.ReadError("cut")
        except Truncated:
            end = httpx2.RemoteProtocolError("peer closed connection without sending complete message body")
        await self._wire.put(end)

    async def next(self) -> Any:
        """Read what comes over the wire."""
        item = await self._wire.get()
        if isinstance(item, Exception):
            raise item
        return item


class _Body(httpx2.AsyncByteStream):
    def __init__(self, visit: _InMemory, task: "asyncio.Task[None]") -> None:
        self._visit = visit
        self._task = task

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while (data := await self._visit.next()) is not None:
            yield data

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, app: App, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        visit = _InMemory(self._app, request)
        body = _Body(visit, asyncio.create_task(visit.serve(self._gateway)))
        try:
            status, headers = await visit.next()
        except BaseException:
            await body.aclose()
            raise
        return httpx2.Response(status, headers=headers, stream=body)


@asynccontextmanager
async def in_memory(fault: Fault, *script: object) -> AsyncGenerator[Gateway]:
    """Stand in memory, for the virtual clock."""
    async with Relay(memory()) as relay:
        run = await begin(relay, script)
        gateway = Gateway(f"http://gateway/runs/{run.id}/events", fault, {})
        async with httpx2.AsyncClient(transport=_Transport(open_to_all(relay), gateway)) as client:
            gateway.options["client"] = client
            yield gateway
