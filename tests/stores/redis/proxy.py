"""A wire between a store and its server that can be cut, and that can lose what was answered."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Proxy:
    """
    Forward from one socket to another.

    Attributes:
        path: Where it listens.
        loses: The next answers to so many exchanges are lost, and the connection with them: what was asked is done.
        accepted: How many connections there ever were.
        held: How many pieces of data had to wait for `release`.
    """

    def __init__(self, path: str, server: str) -> None:
        self.path = path
        self.loses = 0
        self.accepted = 0
        self.held = 0
        self._server = server
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    def cut(self) -> None:
        """Close every connection."""
        for writer in list(self._open):
            writer.close()

    def hold(self) -> None:
        """Forward nothing more, and close nothing: half-open connections."""
        self._flows.clear()

    def release(self) -> None:
        """Forward again."""
        self._flows.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        self.accepted += 1
        up_reader, up_writer = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, up_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, answers=False))
                group.create_task(self._pump(up_reader, writer, answers=True))
        finally:
            for each in (writer, up_writer):
                self._open.discard(each)
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                self.held += not self._flows.is_set()
                await self._flows.wait()
                if answers and self.loses:
                    self.loses -= 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def through(server: str) -> AsyncGenerator[Proxy, None]:
    """Serve a proxy before a server."""
    with tempfile.TemporaryDirectory(prefix="sse") as folder:
        proxy = Proxy(str(Path(folder) / "p"), server)
        tasks = set[asyncio.Task[None]]()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(proxy.serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        listening = await asyncio.start_unix_server(accept, proxy.path)
        try:
            yield proxy
        finally:
            listening.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
