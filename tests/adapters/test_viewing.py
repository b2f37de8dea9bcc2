"""What one viewer of a run reads, in its dialect, from wherever it joins, and how it ends when something fails."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from sse_relay import ErrorCatalog, EventDecoder, InvalidEventError, Relay, ServerSentEvent, StoreUnavailableError
from sse_relay.adapters.asgi import EventStreamResponse
from sse_relay.adapters.messages import Message
from sse_relay.dialects import (
    Dialect,
    Finish,
    Letta,
    Native,
    OpenAIChat,
    OpenAIResponses,
    RenderContext,
    Renderer,
    TextDelta,
    Usage,
)
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import FaultyStore
from tests.adapters.relays import BEAT, Totals, memory, said
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play, silence

SECRET = "hunter2"


async def view(relay: Relay, run: RunInfo, after: Any = None, *, seconds: float = 1000, **options: Any) -> Exchange:
    """View a run to its end, or for so long."""
    exchange = Exchange()
    leaving = asyncio.get_running_loop().call_later(seconds, exchange.gone.set)
    await exchange.view(EventStreamResponse(relay.subscribe(run.id, after), **options))
    leaving.cancel()
    return exchange


async def start(relay: Relay, *steps: object) -> RunInfo:
    """Start a run by its script, and let it run for a second."""
    run = await relay.start(play(*steps))
    await asyncio.sleep(1)
    return run


def over(exchange: Exchange) -> str:
    """Tell how a stream in Totals ended: with both frames of one end, and a clean end of the body."""
    *_, total, last = exchange.events
    assert (total.event, last.event) == ("sum", "over")
    assert exchange.body.count(b"event: over") == 1
    assert exchange.complete
    return last.data or ""


# As stored


@on_virtual_time
async def test_records_are_passed_on_as_stored() -> None:
    """C4, defect 16: no payload is looked at: what is in it, names, lines, ids and nulls, arrives as it was sent."""
    items = ["", "a\nb\n\nc", 'id: 7\n"run_id":null', "\N{SNOWMAN}\u2028", ServerSentEvent("x", event="a:b")]
    async with Relay(memory()) as relay:
        run = await start(relay, *items)
        exchange = await view(relay, run)
        assert [event.data for event in exchange.events[:5]] == [*items[:4], "x"]
        assert [event.id for event in exchange.events] == [f"{run.epoch}:{offset}" for offset in range(1, 7)]
        assert exchange.events[4].event == "a:b"


@on_virtual_time
async def test_a_write_is_a_bounded_number_of_whole_events() -> None:
    """L6: a long log goes out in parts of whole events, each of which can be read alone."""
    async with Relay(memory()) as relay:
        run = await start(relay, *["x" * 1000] * 1500)
        exchange = await view(relay, run)
        assert len(exchange.events) == 1501
        assert max(map(len, exchange.writes)) < 70_000
        assert sum(len(EventDecoder().feed(part)) for part in exchange.writes) == 1501


# A dialect that remembers


@pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])
@on_virtual_time
async def test_joining_anywhere_continues_the_rendering(ended: bool) -> None:
    """I3: whoever joins after record k gets the preamble, and then what a viewer from the start got after record k."""
    async with Relay(memory()) as relay:
        run = await start(relay, *map(str, range(1, 10)), 5.0 if not ended else "10", "11")
        viewers = [view(relay, run, after, dialect=Totals()) for after in range(10)]
        whole, *later = await asyncio.gather(*viewers)
        opening, *frames = said(whole.events)
        assert opening == (None, "run", run.id)
        assert len(frames) == 2 * (11 if ended else 10) + 2
        for after, exchange in enumerate(later, 1):
            assert said(exchange.events) == [opening, *frames[2 * after :]]
        assert over(whole) == "completed"


@pytest.mark.parametrize("after", [1, 499, 500, 501, 999, 1000, 1234, 1499, 1500])
@on_virtual_time
async def test_a_long_past_is_read_in_pages(after: int) -> None:
    """I3, L6: a past of many pages is shown to the renderer a page at a time, whole, and others get their turns."""
    store = FaultyStore(memory())
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with Relay(store) as relay:
        run = await start(relay, *map(str, range(1, 1501)))
        whole = await view(relay, run, dialect=Totals())
        reads, other = store.calls["read"], asyncio.create_task(others())
        exchange = await view(relay, run, after, dialect=Totals())
        other.cancel()
        assert said(exchange.events[1:]) == said(whole.events[1 + 2 * after :])
        pages = -(-after // 500)
        assert turns >= pages
        assert store.calls["read"] - reads <= pages + 4


@on_virtual_time
async def test_an_id_is_on_the_last_frame_of_its_record() -> None:
    """I3: a record of several frames is seen when its last one is: cut between them, it comes again whole."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1", "2")
        exchange = await view(relay, run, dialect=Totals())
        ids = [event.id for event in exchange.events]
        assert ids == [None, None, f"{run.epoch}:1", None, f"{run.epoch}:2", None, f"{run.epoch}:3"]


