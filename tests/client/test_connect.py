"""The options of `connect`, and real sockets: a relay behind uvicorn, and peers that are none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sse_relay import CursorMismatchError, Outcome, Relay, RunNotFoundError
from sse_relay.adapters.messages import Message, Receive, Scope, Send
from sse_relay.client import Backoff, ConnectionLostError, connect
from tests.adapters.relays import open_to_all
from tests.adapters.servers import TwoParts, serve
from tests.adapters.sources import play
from tests.client.peers import EPOCH, HEAD, Handler, last_id, log, offset_of, raw_server, read

SOON = Backoff(first=0.001, cap=0.01)
COMPLETED = Outcome("completed", "stop")


def real(main: Callable[[], Awaitable[None]]) -> None:
    """Run on a real clock; no task may be left (L7)."""

    async def settled() -> None:
        async with asyncio.timeout(15):
            await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(settled())


def by(writes: Callable[[int, list[bytes]], list[bytes]], requests: list[str | None]) -> Handler:
    """Answer each request, of that number and for the records it lacks, with these writes."""

    async def handle(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(last_id(head))
        for step in writes(len(requests), log(6)[offset_of(last_id(head)) :]):
            writer.write(step)
            await writer.drain()
        writer.close()

    return handle


def test_no_http() -> None:
    """I1, I2: a server that speaks something else is asked again."""

    async def main() -> None:
        requests: list[str | None] = []
        writes = by(lambda number, rest: [b"SSH-2.0\r\n"] if number < 3 else [HEAD, *rest], requests)
        async with raw_server(writes) as url:
            events = connect(url, backoff=SOON)
            assert (await read(events))[:-1] == ["1", "2", "3", "4", "5"]
            assert (events.outcome, events.resumes, len(requests)) == (COMPLETED, 0, 3)

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
