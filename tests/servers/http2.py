"""
A client of HTTP/2 in clear text, with prior knowledge.

``python -m tests.servers.http2 PORT`` tells as JSON what it saw. It runs where h2 is installed: where the servers are.
"""

# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

MANY = 50


class Stream:
    """
    One stream of a connection.

    Attributes:
        headers: The response's.
        body: What came of it.
        ended: Whether it has an end.
        reset: Whether the server gave it up.
    """

    def __init__(self, number: int, *, reads: bool) -> None:
        self.number = number
        self.reads = reads
        self.headers = list[tuple[str, str]]()
        self.body = bytearray()
        self.ended = self.reset = False


class Connection:
    """A connection, and the streams that it has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._streams = dict[int, Stream]()
        self._news = asyncio.Condition()
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(1 << 30)  # a stream that is not read holds up no other
        self._flush()

    def get(self, path: str, *, reads: bool = True) -> Stream:
        """Ask for something."""
        number = self._h2.get_next_available_stream_id()
        stream = self._streams[number] = Stream(number, reads=reads)
        asked = {":method": "GET", ":scheme": "http", ":authority": "test", ":path": path}
        self._h2.send_headers(number, [*asked.items()], end_stream=True)
        self._flush()
        return stream

    def leave(self, stream: Stream) -> None:
        """Want no more of a stream."""
        self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
        self._flush()

    async def until(self, stream: Stream, text: bytes | None = None) -> Stream:
        """Read on until a stream has a text, or has ended."""
        async with self._news:
            await self._news.wait_for(
                lambda: stream.ended or stream.reset or (text is not None and text in stream.body)
            )
        return stream

    async def ask(self, path: str) -> Any:
        """Ask for JSON."""
        return json.loads((await self.until(self.get(path))).body)

    async def listen(self) -> None:
        """Take what comes."""
        while data := await self._reader.read(1 << 16):
            for event in self._h2.receive_data(data):
                match event:
                    case ResponseReceived(headers=headers, stream_id=number):
                        self._streams[number].headers = [*headers]
                    case DataReceived(data=part, flow_controlled_length=length, stream_id=number):
                        self._streams[number].body += part
                        if self._streams[number].reads:
                            self._h2.acknowledge_received_data(length, number)
                    case StreamEnded(stream_id=number):
                        self._streams[number].ended = True
                    case StreamReset(stream_id=number):
                        self._streams[number].reset = True
                    case _:
                        pass
            self._flush()
            async with self._news:
                self._news.notify_all()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Connection]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection(reader, writer)
    listening = asyncio.create_task(connection.listen())
    try:
        yield connection
    finally:
        listening.cancel()
        writer.close()


async def nobody_is_left(connection: Connection) -> bool:
    """Wait until the relay has no viewer any more, for five seconds."""
    for _ in range(250):
        if (await connection.ask("/stage/state"))["viewers"] == 0:
            return True
        await asyncio.sleep(0.02)
    return False


async def watch(port: int) -> dict[str, Any]:
    """Watch, leave, and never read."""
    async with asyncio.timeout(50), connected(port) as connection:
        started = await connection.until(connection.get("/start/words-two"), b"\ndata: 11: ")
        viewing = [connection.get("/relay/runs/words-two/events") for _ in range(MANY)]
        for stream in viewing:
            await connection.until(stream, b"\ndata: 11: ")
        early = any(b"data: 12: " in stream.body for stream in [started, *viewing])
        await connection.ask("/stage/go/words-two")
        bodies = {(await connection.until(stream)).body.decode() for stream in [started, *viewing]}

        await connection.ask("/stage/start/silent-two")
        left = await connection.until(connection.get("/relay/runs/silent-two/events"), b"data: a\n\n")
        stayed = await connection.until(connection.get("/start/silent-too"), b"data: a\n\n")
        viewers = (await connection.ask("/stage/state"))["viewers"]
        connection.leave(left)
        await connection.ask("/stage/go/silent-too")
        await connection.until(stayed)
        gone = await nobody_is_left(connection)

        await connection.ask("/stage/start/flood-two")
        stuck = connection.get("/relay/runs/flood-two/events", reads=False)
        reading = await connection.until(connection.get("/relay/runs/flood-two/events"))
        dropped = await nobody_is_left(connection)
        return {
            "headers": started.headers,
            "early": early,
            "bodies": [*bodies],
            "viewers": viewers,
            "stayed": stayed.body.decode(),
            "gone": gone,
            "state": await connection.ask("/relay/runs/silent-two"),
            "read": reading.body.decode().count("\n\n"),
            "dropped": dropped,
            "stuck": len(stuck.body),
            "stuck knows": stuck.ended or stuck.reset,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch(int(sys.argv[1])))))  # noqa: T201
