"""The protocol of Redis, as far as we write it ourselves; and what reads and writes it fast, where it is installed."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["HIREDIS", "pack"]

HIREDIS: Any = import_module("hiredis") if find_spec("hiredis") else None
"""hiredis, which comes with the extra; None: it is not there."""


def pack(*words: bytes) -> bytes:
    """Write a command."""
    if HIREDIS is not None:
        packed: bytes = HIREDIS.pack_command(words)
        return packed
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))
