"""Where a cursor leads, over HTTP: each row of the table with its status, its headers and its body (I11)."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import Cursor, InvalidCursorError, Relay
from sse_relay.adapters.asgi import RelayApp
from sse_relay.stores.protocol import RunInfo
from sse_relay.testing import FaultyStore, run_virtual
from tests.adapters.relays import BEAT, ask, memory, open_to_all
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play, silence, stubborn
from tests.properties import examples

END = b'event: end\ndata: {"status":"completed","reason":null,"error":null}\n\n'

states = pytest.mark.parametrize("ended", [False, True], ids=["live", "ended"])


class Scene:
    """
    One run and its routes: three records, and the seal if it has ended.

    Attributes:
        relay: Who produces the run.
        run: Its state.
        app: The routes.
    """

    def __init__(self, relay: Relay, run: RunInfo, app: RelayApp) -> None:
        self.relay = relay
        self.run = run
        self.app = app

    async def get(self, after: Any = None, last_id: Any = None, method: Any = "GET") -> Exchange:
        """Ask for the events; a client of a live run goes away after 20 seconds."""
        query = "" if after is None else f"?after={after}"
        headers = {} if last_id is None else {"last-event-id": str(last_id)}
        exchange = Exchange(method, path=f"/runs/{self.run.id}/events{query}", headers=headers)
        asyncio.get_running_loop().call_later(20, exchange.gone.set)
        return await exchange.view(self.app)

    def place(self, offset: int) -> Cursor:
        """Make a cursor of the run's epoch."""
        return Cursor(self.run.epoch, offset)

    def records(self, first: int = 1) -> bytes:
        """Say what a client reads, from one of the three records on."""
        return b"".join(f"id: {self.place(offset)}\ndata: {offset}\n\n".encode() for offset in range(first, 4))

    def end(self) -> bytes:
        """Say what the seal is."""
        return f"id: {self.place(4)}\n".encode() + END


@asynccontextmanager
async def scene(*, ended: bool, **options: Any) -> AsyncGenerator[Scene]:
    """Run it."""
    steps = ["1", "2", "3"] if ended else ["1", "2", "3", silence()]
    async with Relay(memory()) as relay:
        run = await relay.start(play(*steps))
        await asyncio.sleep(1)
        assert (await relay.info(run.id)).last_offset == (4 if ended else 3)
        yield Scene(relay, run, open_to_all(relay, **options))


def refusal(exchange: Exchange) -> tuple[int, str]:
    """Tell a problem's status and code; it is whole, and no stream."""
    said = exchange.json
    assert exchange.complete
    assert exchange.status == said["status"]
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.headers["cache-control"] == "no-store"
    assert said["error_id"] is None
    return exchange.status, said["code"]


# None, 0: the whole run


@states
@pytest.mark.parametrize("seen", [{}, {"after": ""}, {"after": 0}, {"after": "+"}, {"last_id": "+"}], ids=str)
@on_virtual_time
async def test_who_has_seen_nothing_gets_it_all(ended: bool, seen: dict[str, Any]) -> None:
    """None, 0: 200, a heartbeat, each record behind its cursor, and the end; live runs are followed."""
    async with scene(ended=ended) as at:
        exchange = await at.get(**{name: said if said != "+" else at.place(0) for name, said in seen.items()})
        assert exchange.status == 200
        assert exchange.headers == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-run-id": at.run.id,
        }
        assert exchange.body == BEAT + at.records() + (at.end() if ended else BEAT)
        assert exchange.complete is ended


@states
@on_virtual_time
async def test_who_has_seen_something_gets_the_rest(ended: bool) -> None:
    """A place inside: 200 and what follows it, by header, by query and by offset alone."""
    async with scene(ended=ended) as at:
        for offset in (1, 2, 3):
            for seen in ({"last_id": at.place(offset)}, {"after": at.place(offset)}, {"after": offset}):
                exchange = await at.get(**seen)
                assert exchange.status == 200
                assert exchange.body == BEAT + at.records(offset + 1) + (at.end() if ended else BEAT)