@on_virtual_time
async def test_a_dialect_without_ids_has_none() -> None:
    """A record that a renderer passes on does not bring its id: one ``id:`` line breaks the clients of model SDKs."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1", "2")
        exchange = await view(relay, run, dialect=Totals(has_ids=False, resume="from_start"))
        assert len(exchange.events) == 7
        assert b"id:" not in exchange.body
        assert exchange.headers["x-run-id"] == run.id


@on_virtual_time
async def test_clients_that_want_it_all_again_get_it() -> None:
    """A dialect that resumes from the start replays it all, wherever its client stands, live and ended."""
    dialect = Totals(has_ids=False, resume="from_start")
    async with Relay(memory()) as relay:
        run = await start(relay, "1", "2", "3", 5.0, "4")
        viewers = [view(relay, run, after, dialect=dialect) for after in (None, 0, 1, 3)]
        bodies = {exchange.body for exchange in await asyncio.gather(*viewers)}
        assert len(bodies) == 1
        bodies |= {(await view(relay, run, after, dialect=dialect)).body for after in range(5)}
        assert len(bodies) == 1
        assert (await view(relay, run, 5, dialect=dialect)).status == 204
        bodies.add((await view(relay, run, 5, dialect=dialect, end_status=200)).body)
        assert len(bodies) == 1


@pytest.mark.parametrize("has_ids", [True, False])
@on_virtual_time
async def test_the_end_again_is_the_end_as_it_was(has_ids: bool) -> None:
    """The seal, ``end_status=200``: the end says again what depends on all that was before it."""
    async with Relay(memory()) as relay:
        run = await start(relay, *["1"] * 700)
        dialect = Totals(has_ids=has_ids)
        whole = await view(relay, run, dialect=dialect)
        again = await view(relay, run, 701, dialect=dialect, end_status=200)
        assert said(again.events) == said([whole.events[0], *whole.events[-2:]])
        assert (again.events[-1].id == f"{run.epoch}:701") is has_ids


@on_virtual_time
async def test_a_subclass_of_native_is_rendered() -> None:
    """A dialect of one's own that changes the native one's heartbeat is asked, and its records have their ids."""

    class Chatty(Native):
        heartbeat = b": still here\n"

    async with Relay(memory()) as relay:
        run = await start(relay, "1", "2")
        exchange, native = await view(relay, run, dialect=Chatty()), await view(relay, run)
        assert exchange.body == b": still here\n" + native.body.removeprefix(BEAT)


# The dialects of models


def frames(exchange: Exchange) -> list[Any]:
    """Tell the frames as a model's client reads them: JSON, or [DONE]."""
    return [event.data if event.data == "[DONE]" else json.loads(event.data or "") for event in exchange.events]


