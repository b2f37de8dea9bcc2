"""
The scripts, one a file, and how their texts differ by server.

Each has the prelude in front; on a Cluster also ``cluster.lua``, which sees to it that a run is not torn while its
slot moves. What an operation is most of the time may come before all of that, in a ``.fast.lua``. Only from Redis 7 on
a script has to say that it looks at keys of several slots, and can publish to a shard.
"""

import hashlib
from collections.abc import Sequence
from enum import IntEnum
from importlib import resources
from typing import NamedTuple

from sse_relay.stores.redis.connection import Server
from sse_relay.stores.redis.resp import pack

__all__ = ["Command", "Flavour", "Script", "Text", "load"]

_ACROSS = frozenset({"lapsed", "renew"})  # their arguments name keys of all slots that the node has


class Flavour(IntEnum):
    """What kind of server runs a script."""

    OLD = 0
    NEW = 1
    OLD_CLUSTER = 2
    NEW_CLUSTER = 3

    @classmethod
    def of(cls, server: Server) -> "Flavour":
        """Tell that of a server."""
        return cls(2 * server.cluster + (server.version >= (7, 0)))


class Text(NamedTuple):
    """What a server runs, and the name that it knows it by."""

    source: bytes
    sha: bytes


class Script:
    """
    One operation.

    Args:
        name: Its file's name.
        body: What it does.
        prelude: What comes before.
        guard: What comes between the two on a Cluster.
        fast: What comes before all of them.

    Attributes:
        name: Its file's name.
        tells: Whether others are to hear what it does before whoever asked.
    """

    __slots__ = ("_texts", "name", "tells")

    def __init__(self, name: str, body: str, prelude: str = "", guard: str = "", fast: str = "") -> None:
        self.name: str = name
        self.tells: bool = name == "append"
        self._texts = [_text(name, flavour, (fast, prelude, guard, body)) for flavour in Flavour]

    def text(self, flavour: Flavour) -> Text:
        """Tell what a server of that kind is to run."""
        return self._texts[flavour]

    def command(self, flavour: Flavour, keys: Sequence[str], args: Sequence[bytes], *, loads: bool) -> bytes:
        """Write the command that runs it, and tells the server what it is if that has to be."""
        text = self._texts[flavour]
        word, script = (b"EVAL", text.source) if loads else (b"EVALSHA", text.sha)
        if len(keys) == 1:
            return pack(word, script, b"1", keys[0].encode(), *args)
        return pack(word, script, b"%d" % len(keys), *[key.encode() for key in keys], *args)

    def written(self, flavour: Flavour, words: bytes, count: int, *, loads: bool) -> bytes:
        """Write the command, of which so many words are written already."""
        text = self._texts[flavour]
        if loads:
            return b"*%d\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n%b" % (2 + count, len(text.source), text.source, words)
        return b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n%b" % (2 + count, text.sha, words)


class Command:
    """
    A command of the server's own, where no script is needed.

    Args:
        name: The command.
    """

    __slots__ = ("name",)

    tells = False

    def __init__(self, name: str) -> None:
        self.name: str = name

    def command(self, flavour: Flavour, keys: Sequence[str], args: Sequence[bytes], *, loads: bool) -> bytes:  # noqa: ARG002 - it is the same on all servers
        """Write it."""
        return pack(self.name.encode(), *[key.encode() for key in keys], *args)


def load(name: str) -> Script:
    """Read a script from this package."""
    folder = resources.files("sse_relay.stores.redis")
    prelude, guard, body = ((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", "cluster", name))
    fast = folder / f"{name}.fast.lua"
    return Script(name, body, prelude, guard, fast.read_text("utf-8") if fast.is_file() else "")


def _text(name: str, flavour: Flavour, parts: tuple[str, str, str, str]) -> Text:
    fast, prelude, guard, body = parts
    new, cluster = flavour in {Flavour.NEW, Flavour.NEW_CLUSTER}, flavour >= Flavour.OLD_CLUSTER
    text = "\n".join([
        *(["#!lua flags=allow-oom,allow-cross-slot-keys"] if new and cluster and name in _ACROSS else []),
        f"local OPERATION, PUBLISH = '{name}', '{'SPUBLISH' if new and cluster else 'PUBLISH'}'",
        f"local CLUSTER = {'true' if cluster else 'false'}",
        fast,
        prelude,
        *([guard] if cluster else []),
        body,
    ]).encode()  # fmt: skip
    return Text(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())
