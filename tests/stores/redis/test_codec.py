"""Many frames in one entry, and outcomes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import ErrorInfo, Outcome, StoreContractError
from sse_relay.stores.redis.codec import outcome_of, outcome_text, pack, unpack, unpack_all


@given(st.lists(st.lists(st.binary(max_size=300), max_size=20), max_size=5))
def test_frames_come_back(batches: list[list[bytes]]) -> None:
    """I4: whatever batches of frames are packed, one behind the other, they come back as they were."""
    frames = [frame for batch in batches for frame in batch]
    assert unpack(b"".join(map(pack, batches)), len(frames)) == frames
    assert unpack_all(map(pack, batches), len(frames)) == frames


FRAMES = st.binary(max_size=40) | st.sampled_from(
    [b"", b"\n\n", b"a\r\n\nb\n\n", b"x" * 255, b"x" * 256, b"x" * 70_000]
)
BATCHES = st.lists(FRAMES, min_size=1, max_size=6) | st.lists(FRAMES, min_size=250, max_size=300)
ENTRIES = st.lists(st.lists(BATCHES, min_size=1, max_size=3), min_size=1, max_size=3)


@given(ENTRIES)
def test_entries_of_any_batches_come_back(entries: list[list[list[bytes]]]) -> None:
    """I4: entries of one batch or more, of one frame to 300, of a byte a length or more, come back as they were."""
    frames = [frame for batches in entries for batch in batches for frame in batch]
    assert unpack_all([b"".join(map(pack, batches)) for batches in entries], len(frames)) == frames


@given(ENTRIES, st.data())
def test_what_is_cut_off_or_added_is_noticed(entries: list[list[list[bytes]]], data: st.DataObject) -> None:
    """I7: an entry that ends too soon or too late is an error, wherever it is cut, and whatever follows."""
    packed = [b"".join(map(pack, batches)) for batches in entries]
    count = sum(len(batch) for batches in entries for batch in batches)
    damaged = data.draw(st.integers(0, len(packed) - 1))
    cut = data.draw(st.integers(0, len(packed[damaged]) - 1))
    for wrong in (packed[damaged][:cut], packed[damaged] + b"B", packed[damaged] + b"B\1\0"):
        told = [*packed[:damaged], wrong, *packed[damaged + 1 :]]
        with pytest.raises(StoreContractError, match="damaged"):
            unpack_all(told, count)


def test_frames_of_all_sizes_come_back() -> None:
    """Long frames and many come back; a short one costs a byte, one of more than 255 two, and a batch as much again."""
    for size in (255, 256, 65_535, 65_536, 1 << 20):
        assert unpack(pack([b"x" * size, b""]), 2) == [b"x" * size, b""]
    for count in (255, 256, 65_535, 65_536):
        assert unpack(pack([b"x"] * count), count) == [b"x"] * count
    assert len(pack([b"x" * 60] * 50)) == 50 * 61 + 2
    assert len(pack([b"x" * 300] * 50)) == 50 * 302 + 3


@pytest.mark.parametrize(
    ("packed", "count"),
    [(b"", 1), (b"B", 1), (b"B\1", 1), (b"B\1\1", 1), (b"B\1\1ab", 1), (b"Q\1\1a", 1), (b"B\1\1a", 2), (b"B\0H", 0)],
)
def test_damage_is_noticed(packed: bytes, count: int) -> None:
    """I7: an entry that is too short, too long or of another kind is an error, and no frames."""
    with pytest.raises(StoreContractError, match="damaged"):
        unpack(packed, count)


def test_damage_is_not_made_good_by_a_neighbour() -> None:
    """I7: of many entries each is whole, or none is read: what one lacks, another does not lend."""
    for entries in ([b"B\1\2a", b"b"], [b"B\1\2a", b"B\1\2bc"], [b"B\1\1ab", b"B\1\1c"]):
        with pytest.raises(StoreContractError, match="damaged"):
            unpack_all(entries, 2)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("completed"),
        Outcome("cancelled", "us\u00e9r \ud800"),
        Outcome("failed", "error", ErrorInfo("code", "A sentence.", "id", 502)),
        Outcome("lost", None, ErrorInfo("code", "A sentence.")),
    ],
)
def test_outcomes_come_back(outcome: Outcome) -> None:
    """An outcome comes back as it was, with its error."""
    assert outcome_of(outcome_text(outcome)) == outcome


def test_a_run_that_goes_on_has_no_outcome() -> None:
    """No text is no outcome."""
    assert outcome_of("") is None