@pytest.mark.parametrize("live", [True, False], ids=["live", "ended"])
@on_virtual_time
async def test_a_chat_goes_on_behind_the_place_that_was_seen(live: bool) -> None:
    """I1, I3: with the plain offset of the last chunk, a client gets the role of each choice, and then all the rest."""
    script = [TextDelta("a"), TextDelta("b", choice=1), Usage(1, 2), TextDelta("c"), Finish("length")]
    async with Relay(memory()) as relay:
        run = await start(relay, *script, *([5.0] if live else []), TextDelta("d", choice=1))
        dialect = OpenAIChat(include_usage=True)
        viewers = [view(relay, run, after, dialect=dialect) for after in (None, 1, 2, 4)]
        whole, *later = [frames(exchange) for exchange in await asyncio.gather(*viewers)]
        places = [frame["relay"]["seq"] if "relay" in frame else None for frame in whole[:-1]]
        assert places == [None, 1, 2, 4, 6, None, 7]
        for place, rest in zip((1, 2, 4), later, strict=True):
            opening = rest.pop(0)["choices"]
            assert [choice["index"] for choice in opening] == ([0] if place == 1 else [0, 1])
            assert all(choice["delta"] == {"role": "assistant", "content": ""} for choice in opening)
            assert rest == whole[places.index(place) + 1 :]
        assert whole[-1] == "[DONE]"


@on_virtual_time
async def test_the_past_is_read_before_the_stream_is_opened() -> None:
    """L4: a heartbeat comes at once; what a renderer says ahead of its records waits until it has seen their past."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await start(relay, *[TextDelta("a")] * 1200, TextDelta("b", choice=1), silence())
        with store.delays(6, "read"):
            exchange = await view(relay, run, 1201, dialect=OpenAIChat(), seconds=100)
        (opening,) = frames(exchange)
        assert [choice["index"] for choice in opening["choices"]] == [0, 1]
        assert exchange.writes[0] == exchange.writes[1] == OpenAIChat.heartbeat
        assert b"role" in exchange.writes[2]


@on_virtual_time
async def test_a_heartbeat_may_tell_the_place() -> None:
    """D, L4: Letta's ping comes at once with the run's id, then in each silence with the place of the last record."""
    async with Relay(memory()) as relay:
        run = await start(relay, 20.0, TextDelta("a"), Usage(1, 2), silence())
        said = frames(await view(relay, run, dialect=Letta(), seconds=45))
        assert {frame["run_id"] for frame in said} == {run.id}
        assert [(frame["message_type"], frame["seq_id"]) for frame in said] == [
            ("ping", None), ("ping", None), ("assistant_message", 1), ("ping", 2),
        ]  # fmt: skip


@on_virtual_time
async def test_a_heartbeat_never_takes_a_place_back() -> None:
    """I1: while the past of a client is read again, a heartbeat does not say that it is there."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await start(relay, *[TextDelta("a")] * 1200, silence())
        with store.delays(6, "read"):
            exchange = await view(relay, run, 1100, dialect=Letta(), seconds=100)
        assert exchange.writes[0] == exchange.writes[1] == Letta.heartbeat
        places = [frame["seq_id"] for frame in frames(exchange)]
        assert places[:100] == list(range(1101, 1201))
        assert set(places[100:]) == {1200}


# Lost records


@pytest.mark.parametrize("after", [None, 1, 2])
@on_virtual_time
async def test_a_gap_is_an_error_where_there_is_no_word_for_it(after: int | None) -> None:
    """I7: what a renderer would have had to see is lost: a typed error, and nothing of what comes after the gap."""
    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        run = await start(relay, *"12345", silence())
        exchange = await view(relay, run, after, dialect=Totals())
        assert over(exchange) == "failed history_trimmed"
        opening = [] if after else ["run"]
        assert [event.event for event in exchange.events] == [*opening, "sum", "over"]
        assert (await relay.info(run.id)).status == "running"


@on_virtual_time
async def test_a_gap_opens_before_a_slow_viewer() -> None:
    """I7: a viewer that is overtaken by the trimming gets a gap in the native dialect, and in others a typed error."""

    async def slowly(message: Message) -> None:
        await asyncio.sleep(10 if b"1" in message.get("body", b"") else 0)

    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        big = "9" * 200_000
        run = await relay.start(play("1", 1.0, *[big, 0.1] * 9, silence()))
        exchanges = [Exchange(on_send=slowly) for _ in range(2)]
        apps = [
            EventStreamResponse(relay.subscribe(run.id)),
            EventStreamResponse(relay.subscribe(run.id), dialect=Totals()),
        ]
        asyncio.get_running_loop().call_later(60, exchanges[0].gone.set)
        await asyncio.gather(*(exchange.view(app) for exchange, app in zip(exchanges, apps, strict=True)))
        native, totals = exchanges
        assert [event.event for event in native.events] == [None, "gap", None, None, None]
        assert native.events[1].data == '{"after":1,"next":8,"reason":"trimmed"}'
        assert over(totals) == "failed history_trimmed"


