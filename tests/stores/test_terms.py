"""What a store is asked, and what it answers."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from sse_relay import Outcome
from sse_relay.stores.terms import Answer, Appended, Opening, Seal

SEAL = Seal(Outcome("lost"), b"event: end\ndata: {}\n\n")


@pytest.mark.parametrize("lease", [0, -1, float("nan")])
def test_a_lease_is_positive(lease: float) -> None:
    """An opening whose lease would have passed at once is refused."""
    with pytest.raises(ValueError, match="lease must be positive"):
        Opening(lease, SEAL, SEAL)


def test_a_policy_is_one_of_three() -> None:
    """An unknown policy is refused: no store may take it for `replace`."""
    with pytest.raises(ValueError, match='on_conflict must be "reject", "join" or "replace", not \'override\''):
        Opening(1, SEAL, SEAL, on_conflict="override")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_conflict"):
        replace(Opening(1, SEAL, SEAL), on_conflict="")  # type: ignore[arg-type]


def test_an_opening_asks_for_nothing_by_itself() -> None:
    """Without options a start has no id, no key and no idempotency key of its own, and refuses to share."""
    said = {field.name: getattr(Opening(1, SEAL, SEAL), field.name) for field in fields(Opening)}
    assert said.pop("metadata") == {}
    assert said == {
        "lease": 1, "replaced": SEAL, "lapsed": SEAL, "run_id": None, "key": None, "on_conflict": "reject",
        "idempotency_key": None, "fingerprint": "", "dialect": "native", "claim": "", "trace": "",
    }  # fmt: skip


def test_an_answer_made_field_by_field_is_no_other() -> None:
    """The answer to an append equals the one that its constructor makes, and is as frozen."""
    told = Appended.told(Answer.GAP, 7, "user")
    assert told == Appended(Answer.GAP, 7, "user")
    assert not hasattr(told, "__dict__")
    with pytest.raises(FrozenInstanceError):
        told.last_offset = 8  # type: ignore[misc]
