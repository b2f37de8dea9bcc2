"""The wire between one process and its server: cut before or after the server did what was asked, slow, or deaf."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Moment = Literal["before", "after"]
_PIECE = 1 << 16


class Wire:
    """
    All connections of one process.

    Attributes:
        lag: How long each piece of data takes, in seconds.
        deaf: Whether wake-ups are dropped, and nothing else.
        dropped: How many were.
        cuts: How many connections were cut.
    """

    def __init__(self, server: str) -> None:
        self.lag = 0.0
        self.deaf = False
        self.dropped = 0
        self.cuts = 0
        self._server = server
        self._open: set[_Connection] = set()
        self._cut_next: Moment | None = None

    def cut_next(self, moment: Moment) -> None:
        """Cut the connection of the next call: before the server hears of it, or before its answer is heard."""
        self._cut_next = moment

    def cut_ears(self) -> None:
        """Cut what wake-ups are heard on."""
        for connection in list(self._open):
            if connection.is_ear:
                self._cut(connection)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        with suppress(OSError):  # there may be no server
            up_reader, up_writer = await asyncio.open_unix_connection(self._server)
            connection = _Connection(writer, up_writer)
            self._open.add(connection)
            try:
                await asyncio.gather(self._ask(connection, reader), self._answer(connection, up_reader))
            finally:
                self._open.discard(connection)
                connection.close()
        writer.close()

    async def _ask(self, connection: "_Connection", reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE):
            connection.is_ear = connection.is_ear or b"SUBSCRIBE" in data
            if self.lag:
                await asyncio.sleep(self.lag)
            if self._cut_next and not connection.is_ear:
                moment, self._cut_next = self._cut_next, None
                if moment == "before":
                    self._cut(connection)
                    return
                connection.is_mute = True
            connection.up.write(data)
            await connection.up.drain()
        connection.close()

    async def _answer(self, connection: "_Connection", reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(_PIECE):
            if self.lag:
                await asyncio.sleep(self.lag)
            if connection.is_mute:
                self._cut(connection)
                return
            if connection.is_ear:
                data, rest = self._heard(rest + data)
            connection.down.write(data)
            await connection.down.drain()
        connection.close()

    def _heard(self, data: bytes) -> tuple[bytes, bytes]:
        """Part what is whole from what is not, and leave out wake-ups if they are to be dropped."""
        whole, at = list[bytes](), 0
        while (end := _end(data, at)) > at:
            said, at = data[at:end], end
            if self.deaf and b"message\r\n" in said[:20]:
                self.dropped += 1
            else:
                whole.append(said)
        return b"".join(whole), data[at:]

    def _cut(self, connection: "_Connection") -> None:
        self.cuts += 1
        connection.close()


class _Connection:
    """One connection, from the process down here to the server up there."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.down = down
        self.up = up
        self.is_ear = False
        self.is_mute = False

    def close(self) -> None:
        self.down.close()
        self.up.close()


def _end(data: bytes, at: int) -> int:
    """Tell where a reply ends; -1: it is not whole."""
    line = data.find(b"\r\n", at) + 2
    if line < 2:
        return -1
    kind, size = data[at : at + 1], data[at + 1 : line - 2]
    if kind == b"$" and int(size) >= 0:
        line += int(size) + 2
    elif kind == b"*":
        for _ in range(int(size)):
            line = _end(data, line)
            if line < 0:
                return -1
    return line if line <= len(data) else -1


@asynccontextmanager
async def wire(path: str, server: str) -> AsyncGenerator[Wire, None]:
    """Lay a wire from one socket to another."""
    laid = Wire(server)
    tasks = set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(laid.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_unix_server(accept, path)
    try:
        yield laid
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