@on_virtual_time
async def test_the_end_again_is_told_though_its_past_is_lost() -> None:
    """The seal, ``end_status=200``: a run that completed is not said to have failed because its past was trimmed."""
    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        run = await start(relay, *"12345")
        exchange = await view(relay, run, 6, dialect=Totals(), end_status=200)
        assert over(exchange) == "completed"


# A viewing that ends before its run


def is_there(event: ServerSentEvent) -> bool:
    """Tell whether an event is one of a run, by the number that its dialect gives it."""
    said = json.loads(event.data or "") if event.data != "[DONE]" else {}
    return any(isinstance(said.get(name), int) for name in ("sequence_number", "seq_id"))


@pytest.mark.parametrize("fault", ["drain", "outage"])
@pytest.mark.parametrize("name", ["responses", "letta"])
@on_virtual_time
async def test_an_interruption_takes_no_place(name: str, fault: str) -> None:
    """I1, I4: what ends one viewing says why, is no end of the run, and has no number, which is of an event to come."""

    def speaks(seen: Sequence[ServerSentEvent]) -> tuple[Any, Dialect]:
        last = [json.loads(event.data or "") for event in seen if is_there(event)][-1:]
        if name == "letta":
            return (last[0]["seq_id"] if last else None), Letta()
        return None, OpenAIResponses(starting_after=last[0]["sequence_number"] if last else None)

    store = memory()
    handle = FaultyStore(store)
    async with Relay(store) as elsewhere, Relay(handle) as relay:
        run = await elsewhere.start(play(TextDelta("Every "), 5.0, TextDelta("stream "), TextDelta("ends.")))
        viewing = asyncio.create_task(view(relay, run, dialect=speaks([])[1]))
        await asyncio.sleep(2)
        if fault == "drain":
            await relay.drain(1)
        else:
            with handle.outage():
                relay._tail._windows[run.id].doubt()
                await viewing
        interrupted = await viewing
        assert b"response.failed" not in interrupted.body
        assert b"stop_reason" not in interrupted.body
        *seen, last = interrupted.events
        assert not is_there(last)
        assert last.event is None
        assert ("draining" if fault == "drain" else "store_unavailable") in (last.data or "")
        after, dialect = speaks(seen)
        rest = (await view(elsewhere, run, after, dialect=dialect)).events
        whole = (await view(elsewhere, run, dialect=speaks([])[1])).events
        assert [event.data for event in [*seen, *rest] if is_there(event)] == [
            event.data for event in whole if is_there(event)
        ]


# What fails


@pytest.mark.parametrize("resumable", [True, False])
@on_virtual_time
async def test_a_record_that_cannot_be_rendered_is_an_error(resumable: bool, caplog: pytest.LogCaptureFixture) -> None:
    """I2, I13: what was rendered before it, one typed error without the exception's words, and a clean end."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1", "broken", "2", silence())
        dialect = Totals(has_ids=resumable)
        exchange = await view(relay, run, dialect=dialect)
        assert over(exchange) == "failed internal_error"
        assert [event.data for event in exchange.events[1:3]] == ["1", "1 at 1"]
        assert SECRET.encode() not in exchange.body
        assert SECRET in caplog.text
        folded = await view(relay, run, 3, dialect=dialect)  # the same, in what the client has seen already
        assert over(folded) == "failed internal_error"
        assert (await relay.info(run.id)).status == "running"


class Odd(Totals):
    """A dialect whose renderer is another one."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        super().__init__()
        self._methods = methods

    def renderer(self, context: RenderContext) -> Renderer:
        """Replace some of its methods."""
        kind: Any = type(super().renderer(context))
        renderer: Renderer = type("OddRenderer", (kind,), self._methods)(context)
        return renderer


def fails(*_: object) -> Sequence[ServerSentEvent]:
    raise ValueError(SECRET)


