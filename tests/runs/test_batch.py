"""Stored records → events: their ids are their cursors."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import EventDecoder, Outcome, ServerSentEvent, StoreContractError
from sse_relay.dialects import TextDelta, event_of
from sse_relay.runs.batch import Batch
from sse_relay.runs.producer import seal_of
from sse_relay.stores.protocol import Page, RunInfo
from sse_relay.wire.encoder import frame

EVENTS = [
    ServerSentEvent("plain"),
    ServerSentEvent(""),
    ServerSentEvent("named", event="note"),
    ServerSentEvent("two\nlines"),
    ServerSentEvent("data: event: x\n\nid: 7", event="odd"),
    ServerSentEvent(" ümlaut \u2028 ", event="text"),
]


def page(first: int = 1, after: int = 0, outcome: Outcome | None = None) -> Page:
    frames = [frame(event) for event in EVENTS]
    if outcome is not None:
        frames.append(seal_of(outcome).frame)
    last = first + len(frames) - 1
    status = "running" if outcome is None else outcome.status
    return Page(RunInfo("run", None, status, "an-epoch", last, outcome, 0.0, 0.0), "an-epoch", first, frames, after)


def test_records_come_back_as_they_were() -> None:
    """I10: each stored frame is the event that it was, and its id is its cursor."""
    batch = Batch(page())
    assert batch.events == [event.replace(id=f"an-epoch:{offset}") for offset, event in enumerate(EVENTS, 1)]
    assert batch.events is batch.events
    assert batch.outcome is None


def test_the_end_carries_the_outcome() -> None:
    """The last record of a run that has ended is the `end`, and no other says how it ended (I2)."""
    outcome = Outcome("completed", "stop")
    batch = Batch(page(outcome=outcome))
    assert batch.outcome == outcome
    assert [event.outcome for event in batch.events] == [None] * len(EVENTS) + [outcome]
    assert batch.events[-1].data == '{"status":"completed","reason":"stop","error":null}'
    part = Batch(replace(batch.page, frames=batch.page.frames[:3]))
    assert part.outcome is None
    assert [event.outcome for event in part.events] == [None] * 3


def test_what_was_trimmed_is_said() -> None:
    """I7: a page that does not follow its reader's place begins with a gap, whose id is before the next record."""
    events = Batch(page(first=10, after=4)).events
    assert events[0] == ServerSentEvent('{"after":4,"next":10,"reason":"trimmed"}', event="gap", id="an-epoch:9")
    assert events[1].id == "an-epoch:10"


def test_a_batch_is_cut_without_being_read_again() -> None:
    """Whoever is in the middle of a batch gets the same events as the others, from there."""
    batch = Batch(page(first=10, after=9))
    assert batch.after(9) is batch
    assert batch.events
    cut = batch.after(12)
    assert (cut.page.first, cut.page.after, len(cut.page.frames)) == (13, 12, 3)
    assert cut.events == batch.events[3:]
    assert all(mine is theirs for mine, theirs in zip(cut.events, batch.events[3:], strict=True))


@pytest.mark.parametrize(
    "stored",
    [
        [b""],
        [b"data: a\n\ndata: b\n\n"],
        [b": nothing\n\n"],
        [b"data: open\n"],
        [b"data: a\n\ndata: b\n\n", b""],
        [b"data: a\n\ndata: b\n\n", b"x"],
        [b"data: a\n\ndata: b\n\n", b"event: x\n\n"],
        [b"", b"data: a\n\n", b"data: b\n\ndata: c\n\n"],
    ],
    ids=repr,
)
def test_a_record_that_is_not_one_event_is_refused(stored: list[bytes]) -> None:
    """A store that gives back what was not put in is named, not shown (I7)."""
    with pytest.raises(StoreContractError, match="an-epoch:1"):
        _ = Batch(replace(page(), frames=stored)).events


@given(
    st.lists(
        st.tuples(
            st.text("ab\n\r: \u2028é\ud800", max_size=12),
            st.none() | st.sampled_from(["text", "data: x", "id", "event"]),
        ),
        max_size=8,
    )
)
def test_many_records_are_read_as_one_by_one(said: list[tuple[str, str | None]]) -> None:
    """I10: however records lie beside each other, each comes back as it was."""
    frames = [frame(ServerSentEvent(data, event=name)) for data, name in said]
    whole = Batch(replace(page(), frames=frames)).events
    alone = [
        event
        for offset, one in enumerate(frames, 1)
        for event in EventDecoder().feed(b"id: an-epoch:%d\n%b" % (offset, one))
    ]
    assert whole == alone


