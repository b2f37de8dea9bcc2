"""The gateway on sockets, before uvicorn: for the real clock."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sse_relay import Relay
from sse_relay.client import Backoff
from tests.adapters.relays import open_to_all
from tests.adapters.servers import serve
from tests.reading.gateway import Cut, Fault, Gateway, Truncated, Visit, begin


class _OnSocket(Visit):
    """A request on a socket; its answer is chunked."""

    def __init__(self, head: bytes, port: int, writer: asyncio.StreamWriter) -> None:
        line, *fields = head.decode().split("\r\n")
        named = dict(field.lower().split(": ", 1) for field in fields if field)
        super().__init__(0, line.split(" ")[1], named.get("last-event-id"))
        self._port = port
        self._writer = writer
        self._begun = False

    async def rest(self) -> AsyncGenerator[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            last_id = "" if self.last_id is None else f"last-event-id: {self.last_id}\r\n"
            writer.write(f"GET {self.path} HTTP/1.0\r\nhost: relay\r\n{last_id}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            while piece := await reader.read(65_536):
                yield piece
        finally:
            writer.transport.abort()

    async def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        named = {"content-type": content_type, "connection": "close"}
        if status not in {204, 307}:
            named["transfer-encoding"] = "chunked"
            self._begun = True
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._writer.write(f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode())

    async def write(self, data: bytes) -> None:
        if data:
            self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self._writer.drain()

    async def serve(self, gateway: Gateway) -> None:
        """Answer, and end it."""
        try:
            await gateway.answer(self)
        except Truncated:
            self._writer.write(b"ff\r\nid: x")
        except Cut:
            self._writer.transport.abort()
        else:
            self._writer.write(b"0\r\n\r\n" if self._begun else b"")
        self._writer.close()
        await self._writer.wait_closed()


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Wait for one of them, and cancel the others."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def on_sockets(fault: Fault, *script: object, ssl: Any = None) -> AsyncGenerator[Gateway]:
    """Stand on a socket before uvicorn, for the real clock."""
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            visit = _OnSocket(await reader.readuntil(b"\r\n\r\n"), uvicorn._port, writer)
            answering = asyncio.create_task(visit.serve(gateway))
            leaving = asyncio.create_task(reader.read())
            await _first_of(answering, leaving)
        writer.transport.abort()
        tasks.discard(task)

    async with Relay() as relay:
        run = await begin(relay, script)
        async with serve(open_to_all(relay)) as uvicorn:
            listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=ssl)
            port = listening.sockets[0].getsockname()[1]
            url = f"{'https' if ssl else 'http'}://127.0.0.1:{port}/runs/{run.id}/events"
            gateway = Gateway(url, fault, {"backoff": Backoff(first=0.001, cap=0.01), "read_timeout": 0.4})
            try:
                yield gateway
            finally:
                listening.close()
                for task in list(tasks):
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
