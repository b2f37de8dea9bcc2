"""The scripts, one a file, and how their texts differ by server."""

import hashlib
from importlib import resources
from typing import NamedTuple

__all__ = ["Script", "Text", "load"]

_ALLOW_OOM = "#!lua flags=allow-oom\n"  # understood from Redis 7 on; Redis 6 refuses it


class Text(NamedTuple):
    """What a server runs, and the name that it knows it by."""

    source: bytes
    sha: bytes


class Script:
    """
    One operation.

    Attributes:
        name: Its file's name.
    """

    __slots__ = ("_always", "_plain", "name")

    def __init__(self, name: str, source: str) -> None:
        self.name: str = name
        self._plain = _text(source)
        self._always = _text(_ALLOW_OOM + source)

    def text(self, *, always: bool) -> Text:
        """
        Tell what the server is to run.

        Args:
            always: Also when the server's memory is full; for Redis 7 and later.
        """
        return self._always if always else self._plain


def load(name: str) -> Script:
    """Read a script from this package."""
    folder = resources.files("sse_relay.stores.redis")
    prelude, body = ((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
    return Script(name, f"{prelude}\n{body}")


def _text(source: str) -> Text:
    text = source.encode()
    return Text(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())
