"""What the benchmark of the dialects compares does the same job."""

import json
from typing import Any

import pytest

from benchmarks import dialects
from sse_relay.dialects import OpenAIChat, RenderContext, TextDelta, event_of


def test_chunks_are_the_same() -> None:
    """By the SDK's models, from a text and from a record: the fields that a client reads are the same."""
    pytest.importorskip("openai")
    renderer: Any = OpenAIChat(model=dialects.MODEL).renderer(RenderContext("1", created_at=1.0))
    renderer.preamble()
    (record,) = renderer.event(2, event_of(TextDelta(dialects.TOKEN)))
    before, behind = renderer.around_text
    text = json.loads(f"{before}{json.dumps(dialects.TOKEN)}{behind}")
    models = json.loads(dialects._by_models()(dialects.TOKEN))
    assert json.loads(record.data) == {**text, "relay": {"run_id": "1", "seq": 2}}
    assert text["choices"][0]["delta"]["content"] == models["choices"][0]["delta"]["content"] == dialects.TOKEN
    assert {key: text[key] for key in ("id", "object", "created", "model")} == {
        key: models[key] for key in ("id", "object", "created", "model")
    }


@pytest.mark.parametrize("size", [1, 4])
def test_records_become_the_chunks_of_their_events(size: int) -> None:
    """By themselves and in pages: what is timed is the whole chunk of each record, with its place."""
    context = RenderContext("r" * 32, "e" * 8, 1.0)
    renderer = OpenAIChat(model=dialects.MODEL).renderer(context)
    record = event_of(TextDelta(dialects.TOKEN))
    events = [event.encode() for offset in range(1, 9) for event in renderer.event(offset, record)]
    assert b"".join(dialects.shown(dialects.records(8, size))) == b"".join(events)


def test_tables_have_their_targets() -> None:
    """A quick run fills both tables, each with a verdict on every target."""
    pytest.importorskip("openai")
    chunk, stream = dialects.tables(quick=True)
    assert [name for name, _ in chunk.verdicts()] == [dialects.TEXT, dialects.PAGE]
    assert [name for name, _ in stream.verdicts()] == [dialects.OURS]
