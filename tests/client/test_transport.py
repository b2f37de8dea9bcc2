"""One connection, within its deadlines."""

import asyncio
import sys

import httpx2
import pytest

from sse_relay import IdleTimeoutError
from sse_relay.client.place import Request
from sse_relay.client.transport import ask, make_client
from tests.adapters.servers import on_virtual_time
from tests.client.peers import Peer, Reply

REQUEST = Request("http://peer/", "POST", {"accept": "text/plain"}, {"a": 1})


@on_virtual_time
async def test_a_request() -> None:
    """WHATWG: the headers of an event source, which the caller may replace, and the body as JSON."""
    peer = Peer(Reply())
    await (await ask(peer.client, REQUEST, 1)).aclose()
    (request,) = peer.requests
    assert (request.method, request.content, request.headers["cache-control"]) == ("POST", b'{"a":1}', "no-store")
    assert request.extensions["timeout"] == {"connect": 0.4, "read": None, "write": None, "pool": None}


@on_virtual_time
async def test_deadlines() -> None:
    """Defect 20: head and body have a deadline each, and no error of a client is taken for it."""
    loop = asyncio.get_running_loop()
    connection = await ask(Peer(Reply(b"a", 9.0, b"b", 11.0, b"c")).client, REQUEST, 10)
    assert [await connection.chunk(), await connection.chunk()] == [b"a", b"b"]
    with pytest.raises(IdleTimeoutError):
        await connection.chunk()
    assert loop.time() == pytest.approx(19)
    await connection.aclose()
    error = TimeoutError("its own")
    with pytest.raises(TimeoutError) as caught:
        await ask(Peer(error).client, REQUEST, 10)
    assert caught.value is error


@on_virtual_time
async def test_an_answer_is_bounded() -> None:
    """L6: of an answer that is no stream so much is read and no more, whether it ends, breaks or falls silent."""
    for steps in ([b"x" * 50_000] * 99, [b"x" * 65_536, 1e9]):
        connection = await ask(Peer(Reply(*steps, status=500)).client, REQUEST, 10)
        assert len((await connection.answer()).body) == 65_536
        await connection.aclose()
    connection = await ask(Peer(Reply(b"why", httpx2.ReadError(""), status=500)).client, REQUEST, 10)
    assert (await connection.answer()).body == b"why"


@on_virtual_time
async def test_a_close_that_hangs() -> None:
    """Defect 20: a peer that does not answer the close, or breaks it, holds nobody up."""

    class Stuck(Reply):
        async def aclose(self) -> None:
            await asyncio.sleep(1e9)

    connection = await ask(Peer(Stuck(b"a", 1e9)).client, REQUEST, 10)
    await connection.chunk()
    await connection.aclose()
    assert asyncio.get_running_loop().time() < 10


def test_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named where it is needed."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"sse-relay\[client\]"):
        make_client()
