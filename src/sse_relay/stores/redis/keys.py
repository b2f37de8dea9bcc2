"""
The names of what is stored.

A run and whatever leads to it are in one of 256 **partitions**, whose tag is in every name (``{p17}``) and in the run's
id (``p17-…``): on a Cluster they are in one slot, and one subscription hears of many runs. Text of users is in no name,
but hashed: different texts are different names, and none can break out of its own.
"""

import hashlib
import json
import re
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

from redis.crc import key_slot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HASH_SLOTS", "PARTITIONS", "Keys", "hash_slot"]

PARTITIONS = 256

_BY_TAG = {f"p{number}": key_slot(f"p{number}".encode()) for number in range(PARTITIONS)}
HASH_SLOTS = frozenset(_BY_TAG.values())
"""Where on a Cluster partitions are."""

_OWN_ID = re.compile(r"p(0|[1-9][0-9]{0,2})-.*", re.DOTALL)
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.{}:-]{1,128}")
_REMEMBERED = 4096  # runs: who writes one names it again and again
_PREFIX = re.compile(r"[A-Za-z0-9_.:/-]+")


class Keys:
    """
    Make names.

    Args:
        prefix: What all of them begin with.

    Raises:
        ValueError: The prefix is empty, or has other characters than ``A-Z a-z 0-9 _ . : / -``.
    """

    def __init__(self, prefix: str) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"prefix must be of A-Z a-z 0-9 _ . : / - only, not {prefix!r}")
        self._prefix = prefix
        self.run: Callable[[str], str] = lru_cache(_REMEMBERED)(self._run)
        """Name a run's hash."""

    def new_run_id(self, key: str | None) -> str:
        """Make a run id of 128 random bits in the partition of the key, or in any."""
        partition = secrets.randbelow(PARTITIONS) if key is None else _partition(_bytes(key))
        return f"p{partition}-{secrets.token_hex(16)}"

    def _run(self, run_id: str) -> str:
        own = _OWN_ID.fullmatch(run_id)
        partition = int(own[1]) if own is not None and int(own[1]) < PARTITIONS else _partition(_bytes(run_id))
        name = run_id if _PLAIN_ID.fullmatch(run_id) else f"#{_digest(_bytes(run_id))}"
        return f"{self._base(partition)}run:{name}"

    def slot(self, key: str) -> str:
        """Name what leads from a key to its latest run."""
        text = _bytes(key)
        return f"{self._base(_partition(text))}key:{_digest(text)}"

    def start(self, key: str | None, idempotency_key: str) -> str:
        """Name what leads from an idempotency key to the run of its first start."""
        partition = _partition(_bytes(idempotency_key if key is None else key))
        return f"{self._base(partition)}start:{_digest(json.dumps([key, idempotency_key]).encode())}"

    def index(self, partition: int) -> str:
        """Name the set of a partition's runs."""
        return f"{self._base(partition)}runs"

    def leases(self, partition: int) -> str:
        """Name the set of a partition's running runs, by lease."""
        return f"{self._base(partition)}leases"

    def wakes(self, run_id: str) -> str:
        """Name where it is heard what is added to the logs of a run's partition."""
        return f"{self.run(run_id).partition('}')[0]}}}:wakes"

    def log(self, run_id: str) -> str:
        """Name a run's log."""
        return self.run(run_id).replace("}:run:", "}:log:", 1)

    def recent(self, run_id: str) -> str:
        """Name what is gathered of a run's log."""
        return self.run(run_id).replace("}:run:", "}:recent:", 1)

    def stops(self, run_id: str) -> str:
        """Name where it is heard what is done to a run's partition over the heads of producers."""
        return f"{self.run(run_id).partition('}')[0]}}}:stops"

    def _base(self, partition: int) -> str:
        return f"{self._prefix}:{{p{partition}}}:"


def hash_slot(name: str) -> int:
    """Tell the hash slot of a name, which is its partition's."""
    return _BY_TAG[name[name.index("{") + 1 : name.index("}")]]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:40]  # a hash with a value of 64 characters takes a kilobyte more


def _partition(text: bytes) -> int:
    return hashlib.sha256(text).digest()[0]
