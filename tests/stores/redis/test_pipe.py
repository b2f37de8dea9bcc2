"""Connections whose replies are handed over where they come in."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
import uvloop
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from sse_relay.stores.redis import pipe, resp
from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.pipe import Pipe
from sse_relay.stores.redis.resp import pack
from tests.stores.redis.proxy import Proxy, through
from tests.stores.redis.servers import Server
from tests.stores.redis.waiting import eventually


@pytest.fixture(params=["with hiredis", "without hiredis"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and write by hiredis, or by what is there without it."""
    if request.param == "without hiredis":
        monkeypatch.setattr(pipe, "HIREDIS", None)
        monkeypatch.setattr(resp, "HIREDIS", None)


class Heard:
    """What a pipe said."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.lost: list[Exception] = []


@asynccontextmanager
async def piped(server: Server) -> AsyncGenerator[tuple[Pipe, Heard, Proxy], None]:
    async with through(server.socket) as proxy:
        connection = await Connector(server.client(unix_socket_path=proxy.path), 5.0).connect()
        heard = Heard()
        made = Pipe(connection, heard.replies.append, heard.lost.append)
        try:
            yield made, heard, proxy
        finally:
            await made.aclose()


def test_replies_come_in_order_and_as_they_are(server: Server) -> None:
    """Bytes, numbers, nothing, lists and errors, of many commands at once and of any size; an error ends nothing."""
    big = b"\r\n$1\xff" * 100_000
    said = [(b"ECHO", b""), (b"ECHO", big), (b"NONSENSE",), (b"EVALSHA", b"0" * 40, b"0"), (b"GET", b"nothing"),
            (b"CONFIG", b"GET", b"port"), (b"STRLEN", b"nothing")]  # fmt: skip

    async def main() -> None:
        async with piped(server) as (ours, heard, _):
            for _ in range(2):
                ours.send(b"".join(pack(*words) for words in said))
                await eventually(lambda: len(heard.replies) >= len(said))
                first, echoed, nonsense, script, *others = heard.replies
                assert (first, echoed, others) == (b"", big, [None, [b"port", b"0"], 0])
                assert type(nonsense) is ResponseError
                assert type(script) is NoScriptError
                heard.replies.clear()
            assert heard.lost == []

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_replies_come_through_tls(server: Server, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Small replies and large ones are the same through TLS, which fills what it is given in parts; on both loops."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = authority.cert_pem.bytes().decode()
    texts = [b"%d" % size * size for size in (1, 10, 10_000, 100_000, 3)]

    async def main() -> None:
        front = await asyncio.start_server(Proxy("", server.socket).serve, "127.0.0.1", 0, ssl=context)
        host, port = front.sockets[0].getsockname()
        connection = await Connector(Redis(host=host, port=port, ssl=True, ssl_ca_data=trusted), 5.0).connect()
        heard = Heard()
        ours = Pipe(connection, heard.replies.append, heard.lost.append)
        for _ in range(3):
            ours.send(b"".join([pack(b"ECHO", text) for text in texts]))
            await eventually(lambda: len(heard.replies) + len(heard.lost) >= len(texts))
            assert heard.replies == texts
            heard.replies.clear()
        await ours.aclose()
        front.close()
        await front.wait_closed()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def test_the_end_is_told_once(server: Server) -> None:
    """A server that hangs up while nothing is asked, or between two halves of a reply, is told of at once."""

    async def main() -> None:
        async with piped(server) as (ours, heard, proxy):
            proxy.cut()
            await eventually(lambda: len(heard.lost) == 1)
            await ours.aclose()
            assert len(heard.lost) == 1

    asyncio.run(main())


def test_a_server_that_hung_up_before_is_noticed(server: Server) -> None:
    """What came to an end before the pipe was made of it is not waited for."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            connection: Any = await Connector(server.client(unix_socket_path=proxy.path), 5.0).connect()
            proxy.cut()
            await eventually(connection._reader.at_eof)
            heard = Heard()
            ours = Pipe(connection, heard.replies.append, heard.lost.append)
            await eventually(lambda: len(heard.lost) == 1)
            await ours.aclose()

    asyncio.run(main())


def test_who_hangs_up_hears_no_more(server: Server) -> None:
    """L7: after a close, or in the middle of what comes at once, nothing more is told, and no task is left."""

    async def main() -> None:
        async with through(server.socket) as proxy:
            connection = await Connector(server.client(unix_socket_path=proxy.path), 5.0).connect()
            heard = Heard()

            def first(reply: object) -> None:
                heard.replies.append(reply)
                ours.abort()

            ours = Pipe(connection, first, heard.lost.append)
            ours.send(pack(b"ECHO", b"1") + pack(b"ECHO", b"2"))
            await eventually(lambda: bool(heard.replies))
            for _ in range(2):
                await ours.aclose()
            assert (heard.replies, heard.lost) == ([b"1"], [])
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "sse_relay redis pipe"]

    asyncio.run(main())


def test_what_is_no_reply_ends_it(server: Server) -> None:
    """A peer that does not speak the protocol is left, and nothing it says is taken for a reply."""

    async def main() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"hello\r\n")
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        path = str(server.folder / "babble")
        async with await asyncio.start_unix_server(babble, path):
            connection: Any = await Connector(server.client(), 5.0).connect()
            await connection.disconnect()
            connection._reader, connection._writer = await asyncio.open_unix_connection(path)
            connection._parser.on_connect(connection)
            heard = Heard()
            ours = Pipe(connection, heard.replies.append, heard.lost.append)
            ours.send(pack(b"ECHO", b"hello"))
            await eventually(lambda: len(heard.lost) == 1)
            assert heard.replies == []
            await ours.aclose()

    asyncio.run(main())