def test_texts_are_not_decoded() -> None:
    """Runs of texts come as stored, at the offset of their first; all else as the events that there are (I10)."""
    texts = [frame(event_of(TextDelta(text))) for text in ("a", '"', "\n")]
    stored = page(first=5, after=4)
    batch = Batch(replace(stored, frames=[*texts, *stored.frames, *texts]))
    others = [event.replace(id=f"an-epoch:{offset}") for offset, event in enumerate(EVENTS, 8)]
    inside = [b"a", b'\\"', b"\\n"]
    assert batch.runs == [(5, inside), *enumerate(others, 8), (8 + len(others), inside)]
    assert batch.runs is batch.runs
    assert Batch(replace(stored, frames=texts[:1])).runs == [(5, [b"a"])]
    assert Batch(replace(stored, frames=[])).runs == []


def test_the_end_is_no_text() -> None:
    """The last record of a run that has ended is its end, whatever is in it (I2); a page may have none of it left."""
    text = frame(event_of(TextDelta("a")))
    stored = page(outcome=Outcome("completed"))
    for frames in ([text], [text, text]):
        runs = Batch(replace(stored, frames=frames, first=stored.info.last_offset - len(frames) + 1)).runs
        assert [run.outcome for _, run in runs[-1:] if isinstance(run, ServerSentEvent)] == [Outcome("completed")]
        assert [run for _, run in runs[:-1]] == [[b"a"]] * (len(frames) - 1)
    last = stored.info.last_offset
    assert Batch(replace(stored, frames=[], first=last + 1, after=last)).runs == []


def test_what_is_cut_came_when_the_whole_did() -> None:
    """The time at which records came, for whoever measures, is that of whatever is left of them."""
    assert Batch(page(), 3, heard_at=7.5).after(2).heard_at == 7.5
    assert Batch(page()).after(2).heard_at == 0.0


LENGTHS = [
    [10] * 5000, [900] * 500, [10, 70_000, 10, 10], [70_000] * 3, [30_000] * 7, [0] * 70, [1] * 63 + [60_000],
    [60_000] + [10] * 5000, [10] * 300 + [3000] * 60 + [10] * 3000, [],
]  # fmt: skip


@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} of {max(lengths, default=0)} at most")
def test_native_chunks_are_whole_records_and_bounded(lengths: list[int]) -> None:
    """L6: chunks have 64 KiB of frames at most, or one frame; together they are the records, each behind its id."""
    frames = [b"data: " + b"x" * length + b"\n\n" for length in lengths]
    info = RunInfo("run", None, "running", "an-epoch", len(frames) + 6, None, 0.0, 0.0)
    chunks = list(Batch(Page(info, "an-epoch", 7, frames, 6)).native())
    assert b"".join(chunks) == b"".join(b"id: an-epoch:%d\n%b" % record for record in enumerate(frames, 7))
    heads = len(b"id: an-epoch:1234\n")
    for chunk in chunks:
        count = chunk.count(b"id: an-epoch:")
        assert chunk.startswith(b"id: an-epoch:")
        assert count == 1 or len(chunk) <= (1 << 16) + heads * count
    assert len(chunks) <= 2 * sum(map(len, frames)) // (1 << 16) + 4


OFFSETS = st.integers(1, 20) | st.integers(985, 1005) | st.integers(9_700, 10_005) | st.integers(999_990, 10**9)
RECORDS = st.binary(max_size=40) | st.sampled_from([b"", b"%b%d", b"\n\n", b"a: b\r\r\n\n\nid: 7\n\n", b"x" * 300])


@given(
    st.lists(RECORDS, max_size=30) | st.lists(RECORDS, min_size=270, max_size=300),
    OFFSETS,
    st.sampled_from([0, 0, 5]),
)
def test_each_record_is_told_behind_its_id(frames: list[bytes], first: int, trimmed: int) -> None:
    """I3, I7: whatever is in records, each is told once, behind its own id, and all behind the gap, if there is one."""
    info = RunInfo("run", None, "running", "an-epoch", 10**9, None, 0.0, 0.0)
    batch = Batch(Page(info, "an-epoch", first + trimmed, frames, first - 1))
    said = b"".join(b"id: an-epoch:%d\n%b" % record for record in enumerate(frames, first + trimmed))
    gap = b'{"after":%d,"next":%d,"reason":"trimmed"}' % (first - 1, first + trimmed)
    ahead = b"id: an-epoch:%d\nevent: gap\ndata: %b\n\n" % (first + trimmed - 1, gap) if trimmed else b""
    assert b"".join(batch.native()) == ahead + said
    assert b"".join(batch.native()) == ahead + said
