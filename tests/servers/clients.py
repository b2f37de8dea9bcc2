"""Clients of a server in another process, and the ways in which they go."""

import asyncio
import ctypes
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sse_relay import EventDecoder, ServerSentEvent
from tests.adapters.frameworks import ask
from tests.adapters.relays import BEAT
from tests.adapters.servers import Connection
from tests.servers.places import Served

_SO_ATTACH_FILTER = 26
_PROMPT = 5.0  # seconds in which a server should see that a client is gone


def ids(epoch: str, words: Sequence[str], after: int = 0) -> list[bytes]:
    """Tell the frames of a run that has ended, each with its id, after an offset."""
    events = [ServerSentEvent(word) for word in words]
    events.append(ServerSentEvent('{"status":"completed","reason":null,"error":null}', event="end"))
    frames = [event.replace(id=f"{epoch}:{offset}").encode() for offset, event in enumerate(events, 1)]
    return frames[after:]


def events_of(body: bytes) -> list[ServerSentEvent]:
    """Tell the whole events of a body."""
    return EventDecoder().feed(body)


def last_id(body: bytes) -> str | None:
    """Tell what a client has seen that got so much of a body."""
    decoder = EventDecoder()
    decoder.feed(body)
    return decoder.last_event_id or None


def events(run_id: str) -> str:
    """Tell where a run is viewed."""
    return f"/relay/runs/{run_id}/events"


def epoch_of(body: bytes) -> str:
    """Tell the epoch of what a body shows."""
    return (events_of(body)[0].id or "").partition(":")[0]


def without_beats(body: bytes) -> bytes:
    """Tell what was said, without the heartbeats in between."""
    return body.replace(BEAT, b"")


async def answered(up: Served, path: str, *, method: str = "GET") -> Any:
    """Ask for JSON."""
    answer = await ask(up.server, path, method=method)
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def until(client: Connection, text: bytes, body: bytes = b"") -> bytes:
    """Read a body on until it has a text."""
    while text not in body:
        part = await client.chunk()
        assert part, "the body has ended"
        body += part
    return body


async def opened(client: Connection, path: str, *, seen: str | None = None) -> bytes:
    """Ask for a stream; tell its head, in lower case."""
    head = (await client.get(path, last_id=seen)).lower()
    assert head.startswith(b"http/1.1 200"), head
    assert b"content-type: text/event-stream" in head
    assert b"content-length" not in head
    return head


def leave(client: Connection) -> None:
    """Close the connection as a page does that is left: there is nothing unread, and a FIN goes out."""
    client.writer.close()


def cut(client: Connection) -> None:
    """Cut the connection: a RST goes out."""
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


def vanish(client: Connection) -> None:
    """
    Be a host that has lost its network: no packet is taken any more, and none is acknowledged.

    What arrives at the socket is dropped by a filter of one instruction, which returns 0.
    """
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(nothing))
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def unchunked(raw: bytes) -> bytes:
    """Read a body in chunks that may end anywhere."""
    body = b""
    while b"\r\n" in raw:
        size, _, raw = raw.partition(b"\r\n")
        body += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]
    return body


async def nobody_is_left(up: Served, *, within: float = _PROMPT, look: Callable[[Any], object] | None = None) -> None:
    """Wait until the server answers no stream any more, and the relay has no viewer."""
    deadline = asyncio.get_running_loop().time() + within
    while (state := await answered(up, "/stage/state"))["streams"] or state["viewers"]:
        if look is not None:
            look(state)
        assert asyncio.get_running_loop().time() < deadline, f"{state} after {within} seconds"
        await asyncio.sleep(0.02)


async def go_on(up: Served, *run_ids: str) -> None:
    """Let plays go on that wait to be told."""
    await answered(up, f"/stage/go/{'/'.join(run_ids)}")


async def stop(up: Served, run_id: str) -> None:
    """Cancel a run."""
    assert (await answered(up, f"/relay/runs/{run_id}/cancel", method="POST"))["status"] == "cancelled"


async def old_http(up: Served, *, keep_alive: bool) -> tuple[bytes, bytes]:
    """Watch a run of words by HTTP/1.0, until the connection ends; tell the head, in lower case, and the raw body."""
    run_id = f"words-old-{keep_alive}"
    await answered(up, f"/stage/start/{run_id}")
    async with up.server.connect() as client:
        more = "connection: keep-alive\r\n" if keep_alive else ""
        client.writer.write(f"GET {events(run_id)} HTTP/1.0\r\nhost: test\r\n{more}\r\n".encode())
        head = (await client.reader.readuntil(b"\r\n\r\n")).lower()
        assert head.split(b" ")[1] == b"200"
        assert b"content-type: text/event-stream" in head
        body = await client.reader.readuntil(b"\ndata: 11: ")  # it streams: the rest has not been said yet
        await go_on(up, run_id)
        return head, body + await client.reader.read()


def watch(scenario: Awaitable[None]) -> None:
    """Perform a scenario; none may hang."""

    async def bounded() -> None:
        async with asyncio.timeout(50):
            await scenario

    asyncio.run(bounded())