@on_virtual_time
async def test_a_live_run_is_followed() -> None:
    """None, live: what comes later arrives when it comes, and the end ends the body."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("1", 2.0, "2", 3.0, "3"))
        at = Scene(relay, run, open_to_all(relay))
        exchange = await ask(at.app, f"/runs/{run.id}/events")
        assert exchange.body == BEAT + at.records() + at.end()
        assert exchange.times[:5] == [0, 0, 0, 2, 5]  # the headers, a heartbeat, three records
        assert exchange.times[-1] == 5
        assert exchange.complete


# The seal


@pytest.mark.parametrize("seen", ["last_id", "after", "offset"])
@on_virtual_time
async def test_who_has_seen_the_end_gets_no_content(seen: str) -> None:
    """The seal, defect 1: 204 at once, no body and no content type: it stops an EventSource for good."""
    async with scene(ended=True) as at:
        places: dict[str, Any] = {"after": 4} if seen == "offset" else {seen: at.place(4)}
        exchange = await at.get(**places)
        assert exchange.status == 204
        assert exchange.headers == {"cache-control": "no-store", "x-accel-buffering": "no", "x-run-id": at.run.id}
        assert exchange.body == b""
        assert exchange.complete
        assert exchange.times == [0, 0]


@on_virtual_time
async def test_who_has_seen_the_end_may_get_it_again() -> None:
    """The seal, ``end_status=200``: the end again with its id, for clients that repeat a request after a 204."""
    async with scene(ended=True, end_status=200) as at:
        for seen in ({"last_id": at.place(4)}, {"after": 4}):
            exchange = await at.get(**seen)
            assert exchange.status == 200
            assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert exchange.body == BEAT + at.end()
            assert exchange.complete


@on_virtual_time
async def test_a_run_that_ends_meanwhile_says_so() -> None:
    """The seal is not there yet: who has seen the last record of a live run gets its end when it comes."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("1", 5.0))
        await asyncio.sleep(1)
        exchange = await ask(open_to_all(relay), f"/runs/{run.id}/events?after=1")
        assert exchange.body == BEAT + f"id: {run.epoch}:2\n".encode() + END
        assert exchange.times[-1] == 4


# Places that the log cannot honour


@states
@on_virtual_time
async def test_a_place_beyond_the_last_record_is_refused(ended: bool) -> None:
    """Beyond the last: 409 in words that no model SDK repeats."""
    async with scene(ended=ended) as at:
        last = 4 if ended else 3
        for beyond in (last + 1, last + 1000, 10**18 - 1):
            for seen in ({"last_id": at.place(beyond)}, {"after": at.place(beyond)}, {"after": beyond}):
                exchange = await at.get(**seen)
                assert refusal(exchange) == (409, "cursor_mismatch")
                assert exchange.headers["x-should-retry"] == "false"


@states
@on_virtual_time
async def test_a_place_in_another_history_is_refused(ended: bool) -> None:
    """An epoch that this log never had: 409, whatever the offset, and though another run has it."""
    async with scene(ended=ended) as at:
        other = await at.relay.start(play("1"))
        for epoch in ("0123456789abcdef", other.epoch, at.run.epoch.upper() + "X"):
            for offset in (0, 1, 10**18 - 1):
                exchange = await at.get(last_id=Cursor(epoch, offset))
                assert refusal(exchange) == (409, "cursor_mismatch")
                assert exchange.headers["x-should-retry"] == "false"


@on_virtual_time
async def test_a_place_beyond_where_its_epoch_ended_is_refused() -> None:
    """After a takeover: each epoch's cursors lead on up to where it ended (200), and beyond it nowhere (409)."""
    async with Relay(memory()) as relay:
        run = await relay.start(stubborn("1", "2"))
        await asyncio.sleep(1)
        taken = await relay.cancel(run.id, grace=1)
        assert taken.epoch != run.epoch
        at = Scene(relay, taken, open_to_all(relay))
        whole = (await at.get()).events
        assert [event.id for event in whole] == [f"{run.epoch}:1", f"{run.epoch}:2", f"{taken.epoch}:3"]
        for epoch, last in ((run.epoch, 2), (taken.epoch, 3)):
            for offset in range(3):
                exchange = await at.get(last_id=Cursor(epoch, offset))
                assert exchange.status == 200
                assert exchange.events == whole[offset:]
            assert refusal(await at.get(last_id=Cursor(epoch, last + 1))) == (409, "cursor_mismatch")
        assert (await at.get(last_id=Cursor(taken.epoch, 3))).status == 204


# Trimmed


