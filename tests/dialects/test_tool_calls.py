"""Every delta finds its call, however little an upstream says about it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects import ToolCallDelta
from sse_relay.dialects.tool_calls import ToolCall, ToolCalls
from tests.properties import examples

D = ToolCallDelta
Placed = tuple[int, int, bool]


def placed(deltas: Sequence[ToolCallDelta]) -> list[Placed]:
    """Place deltas; return choice and number of each one's call, and whether it starts it."""
    calls = ToolCalls()
    return [(call.choice, call.number, is_new) for call, is_new in map(calls.place, deltas)]


FIRST, SECOND = (0, 0, True), (0, 1, True)
MORE_1, MORE_2 = (0, 0, False), (0, 1, False)

STREAMS: dict[str, list[tuple[ToolCallDelta, Placed]]] = {
    "as it should be": [
        (D(id="a", name="f", index=0), FIRST),
        (D("{", index=0), MORE_1),
        (D("}", index=0), MORE_1),
        (D(id="b", name="f", index=1), SECOND),
        (D("{}", index=1), MORE_2),
    ],
    "interleaved by index": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="b", name="g", index=1), SECOND),
        (D("}", index=0), MORE_1),
        (D("}", index=1), MORE_2),
    ],
    "an index, then none": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="b", name="g", index=1), SECOND),
        (D('"x"', index=0), MORE_1),
        (D(":1}"), MORE_1),
    ],
    "no ids, and the arguments were whole in pieces": [
        (D("{", name="f", index=0), FIRST),
        (D("}", index=0), MORE_1),
        (D("{}", name="f", index=0), SECOND),
    ],
    "indices from 1, the second first": [
        (D("{", id="b", name="f", index=2), FIRST),
        (D("{", id="a", name="f", index=1), SECOND),
        (D("}", index=2), MORE_1),
    ],
    "neither index nor id": [
        (D(name="f"), FIRST),
        (D("{"), MORE_1),
        (D("}"), MORE_1),
    ],
    "no index, an id first": [
        (D("{", id="a", name="f"), FIRST),
        (D("}"), MORE_1),
        (D("{", id="b", name="f"), SECOND),
        (D("}"), MORE_2),
    ],
    "no index, interleaved by id": [
        (D("{", id="a", name="f"), FIRST),
        (D("{", id="b", name="f"), SECOND),
        (D("}", id="a"), MORE_1),
        (D("", id="b"), MORE_2),
        (D("}"), MORE_2),
    ],
    "index 0 for all, new ids": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("}", index=0), MORE_1),
        (D("{", id="b", name="f", index=0), SECOND),
        (D("}", index=0), MORE_2),
    ],
    "index 0 for all, interleaved by id": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="b", name="f", index=0), SECOND),
        (D("}", id="a", index=0), MORE_1),
        (D("}", id="b", index=0), MORE_2),
    ],
    "ids and names repeated": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D('"x":1', id="a", name="f", index=0), MORE_1),
        (D("}", id="a", name="f", index=0), MORE_1),
        (D("{}", id="b", name="f", index=1), SECOND),
    ],
    "names repeated, nothing else": [
        (D("{", name="f"), FIRST),
        (D('"}', name="f"), MORE_1),
        (D('":1', name="f"), MORE_1),
        (D("}", name="f"), MORE_1),
        (D("{", name="f"), SECOND),
        (D("}", name="f"), MORE_2),
    ],
    "all at once, with ids": [
        (D("{}", id="a", name="f", index=0), FIRST),
        (D("{}", id="b", name="f", index=0), SECOND),
    ],
    "all at once, names only": [
        (D('{"x":1}', name="f"), FIRST),
        (D('{"x":2}', name="f"), SECOND),
    ],
    "all at once, names and index 0": [
        (D('{"x":1}', name="f", index=0), FIRST),
        (D('{"x":2}', name="f", index=0), SECOND),
    ],
    "another name, nothing else": [
        (D(name="f"), FIRST),
        (D(name="g"), SECOND),
        (D("{}"), MORE_2),
    ],
    "the same id at two indices": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="a", name="f", index=1), SECOND),
        (D("}", id="a", index=0), MORE_1),
        (D("}", id="a", index=1), MORE_2),
    ],
    "an id that comes late": [
        (D("{", name="f", index=0), FIRST),
        (D("", id="a", index=0), MORE_1),
        (D("}", id="a", index=0), MORE_1),
        (D("{", id="b", index=0), SECOND),
    ],
    "empty ids and names": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("}", id="", name="", index=0), MORE_1),
        (D("{", id="", name="g", index=1), SECOND),
        (D("}", id="", name="", index=1), MORE_2),
    ],
    "an index on the first delta only": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="b", name="f", index=1), SECOND),
        (D("}", id="a"), MORE_1),
        (D(""), MORE_1),
    ],
    "an id after a call without one": [
        (D("{", name="f"), FIRST),
        (D("{", id="b", name="f"), SECOND),
        (D("}"), MORE_2),
    ],
    "an index that comes late": [
        (D("{", id="a", name="f"), FIRST),
        (D("}", id="a", index=0), MORE_1),
        (D("{", id="b", index=1), SECOND),
    ],
    "no name, no id, no index, whole": [
        (D("{}", name="f"), FIRST),
        (D(" "), MORE_1),
        (D("{}"), MORE_1),
    ],
    "two answers": [
        (D("{", id="a", name="f", index=0), FIRST),
        (D("{", id="a", name="f", index=0, choice=1), (1, 0, True)),
        (D("}", index=0), MORE_1),
        (D("}", choice=1), (1, 0, False)),
        (D("}"), MORE_1),
        (D(name="g", index=1, choice=1), (1, 1, True)),
    ],
}


