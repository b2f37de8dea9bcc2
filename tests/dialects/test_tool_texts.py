"""The texts of one tool's calls, however the deltas are mixed."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects import ToolCallDelta
from sse_relay.dialects.tool_texts import ToolTexts
from tests.dialects.json_texts import Pairs, any_fragments, write
from tests.properties import examples, hostile_text, received


def test_pieces_name_their_call() -> None:
    """H6: a piece says whose it is, what it adds, and whether that is the end of it."""
    texts = ToolTexts("say", "text")
    piece = texts.feed(ToolCallDelta('{"text":"a', id="1", name="say", index=0))
    assert piece is not None
    assert (piece.call.number, piece.call.id, piece.call.name, piece.text, piece.ended) == (0, "1", "say", "a", False)
    other = texts.feed(ToolCallDelta('{"text":"b"', id="2", name="say", index=1))
    assert other is not None
    assert (other.call.number, other.text, other.ended) == (1, "b", True)
    last = texts.feed(ToolCallDelta('"}', index=0))
    assert last is not None
    assert (last.call, last.text, last.ended) == (piece.call, "", True)


def test_other_tools_give_nothing() -> None:
    """H6: of a call of another tool, or of one without a name, there is no piece."""
    texts = ToolTexts("say", ("to", 0))
    assert texts.feed(ToolCallDelta('{"to":["a"]}', id="1", name="said", index=0)) is None
    assert texts.feed(ToolCallDelta('{"to":["a"]}', id="2", index=1)) is None
    assert texts.feed(ToolCallDelta(id="3", index=2)) is None
    named = texts.feed(ToolCallDelta('{"to":["b"]}', name="say", index=2))
    assert named is not None
    assert named.text == "b"


@examples(60)
@given(st.data(), st.lists(hostile_text(), max_size=3), st.randoms(use_true_random=False))
def test_calls_are_kept_apart(data: st.DataObject, messages: list[str], how: Random) -> None:
    """H6, defect 14: the texts of calls that are mixed in any way are those of the calls alone."""
    waiting = [
        [
            ToolCallDelta(fragment, id=f"c{number}", name="say", index=0)
            for fragment in data.draw(any_fragments(write(Pairs([("x", 1), ("text", message)]), how)))
        ]
        for number, message in enumerate(messages)
    ]
    texts = ToolTexts("say", "text")
    said = dict.fromkeys([f"c{number}" for number in range(len(messages))], "")
    while any(waiting):
        delta = how.choice([deltas for deltas in waiting if deltas]).pop(0)
        piece = texts.feed(delta)
        assert piece is not None
        assert piece.call.id == delta.id
        said[str(piece.call.id)] += piece.text
    assert list(said.values()) == [received(message) for message in messages]