@asynccontextmanager
async def trimmed(**options: Any) -> AsyncGenerator[Scene]:
    """Run it on a store that keeps three records: of 1 2 3 and the seal it has lost the first."""
    async with Relay(memory(max_events=3, on_full="trim")) as relay:
        run = await relay.start(play("1", 1.0, "2", 1.0, "3"))
        await relay.wait(run.id)
        yield Scene(relay, run, open_to_all(relay, **options))


@on_virtual_time
async def test_lost_records_are_said() -> None:
    """Before the first kept, I7, defect 15: 200 and a gap, from whose id reading on has no gap."""
    async with trimmed() as at:
        gap = f'id: {at.place(1)}\nevent: gap\ndata: {{"after":0,"next":2,"reason":"trimmed"}}\n\n'.encode()
        for seen in ({}, {"after": 0}, {"last_id": at.place(0)}):
            exchange = await at.get(**seen)
            assert exchange.status == 200
            assert exchange.body == BEAT + gap + at.records(2) + at.end()
        exchange = await at.get(last_id=exchange.events[0].id)
        assert exchange.body == BEAT + at.records(2) + at.end()


@on_virtual_time
async def test_lost_records_may_be_refused() -> None:
    """Before the first kept, ``gap_status=410``: a problem, and only where something is lost."""
    async with trimmed(gap_status=410) as at:
        for seen in ({}, {"after": 0}, {"last_id": at.place(0)}):
            assert refusal(await at.get(**seen)) == (410, "history_trimmed")
        assert (await at.get(after=1)).body == BEAT + at.records(2) + at.end()
        assert (await at.get(after=4)).status == 204
        assert refusal(await at.get(after=5)) == (409, "cursor_mismatch")


# Runs that are not there


@on_virtual_time
async def test_a_run_expires_and_is_forgotten() -> None:
    """Expired: 410 while its tombstone stands, from any cursor; then, as any unknown one, 404."""
    async with Relay(memory(retention=100)) as relay:
        run = await relay.start(play("1"))
        at = Scene(relay, run, open_to_all(relay))
        await asyncio.sleep(99)
        assert (await at.get()).status == 200
        await asyncio.sleep(50)
        for seen in ({}, {"after": 1}, {"after": 999}, {"last_id": at.place(2)}, {"last_id": "0123456789abcdef:1"}):
            assert refusal(await at.get(**seen)) == (410, "run_expired")
        await asyncio.sleep(100)
        assert refusal(await at.get()) == (404, "run_not_found")


@pytest.mark.parametrize("run_id", ["unknown", "a" * 129, "%00", "%0d%0aset-cookie:a=1", "%ff", "..", "a%20b", ""])
@on_virtual_time
async def test_an_unknown_run_is_not_found(run_id: str) -> None:
    """Unknown: 404, whatever is asked for, and nothing of it comes back."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        exchange = await ask(open_to_all(relay), f"/runs/{run_id}/events", last_id="0123456789abcdef:1")
        assert refusal(exchange) == (404, "run_not_found")
        assert "x-run-id" not in exchange.headers
        assert not store.calls["end"] or run_id in {"unknown", ".."}  # the store is asked for no nonsense


# Malformed, and anything


@states
@on_virtual_time
async def test_a_malformed_cursor_is_refused(ended: bool) -> None:
    """Malformed: 400, in the header and in the query; never the whole stream again as if nothing had been seen."""
    async with scene(ended=ended) as at:
        for text in ("x", "1:1", "-1", "01", f"{at.run.epoch}", f"{at.place(1)}:", "null"):
            assert refusal(await at.get(last_id=text)) == (400, "invalid_cursor")
            assert refusal(await at.get(after=text)) == (400, "invalid_cursor")
        assert refusal(await at.get(last_id="1")) == (400, "invalid_cursor")  # an id of ours has an epoch


@states
@on_virtual_time
async def test_the_header_wins(ended: bool) -> None:
    """A reconnecting EventSource repeats its first query next to ``Last-Event-ID``: the header counts."""
    async with scene(ended=ended) as at:
        tail = at.end() if ended else BEAT
        for after in ("0", "1", "999", "nonsense", "0123456789abcdef:1"):
            assert (await at.get(after=after, last_id=at.place(2))).body == BEAT + at.records(3) + tail
        assert refusal(await at.get(after=2, last_id="nonsense")) == (400, "invalid_cursor")
        assert refusal(await at.get(after=2, last_id=at.place(99))) == (409, "cursor_mismatch")


def row(text: bytes, *, is_header: bool, epoch: str) -> int:
    """Tell which row of the table a client's bytes lead to, of a run with three records and a seal."""
    said = text.decode("latin-1").strip(" \t") if is_header else text.decode("utf-8", "replace")
    if not said:
        return 200
    if not is_header and said.isascii() and said.isdigit() and len(said) < 19 and str(int(said)) == said:
        cursor = Cursor(epoch, int(said))
    else:
        try:
            cursor = Cursor.parse(said)
        except InvalidCursorError:
            return 400
    if cursor.epoch != epoch or cursor.offset > 4:
        return 409
    return 204 if cursor.offset == 4 else 200


