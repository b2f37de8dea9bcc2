"""Records → the bytes that a client reads: the same on every way, in chunks of whole records."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import EventDecoder, Outcome, ServerSentEvent
from sse_relay.adapters.rendering import TrimmedError, encoded, rendered
from sse_relay.dialects import (
    AISDK,
    Anthropic,
    Dialect,
    Finish,
    Letta,
    OpenAIChat,
    OpenAIResponses,
    ReasoningDelta,
    RenderContext,
    TextDelta,
    ToolCallDelta,
    Usage,
    event_of,
)
from sse_relay.runs.batch import Batch
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Page, RunInfo
from sse_relay.wire.encoder import frame
from tests.properties import examples, hostile_text

CONTEXT = RenderContext('run%s"1', "epoch001", 1_700_000_000.5)
COMPLETED = Outcome("completed", "stop")
MODEL = 'a "%d"\ud800\u2028'
DIALECTS: list[Dialect] = [
    OpenAIChat(model=MODEL, include_usage=True), OpenAIResponses(model=MODEL), Anthropic(model=MODEL), AISDK(), Letta(),
]  # fmt: skip
OTHERS = [
    *[
        event_of(delta)
        for delta in (
            ReasoningDelta("so"), ToolCallDelta("{}", id="a", name="f"), Finish("length"), Usage(1, 2), TextDelta(""),
            TextDelta("b", choice=1),
        )
    ],
    *[
        ServerSentEvent(data, event="text")
        for data in ('{"text":"\\u00e9\\/"}', '{"text":"\\ud83d"}', '{"text":"a","more":1}', '{"text":"a\n"}', "no")
    ],
    ServerSentEvent("two\nlines"),
    ServerSentEvent('{"choices":[{"index":0,"delta":{"content":"raw"}}]}'),
    ServerSentEvent("{}", event="progress"),
]  # fmt: skip


class OnlyEvents:
    """A renderer that has to be shown every record as an event."""

    def __init__(self, renderer: Any) -> None:
        self.preamble, self.event, self.end = renderer.preamble, renderer.event, renderer.end


def batch_of(frames: Sequence[bytes], first: int = 1, outcome: Outcome | None = None, last: int = 0) -> Batch:
    """Make a page of a log that ends with the offset `last`, or with the page."""
    last = last or first + len(frames) - 1
    info = RunInfo("run", None, "completed" if outcome else "running", "epoch001", last, outcome, 0.0, 0.0)
    return Batch(Page(info, "epoch001", first, frames, first - 1))


def shown(renderer: Any, dialect: Dialect, *batches: Batch) -> bytes:
    """Render batches, and how the renderer would end then."""
    chunks = [encoded(renderer.preamble(), None)]
    for batch in batches:
        chunks += rendered(batch, renderer, dialect)
    return b"".join([*chunks, encoded(renderer.end(COMPLETED), None)])


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(
    log=st.lists(st.one_of(st.sampled_from(OTHERS), *[hostile_text().map(lambda text: event_of(TextDelta(text)))] * 3)),
    ends=st.booleans(),
)
@examples(60)
def test_texts_are_rendered_as_their_events(dialect: Dialect, log: list[ServerSentEvent], *, ends: bool) -> None:
    """I3: whatever lies between texts, and wherever pages are cut, to the byte, with the same state behind."""
    outcome = COMPLETED if ends else None
    frames = [frame(event) for event in log] + ([seal_of(COMPLETED).frame] if ends else [])
    last = len(frames)
    expected = shown(OnlyEvents(dialect.renderer(CONTEXT)), dialect, batch_of(frames, outcome=outcome))
    assert shown(dialect.renderer(CONTEXT), dialect, batch_of(frames, outcome=outcome)) == expected
    for cut in range(last + 1):
        pages = [
            batch_of(part, first, outcome, last) for part, first in ((frames[:cut], 1), (frames[cut:], cut + 1)) if part
        ]
        assert shown(dialect.renderer(CONTEXT), dialect, *pages) == expected


def test_a_page_of_texts_is_few_chunks_of_whole_records() -> None:
    """H1: a replay pays for a write a hundred texts, and each chunk can be the last one that a client gets."""
    dialect = OpenAIChat()
    batch = batch_of([frame(event_of(TextDelta(f"é{number}\n"))) for number in range(500)])
    chunks = list(rendered(batch, dialect.renderer(CONTEXT), dialect))
    assert [len(EventDecoder().feed(chunk)) for chunk in chunks] == [128, 128, 128, 116]
    assert max(map(len, chunks)) < 1 << 16


def test_nothing_is_rendered_before_it_is_asked_for() -> None:
    """A renderer knows of no record that was not shown: what goes out next may depend on it."""
    dialect = OpenAIChat()
    renderer = dialect.renderer(CONTEXT)
    frames = [frame(event_of(delta)) for delta in (TextDelta("a"), Finish("length"))]
    chunks = iter(rendered(batch_of(frames), renderer, dialect))
    next(chunks)
    assert b'"finish_reason":"stop"' in encoded(renderer.end(Outcome("completed")), None)


def test_lost_records_are_an_error() -> None:
    """I7: a batch behind a gap is not rendered as if nothing were missing."""
    page = Page(batch_of([]).page.info, "epoch001", 3, [frame(event_of(TextDelta("a")))], 1)
    dialect = OpenAIChat()
    with pytest.raises(TrimmedError):
        list(rendered(Batch(page), dialect.renderer(CONTEXT), dialect))


def test_ids_are_on_the_last_frame_of_each_record() -> None:
    """A dialect that has ids gets every record as an event, though its renderer has a template for texts."""

    class WithIds(OpenAIChat):
        has_ids = True

    dialect = WithIds()
    batch = batch_of([frame(event_of(TextDelta(text))) for text in "ab"])
    chunks = b"".join(rendered(batch, dialect.renderer(CONTEXT), dialect))
    assert [event.id for event in EventDecoder().feed(chunks)] == ["epoch001:1", "epoch001:2"]
