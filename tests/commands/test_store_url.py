"""Which store is meant, and what is said where none can be made."""

import sys

import pytest

from sse_relay.commands.exits import UserError
from sse_relay.commands.store_url import store_of


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "SSE_RELAY_STORE"),
        ("", "SSE_RELAY_STORE"),
        ("memory://", "lives inside its process"),
        ("http://x", "none of redis, rediss, unix"),
        ("redis://:secret@x:port", "cannot be read"),
        ("redis://:secret@x/0?cluster=perhaps", "cannot be read"),
        ("unix:///s?cluster=1", "cannot be read"),
    ],
)
def test_what_is_no_store(url: str | None, said: str) -> None:
    """A URL of no store is refused with what to write, and never repeated: it may have a password."""
    with pytest.raises(UserError, match=said) as refused:
        store_of(url, "p")
    assert refused.value.code == 2
    assert "secret" not in str(refused.value)


def test_a_wrong_prefix() -> None:
    """A prefix that a store cannot have is told in the store's words."""
    with pytest.raises(UserError, match="prefix must be"):
        store_of("redis://x", "a b")


@pytest.mark.parametrize("url", ["redis://x:1/2", "rediss://u:p@x", "unix:///s", "redis://x?cluster=1", "REDIS://x"])
def test_a_store(url: str) -> None:
    """Each form makes a store; nothing is asked of it yet."""
    assert store_of(url, "p").new_run_id()


def test_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis it is said what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(UserError, match=r"sse-relay\[cli,redis\]") as refused:
        store_of("redis://x", "p")
    assert refused.value.code == 2
