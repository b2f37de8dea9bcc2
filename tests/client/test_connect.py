"""The options of `connect`, and real sockets: peers that do their worst, and a relay behind uvicorn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from sse_relay import CursorMismatchError, EventTooLargeError, Outcome, Relay, RunNotFoundError
from sse_relay.adapters.messages import Message, Receive, Scope, Send
from sse_relay.client import Backoff, ConnectionLostError, ResponseRefusedError, connect
from tests.adapters.relays import open_to_all
from tests.adapters.servers import TwoParts, serve
from tests.adapters.sources import play
from tests.client.peers import EPOCH, HEAD, NO_PAUSE, Handler, frame, last_id, log, offset_of, raw_server, read

SOON = Backoff(first=0.001, cap=0.01)
COMPLETED = Outcome("completed", "stop")


def real(main: Callable[[], Awaitable[None]], *, turns: int = 0) -> None:
    """Run on a real clock; no task may be left (L7), but for those that a client leaves to the loop's next turns."""

    async def settled() -> None:
        async with asyncio.timeout(15):
            await main()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(settled())


def by(writes: Callable[[int, list[bytes]], list[bytes | float]], requests: list[str | None]) -> Handler:
    """Answer each request, of that number and for the records it lacks, with these writes; a number is a silence."""

    async def handle(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(last_id(head))
        for step in writes(len(requests), log(6)[offset_of(last_id(head)) :]):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        writer.close()

    return handle


BUSY = b"HTTP/1.1 503 No\r\nretry-after: 0\r\n\r\n"
WHOLE = ["1", "2", "3", "4", "5"]
WORST: dict[str, Callable[[int, list[bytes]], list[bytes | float]]] = {
    "one byte at a time": lambda _, rest: [HEAD, *[bytes([byte]) for byte in b"".join(rest)]],
    "a BOM": lambda _, rest: [HEAD, b"\xef\xbb", b"\xbf", *rest],
    "CR only": lambda _, rest: [HEAD, b"".join(rest).replace(b"\n", b"\r")],
    "half-open": lambda number, rest: [HEAD, *rest[:2], *([60.0] if number < 3 else rest[2:])],
    "black hole": lambda number, rest: [60.0] if number < 3 else [HEAD, *rest],
    "no end after the end": lambda _, rest: [HEAD, *rest, 60.0],
    "comments for ever after the end": lambda _, rest: [HEAD, *rest, *[b": more\n"] * 100_000],
    "503 with Retry-After": lambda number, rest: [BUSY] if number < 3 else [HEAD, *rest],
    "no HTTP": lambda number, rest: [b"SSH-2.0\r\n"] if number < 3 else [HEAD, *rest],
    "a chunk that is cut": lambda number, rest: [
        HEAD.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n"),
        *[b"%x\r\n%s\r\n" % (len(record), record) for record in rest][: number],
        b"ff\r\nid: x\nda" if number < 5 else b"0\r\n\r\n",
    ],
    "all of it each time": lambda number, _: [HEAD, *log(6)[: number * 2]],
}  # fmt: skip


@pytest.mark.parametrize("worst", WORST)
def test_the_worst_of_peers(worst: str) -> None:
    """I1, I2, defect 20: whatever a peer does to the bytes, nothing is lost, nothing doubled, and it ends."""

    async def main() -> None:
        requests: list[str | None] = []
        async with raw_server(by(WORST[worst], requests)) as url:
            events = connect(url, backoff=SOON, read_timeout=0.4)
            assert (await read(events))[:-1] == WHOLE
            assert events.outcome == COMPLETED
            assert events.resumes <= len(requests) - 1 <= 6

    real(main)


def test_cut_at_every_byte_of_a_socket() -> None:
    """I1, I2, I3: a recorded stream, cut after each of its bytes, is whole after one resume."""

    async def main() -> None:
        cut = 0

        def writes(_: int, rest: list[bytes]) -> list[bytes | float]:
            return [HEAD, b"".join(rest)[: cut or None]] if len(rest) == 6 and not requests[:-1] else [HEAD, *rest]

        requests: list[str | None] = []
        async with raw_server(by(writes, requests)) as url, httpx.AsyncClient() as client:
            for cut in range(1, len(b"".join(log(6)))):
                requests.clear()
                events = connect(url, client=client, backoff=NO_PAUSE)
                assert (await read(events))[:-1] == WHOLE, cut
                assert len(requests) == 2

    real(main, turns=3)


def test_what_is_final() -> None:
    """I7, L6: other content and an event without end are typed errors, after one request."""

    async def main() -> None:
        requests: list[str | None] = []
        html = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>"
        async with raw_server(by(lambda *_: [html], requests)) as url:
            with pytest.raises(ResponseRefusedError, match="text/html"):
                await read(connect(url))
        endless: list[bytes | float] = [HEAD, frame(1), b"data: ", *[b"x" * 65_536] * 10_000]
        async with (
            raw_server(by(lambda *_: endless, requests)) as url,
            connect(url, max_event_bytes=1 << 17) as events,
        ):
            assert (await anext(events)).data == "1"
            with pytest.raises(EventTooLargeError):
                await anext(events)
        assert len(requests) == 2

    real(main)


def test_nobody_is_there() -> None:
    """I7: a port that nobody listens on is asked again, as often as the caller allows."""

    async def main() -> None:
        async with raw_server(by(lambda *_: [], [])) as url:
            pass
        with pytest.raises(ConnectionLostError) as caught:
            await read(connect(url, max_retries=2, backoff=SOON))
        assert caught.value.reason == "max_retries"

    real(main)


class Cutting:
    """An application whose responses are cut after so many bytes each, then no more."""

    def __init__(self, app: Any, *bytes_until_cut: int) -> None:
        self._app = app
        self._cuts = list(bytes_until_cut)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        left = self._cuts.pop(0) if self._cuts else None

        async def cutting(message: Message) -> None:
            nonlocal left
            data: bytes = message.get("body", b"")
            if left is not None and len(data) >= left:
                await send({"type": "http.response.body", "body": data[:left], "more_body": False})
                raise ConnectionResetError
            left = left and left - len(data)
            await send(message)

        await self._app(scope, receive, cutting)


def test_a_relay() -> None:
    """I1, I2: a live run behind uvicorn, cut again and again, is whole; so is one that has ended; then 204."""

    async def main() -> None:
        words = list(map(str, range(40)))
        async with Relay() as relay:
            run = await relay.start(play(*[step for word in words for step in (0.002, word)]))
            app = Cutting(open_to_all(relay), 1, 30, 45, 46, 47, 60, 333, 7)
            async with serve(app) as server:
                url = f"http://127.0.0.1:{server._port}/runs/{run.id}/events"
                live, ended = connect(url, backoff=SOON), connect(url)
                for events, resumes in ((live, 8), (ended, 0)):
                    assert (await read(events))[:-1] == words
                    assert (events.outcome, events.resumes) == (Outcome("completed"), resumes)
                assert await read(connect(url, after=ended.last_id)) == []
                assert (await read(connect(url, after=39)))[:-1] == ["39"]
                with pytest.raises(CursorMismatchError):
                    await read(connect(url, after=f"{EPOCH}:1"))
                with pytest.raises(RunNotFoundError, match="nothing"):
                    await read(connect(url.replace(run.id, "nothing")))

    real(main)


def test_options_are_checked() -> None:
    """An option that cannot be meant is refused before anything is sent."""
    wrong: list[dict[str, Any]] = [
        {"read_timeout": 0}, {"max_retries": -1}, {"starting_after": "openai"},
        {"starting_after": "openai", "dialect": TwoParts(), "after": f"{EPOCH}:1"}, {"dialect": TwoParts(), "after": 1},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(ValueError, match=r"\w"):
            connect("http://peer/", **options)
    with pytest.raises(TypeError):
        connect("http://peer/", dialect=object())  # type: ignore[arg-type]
