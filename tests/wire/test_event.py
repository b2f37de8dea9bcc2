"""An event holds what its sender meant, cannot be changed, and refuses what is no text."""

import copy
import pickle
from itertools import product
from typing import Any

import pytest

from sse_relay import Outcome, ServerSentEvent
from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.decoder import EventDecoder
from sse_relay.wire.encoder import MAX_RETRY
from sse_relay.wire.event import make_data, make_event

FULL = ServerSentEvent("x", event="text", id="1", retry=5, comment="c", outcome=Outcome("completed"), status=200)


class Part(ServerSentEvent):
    """A kind of event of its own."""

    __slots__ = ()


def test_the_defaults() -> None:
    """An event without arguments has empty data, which a reader dispatches, and nothing else."""
    event = ServerSentEvent()
    assert event.data == ""
    assert (event.event, event.id, event.retry, event.comment, event.outcome, event.status) == (None,) * 6


def test_only_data_is_positional() -> None:
    """Everything but the data is named at the call, so that no two texts are mixed up."""
    make: Any = ServerSentEvent
    with pytest.raises(TypeError):
        make("data", "event")


@pytest.mark.parametrize("field", ["data", "event", "id", "comment"])
def test_only_text_is_taken(field: str) -> None:
    """A field that is not text raises `InvalidEventError`, a ValueError, where the event is made."""
    for value in (b"x", 1, ["x"], {"a": 1}, object()):
        options: dict[str, Any] = {field: value}
        with pytest.raises(InvalidEventError, match=f"^{field} .* must be str") as caught:
            ServerSentEvent(**options)
        assert isinstance(caught.value, ValueError)


def test_retry_in_range() -> None:
    """The reconnection time is whole milliseconds up to a bound, and what is written is read back."""
    for retry in (0, 1, MAX_RETRY):
        assert EventDecoder().feed(ServerSentEvent("x", retry=retry).encode()) == [ServerSentEvent("x", retry=retry)]


def test_retry_out_of_range() -> None:
    """A reconnection time that no reader would take raises, and its sentence can be read."""
    values: list[Any] = [-1, MAX_RETRY + 1, 10**5000, 1.0, "1", True]
    for retry in values:
        with pytest.raises(InvalidEventError) as caught:
            ServerSentEvent("x", retry=retry)
        assert "must be whole milliseconds, from 0 to 999999999999" in str(caught.value)


def test_an_event_cannot_be_changed() -> None:
    """An event is frozen, however it was made: many viewers share one."""
    fields = ("data", "event", "id", "retry", "comment", "outcome", "status")
    made = (FULL, make_event("x"), make_data("x"), ServerSentEvent.json(1), FULL.replace(id="2"))
    for event, field in product(made, fields):
        with pytest.raises(AttributeError):
            setattr(event, field, None)
    assert not hasattr(FULL, "__dict__")


def test_notes_for_the_edge_do_not_count() -> None:
    """The outcome and the status are not on the wire, not compared, and not shown."""
    plain = FULL.replace(outcome=None, status=None)
    assert plain == FULL
    assert hash(plain) == hash(FULL)
    assert plain.encode() == FULL.encode()
    assert repr(plain) == repr(FULL)


@pytest.mark.parametrize("field", ["data", "event", "id", "retry", "comment"])
def test_every_field_on_the_wire_counts(field: str) -> None:
    """Two events that differ in a field of the wire are not equal."""
    changed = FULL.replace(**{field: 7 if field == "retry" else "other"})
    assert changed != FULL
    assert changed.replace(**{field: getattr(FULL, field)}) == FULL


def test_a_copy_keeps_everything_else() -> None:
    """`replace` changes what is named only, notes included, in a subclass too, and checks what it is given."""
    changed = FULL.replace(id="2")
    assert (changed.outcome, changed.status, changed.id) == (FULL.outcome, 200, "2")
    part = make_event("x", "text", cls=Part).replace(id="2")
    assert type(part) is Part
    assert (part.data, part.event, part.id) == ("x", "text", "2")
    with pytest.raises(InvalidEventError):
        FULL.replace(id=2)
    with pytest.raises(TypeError):
        FULL.replace(other=2)


LINE = make_data("x", "text", "event: text\ndata: ")


@pytest.mark.parametrize("event", [ServerSentEvent(), FULL, LINE, make_event("x", cls=Part)], ids=repr)
def test_an_event_can_be_copied_and_pickled(event: ServerSentEvent) -> None:
    """An event survives copying and pickling with all its fields, so that it may cross processes."""
    for found in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert type(found) is type(event)
        assert found == event
        assert (found.outcome, found.status) == (event.outcome, event.status)
        assert found.encode() == event.encode()


def test_a_line_of_data_is_an_event_like_any_other() -> None:
    """What is made in short equals what the constructor makes, and a copy with a change is encoded with it."""
    whole = ServerSentEvent("x", event="text")
    assert whole == LINE
    assert (hash(LINE), repr(LINE), LINE.encode()) == (hash(whole), repr(whole), whole.encode())
    for change in ({"id": "1"}, {"data": "a\nb"}, {"event": None}, {"retry": 5}, {"comment": "c"}, {"data": None}):
        assert LINE.replace(**change).encode() == whole.replace(**change).encode()


def test_an_event_without_data_is_not_dispatched() -> None:
    """`data=None` writes no data line: no reader gets an event, but the id counts."""
    decoder = EventDecoder()
    assert decoder.feed(ServerSentEvent(None, id="7", event="x").encode()) == []
    assert decoder.last_event_id == "7"


def test_json_data() -> None:
    """`json` makes compact JSON the data, and takes a name and an id that are text."""
    assert ServerSentEvent.json({"a": "é"}, event="x", id="1") == ServerSentEvent('{"a":"é"}', event="x", id="1")
    assert type(Part.json([])) is Part
    wrong: Any = 5
    for options in ({"event": wrong}, {"id": wrong}):
        with pytest.raises(InvalidEventError, match="must be str"):
            ServerSentEvent.json({}, **options)