@pytest.mark.parametrize("name", STREAMS)
def test_deltas_find_their_calls(name: str) -> None:
    """H6: with or without index, id or name, repeated or not, each delta is placed in its call."""
    deltas = [delta for delta, _ in STREAMS[name]]
    assert placed(deltas) == [place for _, place in STREAMS[name]]


def test_call_keeps_its_first_id_and_name() -> None:
    """Defect 14: names are not put together, and what comes late is added once."""
    calls = ToolCalls()
    call, _ = calls.place(D("{", id="", name="", index=0))
    assert call == ToolCall(0, 0, None, None, 0)
    for delta in (D(id="a", index=0), D(name="f", index=0), D(id="a", name="g", index=0), D(name="f", index=0)):
        assert calls.place(delta)[0] is call
    assert call == ToolCall(0, 0, "a", "f", 0)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[ToolCallDelta], list[tuple[int, int]]]:
    """Draw calls, mixed in any order, by an upstream that says of each what tells them apart, and perhaps more."""
    by_index, by_id = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    repeats = draw(st.booleans())
    order = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=30))
    seen: dict[int, list[int]] = {0: [], 1: []}
    deltas: list[ToolCallDelta] = []
    places: list[tuple[int, int]] = []
    for choice, call in order:
        starts = call not in seen[choice]
        if starts:
            seen[choice].append(call)
        deltas.append(
            ToolCallDelta(
                draw(st.sampled_from(["", "{", "}", '"', "{}"])) if by_id else "{",
                index=call if by_index else draw(st.sampled_from([None, 0])) if repeats else None,
                id=f"call_{call}" if by_id and (starts or repeats or not by_index) else None,
                name="f" if starts or repeats else None,
                choice=choice,
            )
        )
        places.append((choice, seen[choice].index(call)))
    return deltas, places


@examples(120)
@given(streams())
def test_calls_that_can_be_told_apart_are(stream: tuple[list[ToolCallDelta], list[tuple[int, int]]]) -> None:
    """H6: where indices or ids tell them apart, calls mixed in any order are; each is started once, by its first."""
    deltas, places = stream
    found = placed(deltas)
    assert [(choice, number) for choice, number, _ in found] == places
    assert [is_new for *_, is_new in found] == [place not in places[:at] for at, place in enumerate(places)]
