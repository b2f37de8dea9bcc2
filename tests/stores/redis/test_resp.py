"""The protocol of Redis, as far as we write it ourselves."""

import pytest

from sse_relay.stores.redis import resp
from sse_relay.stores.redis.resp import pack


@pytest.mark.parametrize("fast", [True, False])
def test_a_command_is_words_of_any_bytes(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No word can end another one: each is told with its length, with hiredis and without."""
    if not fast:
        monkeypatch.setattr(resp, "HIREDIS", None)
    assert pack(b"ECHO", b"", b"\r\n$1\r\n") == b"*3\r\n$4\r\nECHO\r\n$0\r\n\r\n$6\r\n\r\n$1\r\n\r\n"