@on_virtual_time
async def test_a_preamble_that_fails_is_an_error() -> None:
    """I2, I13: a renderer that cannot even open its stream ends it with a typed error."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1")
        exchange = await view(relay, run, dialect=Odd(preamble=fails))
        assert over(exchange) == "failed internal_error"
        assert [event.event for event in exchange.events] == ["sum", "over"]


@on_virtual_time
async def test_an_event_that_cannot_be_encoded_is_an_error() -> None:
    """I2: a renderer's mistake is no outage: a client that resumes would meet it again and again, without an end."""

    def event(*_: object) -> Sequence[ServerSentEvent]:
        return (ServerSentEvent("x", event="a\nb"),)

    async with Relay(memory()) as relay:
        run = await start(relay, "1", silence())
        exchange = await view(relay, run, dialect=Odd(event=event))
        assert over(exchange) == "failed invalid_event"


def fails_to_encode(*_: object) -> Sequence[ServerSentEvent]:
    raise InvalidEventError("event", "a\nb", SECRET)


@pytest.mark.parametrize("fault", [fails, fails_to_encode])
@pytest.mark.parametrize("method", ["__init__", "end"])
@on_virtual_time
async def test_a_renderer_that_cannot_end_is_the_servers_to_see(method: str, fault: Callable[..., Any]) -> None:
    """I2: without a frame to end with, the exception goes on, and the server cuts the body: it must not look whole."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1")
        exchange = Exchange()
        with pytest.raises(ValueError, match=SECRET):
            await exchange.view(EventStreamResponse(relay.subscribe(run.id), dialect=Odd(**{method: fault})))
        assert not exchange.complete
        assert not relay._tail._windows


@pytest.mark.parametrize(
    ("dialect", "ends"),
    [
        (Totals(), None),
        (Totals(has_ids=False), "failed draining"),
        (Totals(resume="from_start"), "failed draining"),
        (Totals(has_ids=False, resume="from_start"), "failed draining"),
    ],
    ids=["resumable", "without ids", "from start", "neither"],
)
@on_virtual_time
async def test_a_drain_is_an_error_where_clients_cannot_resume(dialect: Totals, ends: str | None) -> None:
    """L8, I7: a body that just ends looks like success to a client that knows no ids: it gets a typed error."""
    store = memory()
    async with Relay(store) as elsewhere, Relay(store) as relay:
        run = await start(elsewhere, "1", silence())
        viewer = asyncio.create_task(view(relay, run, dialect=dialect))
        await asyncio.sleep(1)
        await relay.drain(1)
        exchange = await viewer
        assert [event.event for event in exchange.events[:3]] == ["run", None, "total"]
        assert exchange.complete
        if ends is None:
            assert len(exchange.events) == 3
        else:
            assert over(exchange) == ends


@pytest.mark.parametrize("after", [None, 700], ids=["in the stream", "in the past"])
@pytest.mark.parametrize("resumable", [True, False])
@on_virtual_time
async def test_an_outage_is_an_error_where_clients_cannot_resume(
    resumable: bool, after: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """I7: the store fails in mid-stream: a client that resumes comes back; any other gets a typed error."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await start(relay, *["1"] * 3300)
        with store.at(2 if after is None else 3, down, "read"):
            exchange = await view(relay, run, after, dialect=Totals(has_ids=resumable))
        assert exchange.status == 200
        assert exchange.complete
        assert len(exchange.events) == (6001 if after is None else 0) + (0 if resumable else 2)
        if resumable:
            assert "may resume" in caplog.text
        else:
            assert over(exchange) == "failed store_unavailable"


async def down() -> None:
    """Fail as a store that does not answer."""
    raise StoreUnavailableError(SECRET)


@on_virtual_time
async def test_the_catalog_says_what_a_viewer_learns() -> None:
    """I13: the response's own catalog has the words for what fails in its viewing."""
    errors = ErrorCatalog()
    errors.register(ValueError, "bad_number", "That was no number.")
    async with Relay(memory()) as relay:
        run = await start(relay, "broken")
        assert over(await view(relay, run, dialect=Totals(), errors=errors)) == "failed bad_number"


# Heartbeats


def gaps(exchange: Exchange) -> list[float]:
    """Tell the silences between two writes, in seconds."""
    return [later - earlier for earlier, later in zip(exchange.times, exchange.times[1:], strict=False)]


