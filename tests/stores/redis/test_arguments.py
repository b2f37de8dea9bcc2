"""What scripts are given."""

from sse_relay import Outcome
from sse_relay.stores.protocol import Opening, Seal
from sse_relay.stores.redis.arguments import microseconds, of_bounds, of_opening, of_seal, plain
from sse_relay.stores.redis.codec import outcome_of, unpack

SEAL = Seal(Outcome("lost", "lease_expired"), b"event: end\n\n")


def test_text_is_written_as_it_is() -> None:
    """Text, half characters and whole numbers, also those that Lua would round."""
    assert plain("é\0") == "é\0".encode()
    assert plain("\ud800").decode("utf-8", "surrogatepass") == "\ud800"
    assert plain(10**18 - 1) == b"999999999999999999"


def test_times_are_whole_microseconds() -> None:
    """A time is never nothing, and never more than Lua can count."""
    assert microseconds(1.5) == b"1500000"
    assert microseconds(1e-9) == b"1"
    assert microseconds(float("inf")) == microseconds(1e300) == b"1000000000000000"


def test_a_seal_is_its_frame_and_its_outcome() -> None:
    """A seal is one packed frame, and the outcome's text."""
    packed, outcome = of_seal(SEAL)
    assert unpack(packed, 1) == [SEAL.frame]
    assert outcome_of(outcome.decode()) == SEAL.outcome


def test_an_opening_tells_no_key_from_an_empty_one() -> None:
    """Whether there is a key, or an idempotency key, is told apart from what it is; metadata is JSON or nothing."""
    nothing = of_opening(Opening(1.0, SEAL, SEAL), "r", 2.0, ("e1", "e2"))
    empty = of_opening(Opening(1.0, SEAL, SEAL, key="", idempotency_key="", metadata={"a": 1}), "r", 2.0, ("e1", "e2"))
    assert (nothing[8:12], empty[8:12]) == ([b"", b"", b"", b""], [b'{"a":1}', b"1", b"", b"1"])
    assert len(nothing) == len(empty) == 18


def test_bounds_are_written_only_if_there_are_any() -> None:
    """Whoever bounds nothing sends nothing; of two bounds the one that is not given is out of reach."""
    assert of_bounds(None, None, "trim") == ()
    assert of_bounds(5, None, "trim") == (b"5", b"1000000000000000", b"1")
    assert of_bounds(None, 7, "fail") == (b"1000000000000000", b"7", b"")
