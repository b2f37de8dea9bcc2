"""What an event says, in neutral terms, whoever wrote it."""

import pytest

from sse_relay import ServerSentEvent
from sse_relay.dialects import Delta, Finish, TextDelta, ToolCallDelta, ToolResult, Usage, event_of
from sse_relay.dialects.chat_chunks import deltas_of_chunk
from sse_relay.dialects.letta_messages import deltas_of_message
from sse_relay.dialects.neutral import deltas_of, reader_of


@pytest.mark.parametrize(
    "delta",
    [
        TextDelta("a"),
        TextDelta("", choice=127),
        ToolCallDelta("{", id="c"),
        ToolResult("c", "1"),
        Usage(1, 2),
        Finish("x"),
    ],
    ids=range(6),
)
def test_a_canonical_frame_is_its_delta(delta: Delta) -> None:
    """A delta that was written is read as it was."""
    assert deltas_of(event_of(delta)) == [delta]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("Hi", [TextDelta("Hi")]),
        ("", []),
        ("[DONE]", []),
        ("[DONE] ", [TextDelta("[DONE] ")]),
        ('{"a":1}', [TextDelta('{"a":1}')]),
        ("<html>", [TextDelta("<html>")]),
        ('{"choices":[{"delta":{"content":"Hi"}}]}', [TextDelta("Hi")]),
        ('{"object":"chat.completion.chunk"}', []),
        ('{"choices":{}}', [TextDelta('{"choices":{}}')]),
        ('{"message_type":"assistant_message","content":"Hi"}', [TextDelta("Hi")]),
        ('{"message_type":"ping"}', []),
        ('{"message_type":1}', [TextDelta('{"message_type":1}')]),
        ('{"message_type":"ping","n":NaN}', [TextDelta('{"message_type":"ping","n":NaN}')]),
    ],
)
@pytest.mark.parametrize("name", [None, "", "message"])
def test_an_unnamed_event_is_what_it_looks_like(name: str | None, data: str, said: list[Delta]) -> None:
    """B3: a chunk of OpenAI's, a message of Letta's, or else text as it stands."""
    assert list(deltas_of(ServerSentEvent(data, event=name))) == said


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("progress", '{"choices":[{"delta":{"content":"Hi"}}]}'), ("text", "Hi"), ("text", '{"text":1}'),
        ("text", '{"text":"a","choice":-1}'), ("text", '{"text":"a","choice":128}'), ("text", "[" * 9999),
        ("usage", '{"input_tokens":-1,"output_tokens":0}'), ("usage", '{"input_tokens":0,"output_tokens":1e3}'),
        ("usage", '{"input_tokens":0,"output_tokens":' + "9" * 4000 + "}"), ("finish", "{}"), ("error", "Hi"),
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_and_other_events_say_nothing(name: str, data: str) -> None:
    """L6: an event of the application's own, a broken delta, and a count beyond all reason are no deltas."""
    assert list(deltas_of(ServerSentEvent(data, event=name))) == []


def test_a_reader_is_found_by_what_an_object_says_of_itself() -> None:
    """Nobody else's objects are taken for one that is known."""
    assert reader_of({"choices": []}) is reader_of({"object": "chat.completion.chunk"}) is deltas_of_chunk
    assert reader_of({"message_type": "x"}) is deltas_of_message
    assert reader_of({}) is reader_of({"choices": "x"}) is reader_of({"message_type": None}) is None