@pytest.mark.parametrize("interval", [0.3, 1, 5, 15])
@pytest.mark.parametrize("dialect", [Native(), Totals()], ids=["native", "totals"])
@on_virtual_time
async def test_a_viewer_hears_something_at_least_every_keepalive(dialect: Any, interval: float) -> None:
    """L4: whatever the source's rhythm, a byte comes at least every keepalive + 1 s; none too many while it talks."""
    rhythm = random.Random(int(interval))
    steps = [step for number in range(40) for step in (rhythm.choice([0.01, 0.9, 5.0, 14.9, 15.0, 31.0]), str(number))]
    async with Relay(memory()) as relay:
        run = await relay.start(play(*steps))
        exchange = await view(relay, run, dialect=dialect, keepalive=interval, seconds=10_000)
        assert max(gaps(exchange)) <= interval + 1e-6
        beats = exchange.body.count(dialect.heartbeat.rstrip())
        assert beats <= 1 + exchange.times[-1] / interval
        assert len(exchange.events) == len((await view(relay, run, dialect=dialect)).events)


@pytest.mark.parametrize("pause", [0.2, 1.0, 5.0])
@on_virtual_time
async def test_records_that_are_not_shown_are_a_silence(pause: float) -> None:
    """L4: a run that talks, but says nothing in this dialect, is filled with heartbeats as if it were silent."""
    async with Relay(memory()) as relay:
        run = await relay.start(play(*["hidden", pause] * int(60 / pause), silence()))
        exchange = await view(relay, run, dialect=Totals(), seconds=59)
        assert exchange.times[1:] == pytest.approx([0, 0, 15, 30, 45], abs=0.3)
        assert exchange.writes[2:] == [Totals.heartbeat] * 3


@pytest.mark.parametrize("after", [None, 60_000], ids=["shown", "folded"])
@on_virtual_time
async def test_a_long_way_through_a_slow_store_is_a_silence(after: int | None) -> None:
    """L4: what is read for long without being shown, ahead of the cursor or behind it, is filled with heartbeats."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await start(relay, *["hidden"] * 60_000, silence())
        with store.delays(0.35, "read"):
            exchange = await view(relay, run, after, dialect=Totals(), seconds=80)
        assert max(gaps(exchange)) <= 16
        assert exchange.times[-1] > 60


@on_virtual_time
async def test_a_beat_is_late_by_one_read_at_most() -> None:
    """L4: a nudge that comes while the viewer looks into the store, which has nothing for it, is repeated."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await start(relay, "1", silence())

        async def doubt() -> None:
            while True:
                await asyncio.sleep(1.5)
                relay._tail._windows[run.id].doubt()

        viewing = asyncio.create_task(view(relay, run, seconds=90))
        await asyncio.sleep(0)
        doubting = asyncio.create_task(doubt())
        with store.delays(0.25, "read"):  # a third of the time it looks
            exchange = await viewing
        doubting.cancel()
        assert max(gaps(exchange)) <= 16
        assert exchange.body.count(BEAT) >= 5


@on_virtual_time
async def test_no_heartbeat_comes_where_none_is_wanted() -> None:
    """``keepalive=None``: the first one only, which sends the headers on their way."""
    async with Relay(memory()) as relay:
        run = await start(relay, "1", 500.0, "2")
        exchange = await view(relay, run, keepalive=None)
        assert exchange.body.count(BEAT) == 1
        assert exchange.names == ["1", "2", "end"]


@on_virtual_time
async def test_a_thousand_records_need_one_timer() -> None:
    """L6: what is written costs no timer: one for the heartbeat, and one for the deadline of writes."""
    loop: Any = asyncio.get_running_loop()
    made = 0
    call_at = loop.call_at

    def count(when: float, callback: Any, *args: Any, **options: Any) -> Any:
        nonlocal made
        made += type(getattr(callback, "__self__", None)).__name__ in {"Client", "Viewer"}
        return call_at(when, callback, *args, **options)

    async def source() -> AsyncIterator[str]:
        for number in range(1000):
            await asyncio.sleep(0.01)
            yield str(number)

    loop.call_at = count
    async with Relay(memory()) as relay:
        run = await relay.start(source())
        exchange = await view(relay, run)
    assert len(exchange.events) == 1001
    assert made <= 4
