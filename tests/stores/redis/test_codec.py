"""Many frames in one entry, and outcomes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import ErrorInfo, Outcome, StoreContractError
from sse_relay.stores.redis.codec import outcome_of, outcome_text, pack, unpack


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_frames_come_back(frames: list[bytes]) -> None:
    """I4: whatever frames are packed, they come back as they were."""
    assert unpack(pack(frames), len(frames)) == frames


def test_large_frames_come_back() -> None:
    """Frames of 65,535 bytes and of more come back; small ones cost two bytes each, and one a batch."""
    for size in (65_535, 65_536, 1 << 20):
        assert unpack(pack([b"x" * size, b""]), 2) == [b"x" * size, b""]
    assert len(pack([b"x" * 60] * 50)) == 50 * 62 + 1


@pytest.mark.parametrize(
    ("packed", "count"), [(b"", 1), (b"H", 1), (b"H\x01\x00", 1), (b"H\x01\x00ab", 1), (b"Q\x01\x00a", 1), (b"Ha", 0)]
)
def test_damage_is_noticed(packed: bytes, count: int) -> None:
    """I7: an entry that is too short, too long or of another kind is an error, and no frames."""
    with pytest.raises(StoreContractError, match="damaged"):
        unpack(packed, count)


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
    assert outcome_of(outcome_text(outcome).encode()) == outcome


def test_a_run_that_goes_on_has_no_outcome() -> None:
    """No text is no outcome."""
    assert outcome_of(b"") is None
