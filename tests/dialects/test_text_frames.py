"""Stored frames → the texts in them: what is copied is what the delta says, and all of it."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import ServerSentEvent
from sse_relay.dialects import Finish, ReasoningDelta, TextDelta, event_of
from sse_relay.dialects.text_frames import fill, runs_of_texts, surround, texts_of
from sse_relay.wire.encoder import frame, to_utf8
from tests.properties import examples, hostile_text

NONE = [
    '{"text":""}',
    '{"text":"\\u00e9"}',
    '{"text":"\\u000a"}',
    '{"text":"\\u001F"}',
    '{"text":"\\ud83d"}',
    '{"text":"\\/"}',
    '{"text":"\\x"}',
    '{"text":"a\\"}',
    '{"text":"a"b"}',
    '{"text":"a","choice":1}',
    '{"text": "a"}',
    '{"text":"a\nb"}',
    '{"text":"a\tb"}',
    '{"text":"',
    "",
]


def canonical(text: str) -> bytes:
    return frame(event_of(TextDelta(text)))


OTHERS = [
    *[frame(ServerSentEvent(data, event="text")) for data in NONE],
    *[frame(event_of(delta)) for delta in (ReasoningDelta("a"), Finish("stop"), TextDelta("a", choice=1))],
    canonical("a").replace(b"event: text", b"event: texts"),
    canonical("a").removeprefix(b"event: text\n"),
    canonical("a")[:-1],
    b"",
]


@given(hostile_text().filter(bool))
@examples(150)
def test_what_is_copied_is_the_text(text: str) -> None:
    """I3: what `event_of` writes of any text is taken, by itself and in a row, and is the text as JSON."""
    (said,) = texts_of([canonical(text)])
    assert json.loads(b'"%b"' % said) == to_utf8(text).decode()
    assert texts_of([canonical(text)] * 3) == [said] * 3


@pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
def test_nothing_else_is_a_text(other: bytes) -> None:
    """I2: no frame but the canonical one of a text that is not empty is copied, wherever it stands."""
    hi = canonical("Hi")
    assert texts_of([other]) == texts_of([hi, other]) == texts_of([other, hi]) == texts_of([hi, other, hi]) == []


@pytest.mark.parametrize(
    ("before", "behind"), [(b"a\\", b"n"), (b"\\u00", b"1f"), (b"\\", b'"'), (b"\\", b"\\"), (b"\\u", b"0001")]
)
def test_two_halves_of_an_escape_are_no_texts(before: bytes, behind: bytes) -> None:
    """I2: what is broken in each of two records is not whole because they lie beside each other."""
    broken = [canonical("#").replace(b"#", half) for half in (before, behind)]
    assert texts_of(broken) == []


@pytest.mark.parametrize("cut", range(1, 60))
def test_records_that_are_divided_elsewhere_are_no_texts(cut: int) -> None:
    """I7: as many records as there are texts are these texts only if each is one."""
    whole = canonical("one") + canonical("two")
    assert bool(texts_of([whole[:cut], whole[cut:]])) == (cut == len(canonical("one")))


@given(st.lists(st.one_of(st.sampled_from(OTHERS), hostile_text().map(canonical)), max_size=12))
@examples(150)
def test_runs_are_all_of_the_frames_in_order(frames: list[bytes]) -> None:
    """I3, I10: nothing is lost, doubled or moved, and a run of texts is as long as it can be."""
    runs = list(runs_of_texts(frames))
    assert [one for run, _ in runs for one in run] == frames
    for run, texts in runs:
        assert texts == ([] if not texts else [texts_of([one])[0] for one in run])
    assert not any(before and behind for (_, before), (_, behind) in pairwise(runs))


def test_a_text_that_is_no_utf8_is_an_error() -> None:
    """As where records are read as events: a broken store is not passed on."""
    broken = canonical("#").replace(b"#", b"\xff")
    for frames in ([broken], [canonical("a"), broken]):
        with pytest.raises(UnicodeDecodeError):
            texts_of(frames)


def test_long_texts_are_not_put_together() -> None:
    """A run is 64 KiB of frames at most: what a viewer is sent at once stays small."""
    long = canonical("x" * 40_000)
    assert len(texts_of([long])) == 1
    assert texts_of([long, long]) == []


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=5), st.integers(0, 1 << 60))
@examples(50)
def test_a_template_is_filled_once_a_text(texts: Any, first: int) -> None:
    """Each text comes with its own number, in order."""
    assert fill(b"%%<%b|%d>", texts, first) == b"".join(
        [b"%%<%b|%d>" % (text, number) for number, text in enumerate(texts, first)]
    )
    assert surround(b"<", texts, b">") == b"".join([b"<%b>" % text for text in texts])
