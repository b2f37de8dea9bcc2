"""What `collect` tells at the end."""

from dataclasses import FrozenInstanceError, fields

import pytest

from sse_relay import Outcome
from sse_relay.client import CollectResult

FIELDS: dict[str, object] = {
    "outcome": Outcome("completed"), "last_cursor": None, "ttft": 0.1, "duration": 1.0, "events": 2, "resumes": 0,
    "error": None, "resume_error": None, "not_resumed": None, "pending": (), "diary": (),
}  # fmt: skip


def test_it_tells_each_thing_once_and_for_good() -> None:
    """I1, I5, I7: the result has what the rows name, documents each of it, and does not change."""
    result = CollectResult(**FIELDS)  # type: ignore[arg-type]
    assert [field.name for field in fields(result)] == list(FIELDS)
    assert all(f"        {name}: " in (CollectResult.__doc__ or "") for name in FIELDS)
    with pytest.raises(FrozenInstanceError):
        result.events = 3  # type: ignore[misc]
