"""What was seen, what comes again, and how the rest is asked for."""

import pytest

from sse_relay import Cursor, ServerSentEvent
from sse_relay.client.place import ByCount, ByLastEventId, Place, Request, with_query

FIRST = Request("http://peer/events?dialect=native", headers={"authorization": "x"})
EPOCH, NEXT = "0123456789abcdef", "fedcba9876543210"


def take(place: Place, *events: str) -> list[str]:
    """Begin a connection that brings events, each `id` or `id=data` or `=data`; tell those that are new."""
    place.connected()
    new: list[str] = []
    for said in events:
        event_id, _, data = said.partition("=")
        if place.new_of([ServerSentEvent(data, id=event_id or None)]):
            new.append(said)
    return new


def test_what_follows_is_asked_for() -> None:
    """I2: the last id goes into the header, beside what the caller sends; the address stays."""
    place = ByLastEventId()
    assert place.next_request(FIRST) == FIRST
    take(place, "a", "b", "=x")
    request = place.next_request(FIRST)
    assert request.headers == {"authorization": "x", "Last-Event-ID": "b"}
    assert (request.url, place.text) == (FIRST.url, "b")


@pytest.mark.parametrize("after", [f"{EPOCH}:3", Cursor(EPOCH, 3)], ids=["text", "cursor"])
def test_where_the_caller_begins(after: Cursor | str) -> None:
    """C1: a cursor of an earlier stream is a last id from the start, and what it covers is dropped."""
    place = ByLastEventId(after)
    assert place.next_request(FIRST).headers["Last-Event-ID"] == f"{EPOCH}:3"
    assert take(place, f"{EPOCH}:2", f"{EPOCH}:3", f"{EPOCH}:4") == [f"{EPOCH}:4"]


def test_an_offset_to_begin_after() -> None:
    """C1: an offset goes into the query, until there is an id."""
    place = ByLastEventId(7)
    assert place.next_request(FIRST).url == "http://peer/events?dialect=native&after=7"
    take(place, f"{EPOCH}:8")
    assert place.next_request(FIRST).url == FIRST.url


def test_cursors_have_an_order() -> None:
    """I1: after a resume, records at or before the last one are dropped, also those never seen; not another epoch's."""
    place = ByLastEventId()
    take(place, *[f"{EPOCH}:{offset}" for offset in range(1, 2_000)])
    assert take(place, *[f"{EPOCH}:{offset}" for offset in range(1, 2_003)]) == [f"{EPOCH}:2000", *map(
        f"{EPOCH}:{{}}".format, range(2_001, 2_003)
    )]  # fmt: skip
    assert take(place, f"{NEXT}:1", f"{EPOCH}:5") == [f"{NEXT}:1", f"{EPOCH}:5"]


def test_a_server_that_sends_all_again() -> None:
    """I1: ids without an order are known by themselves, and what has no id between them goes with them."""
    place = ByLastEventId()
    take(place, "b", "=x", "a", "=y")
    assert take(place, "b", "=x", "a", "=y", "c", "=x") == ["c", "=x"]


def test_what_has_no_id() -> None:
    """I1: events without an id behind the last one come again, and are dropped; others of their kind are not."""
    place = ByLastEventId()
    take(place, "=preamble", "a", "=x", "=x")
    assert take(place, "=preamble", "=x", "=x", "=x", "b") == ["=x", "b"]
    assert take(place, "=news", "=x") == ["=news", "=x"]


def test_a_server_without_ids() -> None:
    """WHATWG: where there are no ids, what comes is new, but for a beginning that was seen."""
    place = ByLastEventId()
    assert take(place, "=1", "=2") == ["=1", "=2"]
    assert place.text is None
    assert take(place, "=1", "=2", "=3") == ["=3"]


def test_an_order_that_is_trusted() -> None:
    """I1: on the first connection, and behind the first new event, nothing is dropped."""
    place = ByLastEventId()
    assert take(place, "a", "a", "=", "=") == ["a", "a", "=", "="]
    assert take(place, "b", "a", "a") == ["b", "a", "a"]


def test_ids_without_data() -> None:
    """WHATWG: an id that came without data counts, and an empty one means none."""
    place = ByLastEventId()
    take(place, "a")
    place.stick("b")
    assert place.text == "b"
    place.stick("")
    assert place.text is None
    assert place.next_request(FIRST) == FIRST


def test_an_id_while_all_is_sent_again() -> None:
    """I1: an id that a server repeats on its way does not lead back."""
    place = ByLastEventId()
    take(place, "a", "b")
    take(place, "a")
    place.stick("a")
    assert place.text == "b"


def test_memory_is_bounded() -> None:
    """L6: however long the stream, a thousand ids and a few dozen events are remembered."""
    place = ByLastEventId()
    take(place, *map(str, range(1, 5_000)), *["=x"] * 5_000)
    assert len(place._ids) + len(place._without_id) < 2_000


def test_counting() -> None:
    """I3: without ids, the whole is asked for, and as many events as were seen are dropped."""
    place = ByCount()
    assert take(place, "=a", "=a") == ["=a", "=a"]
    place.stick("a")
    assert (place.text, place.next_request(FIRST)) == (None, FIRST)
    assert take(place, "=a") == []
    assert take(place, "=a", "=a", "=b") == ["=b"]


def test_a_query() -> None:
    """C1: a field of the query replaces one of its name; the others stay, in order."""
    assert with_query("http://peer/e?a=1&after=2&b=#top", after="x y") == "http://peer/e?a=1&b=&after=x+y#top"
