"""The text is whole, without a double, wherever a connection is cut, and however often (I3)."""

import asyncio
from random import Random

import pytest

from sse_relay import EventDecoder, Relay, ServerSentEvent
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Message
from sse_relay.dialects import Dialect, Native
from sse_relay.testing import FaultyStore
from tests.adapters.relays import Totals, memory, open_to_all, said
from tests.adapters.servers import App, Exchange, on_virtual_time
from tests.adapters.sources import play

STEPS: list[object] = [
    "a",
    0.01,
    ServerSentEvent("two\nlines", event="text"),
    "\N{SNOWMAN} \N{GRINNING FACE}",
    0.01,
    "",
    "id: 1\n\ndata: x",
    0.01,
    "end",
]


class Wire:
    """
    A connection that breaks after so many bytes of the body, as a TCP stream does: anywhere.

    Attributes:
        heard: What came through.
    """

    def __init__(self, bytes_until_cut: int | None) -> None:
        self.heard = b""
        self._left = bytes_until_cut

    async def send(self, message: Message) -> None:
        """Pass on what still comes through."""
        data: bytes = message.get("body", b"")
        if self._left is None:
            self.heard += data
            return
        self.heard += data[: self._left]
        self._left -= len(data[: self._left])
        if not self._left and message["type"] == "http.response.body":
            raise ConnectionResetError


class Reader:
    """
    A client that comes back with the last id that it has seen, and keeps what was complete.

    Attributes:
        events: What it has.
        connections: How often it came.
    """

    def __init__(self, app: App, path: str) -> None:
        self.events: list[ServerSentEvent] = []
        self.connections = 0
        self._app = app
        self._path = path
        self._last_id: str | None = None

    async def connect(self, bytes_until_cut: int | None = None) -> int:
        """Read until the cut, or the end; return the status."""
        self.connections += 1
        wire = Wire(bytes_until_cut)
        headers = {} if self._last_id is None else {"last-event-id": self._last_id}
        exchange = Exchange(on_send=wire.send, path=self._path, headers=headers)
        await exchange.view(self._app)
        seen = EventDecoder().feed(wire.heard)
        for event in seen:
            self._last_id = event.id or self._last_id
        self.events += seen
        return exchange.status

    @property
    def body(self) -> list[tuple[str | None, str | None, str | None]]:
        """What it has, told apart."""
        return said(self.events)


async def whole(app: App, path: str) -> list[tuple[str | None, str | None, str | None]]:
    """Read it all at once."""
    reader = Reader(app, path)
    await reader.connect()
    return reader.body


@on_virtual_time
async def test_cut_at_any_byte_of_what_is_stored() -> None:
    """I3: a run that has ended, cut after each of its bytes, and once more after each few bytes of the rest."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*STEPS))
        await relay.wait(run.id)
        app, path = open_to_all(relay), f"/runs/{run.id}/events"
        expected = await whole(app, path)
        assert [data for _, name, data in expected if name != "end"] == [
            step if isinstance(step, str) else "two\nlines" for step in STEPS if not isinstance(step, float)
        ]
        length = len((await Exchange(path=path).view(app)).body)
        for cut in range(1, length):
            reader = Reader(app, path)
            await reader.connect(cut)
            await reader.connect(1 + cut % 97)
            await reader.connect()
            assert reader.body == expected, cut
            assert await reader.connect() == 204


@pytest.mark.parametrize("relays", [1, 2], ids=["same process", "another process"])
@on_virtual_time
async def test_cut_at_any_byte_of_what_is_live(relays: int) -> None:
    """I1, I3: a live run, cut after each byte, and resumed at once, at the same or at another process."""
    length, cut = 2, 1
    while cut < length:
        store = memory()
        async with Relay(store) as relay, Relay(store) as other:
            run = await relay.start(play(*STEPS[:5]), run_id="run")
            path = f"/runs/{run.id}/events"
            reader = Reader(open_to_all(relay), path)
            await reader.connect(cut)
            reader._app = open_to_all([relay, other][relays - 1])
            while await reader.connect() != 204:
                pass
            assert reader.body == await whole(open_to_all(other), path), cut
            assert reader.connections <= 3
            length = len((await Exchange(path=path).view(open_to_all(relay))).body)
        cut += 1
    assert length > 200


@pytest.mark.parametrize("seed", range(20))
@on_virtual_time
async def test_cut_again_and_again(seed: int) -> None:
    """I3: a run that is cut every few bytes, behind a slow and forgetful store, on any of two processes."""
    random = Random(seed)
    store = FaultyStore(memory())
    async with Relay(store) as relay, Relay(store.store) as other:
        run = await relay.start(play(*[step for number in range(60) for step in (random.random() / 9, str(number))]))
        path = f"/runs/{run.id}/events"
        apps = [open_to_all(relay), open_to_all(other)]
        reader = Reader(apps[0], path)
        with (
            store.delays(lambda: random.random() / 50, "read", "end"),
            store.dropped_wakeups(lambda _: random.random() < 0.3),
        ):
            while await reader.connect(random.randrange(8, 200)) != 204:
                reader._app = random.choice(apps)
        assert [event.data for event in reader.events[:-1]] == list(map(str, range(60)))
        assert reader.body == await whole(apps[0], path)
        assert reader.connections > 20


@pytest.mark.parametrize("dialect", [Native(), Totals()], ids=["native", "totals"])
@on_virtual_time
async def test_cut_between_the_frames_of_a_record(dialect: Dialect) -> None:
    """I3: what a client has up to its last id, and what it gets after it, is the whole, in any dialect with ids."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*map(str, range(1, 12))))
        await relay.wait(run.id)

        def response(after: str | None = None) -> EventStreamResponse:
            return EventStreamResponse(relay.subscribe(run.id, after), dialect=dialect)

        exchange = await Exchange().view(response())
        ahead = 0 if isinstance(dialect, Native) else 1  # the preamble, which each connection begins with
        expected = said(exchange.events)[ahead:]
        for cut in range(1, len(exchange.body)):
            kept = EventDecoder().feed(exchange.body[:cut])[ahead:]
            while kept and kept[-1].id is None:
                kept.pop()
            after = kept[-1].id if kept else None
            rest = (await Exchange().view(response(after))).events[ahead:] if len(kept) < len(expected) else []
            assert said(kept) + said(rest) == expected, cut


@pytest.mark.parametrize("many", [2, 10])
@on_virtual_time
async def test_viewers_that_are_cut_do_not_disturb_each_other(many: int) -> None:
    """I1, L5: viewers of one run, each cut at its own times: each has the whole, and so has one that is never cut."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*[step for number in range(200) for step in (0.01, str(number))]))
        app, path = open_to_all(relay), f"/runs/{run.id}/events"
        readers = [Reader(app, path) for _ in range(many)]

        async def read(reader: Reader, random: Random | None) -> None:
            while await reader.connect(None if random is None else random.randrange(20, 900)) != 204:
                pass

        randoms = [None, *map(Random, range(many - 1))]
        await asyncio.gather(*map(read, readers, randoms))
        assert readers[0].connections == 2
        assert [event.data for event in readers[0].events[:-1]] == list(map(str, range(200)))
        assert all(reader.body == readers[0].body for reader in readers)