_near = st.builds(
    lambda before, epoch, between, offset, after: before + epoch + between + offset + after,
    st.sampled_from([b"", b"", b" ", b"\xef\xbb\xbf", b"\0"]),
    st.sampled_from([b"EPOCH", b"EPOCH", b"EPOC", b"0123456789abcdef", b""]),
    st.sampled_from([b":", b":", b"%3A", b"::", b""]),
    st.sampled_from([b"0", b"3", b"4", b"5", b"04", b"-1", b"9" * 18, b"9" * 19, "٤".encode(), b""]),
    st.sampled_from([b"", b"", b"\t", b"\n", b"\xff"]),
)


@given(st.binary(max_size=60) | _near)
@examples(200)
def test_any_bytes_lead_to_one_row(text: bytes) -> None:
    """I11: whatever bytes come as ``Last-Event-ID`` or as ``?after=``, the answer is that of exactly one row."""

    async def main() -> None:
        async with scene(ended=True) as at:
            said = text.replace(b"EPOCH", at.run.epoch.encode())
            path = f"/runs/{at.run.id}/events"
            exchange = await ask(at.app, path, last_id=said)
            assert exchange.complete
            assert exchange.status == row(said, is_header=True, epoch=at.run.epoch)
            exchange = await ask(at.app, f"{path}?after={quote_from_bytes(said)}")
            assert exchange.complete
            assert exchange.status == row(said, is_header=False, epoch=at.run.epoch)

    run_virtual(main())


@on_virtual_time
async def test_no_cursor_costs_more_than_another() -> None:
    """I11: of a long log a client's cursor makes the store do a few steps, whatever it says and wherever it leads."""
    store = FaultyStore(memory())
    async with Relay(store) as relay:
        run = await relay.start(play(*map(str, range(1, 5001))))
        await relay.wait(run.id)
        at = Scene(relay, run, open_to_all(relay))
        for last_id in (at.place(0), at.place(4999), at.place(5000), at.place(5001), at.place(10**17), "x", "e" * 16):
            store.calls.clear()
            exchange = await at.get(last_id=last_id, method="HEAD")
            assert exchange.status in {200, 204, 409, 400}
            assert store.calls.total() <= 3, last_id


# HEAD


@states
@on_virtual_time
async def test_head_is_answered_as_get_without_a_body(ended: bool) -> None:
    """Each row, asked for by HEAD, has the status and the headers that it has by GET, and no body."""
    async with scene(ended=ended) as at:
        for last_id in (None, at.place(0), at.place(3), at.place(4), at.place(5), "0123456789abcdef:1", "nonsense"):
            exchange, head = await at.get(last_id=last_id), await at.get(last_id=last_id, method="HEAD")
            assert (head.status, head.headers) == (exchange.status, exchange.headers)
            assert head.body == b""
            assert head.complete
            assert head.times[-1] == 0


@on_virtual_time
async def test_an_end_that_failed_is_told_again_in_the_same_words() -> None:
    """The seal, ``end_status=200``: an outcome with a reason and an error, byte for byte, its error id too."""
    async with Relay(memory()) as relay:
        run = await relay.start(play("1", ValueError("secret")))
        await relay.wait(run.id)
        at = Scene(relay, run, open_to_all(relay, end_status=200))
        whole, again = await at.get(), await at.get(after=2)
        assert again.events == whole.events[1:]
        assert json.loads(again.events[0].data or "")["error"]["error_id"]
        assert b"secret" not in whole.body
