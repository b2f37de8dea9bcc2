"""Where something is asked for."""

import pytest

from sse_relay.adapters.paths import Route


@pytest.mark.parametrize(
    ("path", "asked", "found"),
    [
        ("/runs", "/runs", ()),
        ("/runs", "/runs/", None),
        ("/runs/{run_id}", "/runs/7", ("7",)),
        ("/runs/{run_id}", "/runs/", ("",)),
        ("/runs/{run_id}", "/runs/7/8", None),
        ("/runs/{run_id}/events", "/runs/7/events", ("7",)),
        ("/keys/{key}/active", "/keys/a/b/active", ("a/b",)),
        ("/keys/{key}/active", "/keys/a\nb/active", ("a\nb",)),
        ("/keys/{key}/active", "/keys/active", None),
    ],
)
def test_a_path_is_found_whole(path: str, asked: str, found: tuple[str, ...] | None) -> None:
    """G3: a parameter is one part of a path, a key any text; nothing is found by its beginning, or by its end."""
    match = Route(path).pattern.fullmatch(asked)
    assert (match and match.groups()) == found
