"""
Runs in Redis or Valkey: each operation is one script and one round trip.

Calls that write and calls that read have a connection each, so that a long replay holds up no producer; wake-ups have a
third. That is all that a process needs, however many runs and viewers it has.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Self

from redis.asyncio import Redis

from sse_relay.exceptions import (
    IdempotencyConflictError,
    InvalidCursorError,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
)
from sse_relay.stores.protocol import (
    Answer,
    Appended,
    Ended,
    Follower,
    Grant,
    Opened,
    Opening,
    Page,
    RunInfo,
    RunStatus,
    Seal,
    Wake,
)
from sse_relay.stores.redis.arguments import of_opening, of_seal, plain
from sse_relay.stores.redis.codec import outcome_text, pack
from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.follower import Followers
from sse_relay.stores.redis.keys import PARTITIONS, Keys
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.listing import newest_first
from sse_relay.stores.redis.scripts import Script, load
from sse_relay.stores.redis.snapshot import Snapshot, text
from sse_relay.wire.cursor import Cursor

__all__ = ["RedisStore"]

_RENEWED_AT_ONCE = 256  # runs: longer scripts would hold up everybody else
_LISTED_AT_ONCE = 20  # runs of a partition
_MOST_ENTRIES = 10**9

_OPEN, _APPEND, _RENEW, _CANCEL, _END, _READ, _INFO, _LOOKUP, _LAPSED, _LIST = map(
    load, ("open", "append", "renew", "cancel", "end", "read", "info", "lookup", "lapsed", "list")
)


class RedisStore:
    """
    Keep runs in Redis 6.2 or later, or Valkey, for all processes that use it.

    What is **acknowledged** is on the server, and as durable as the server is: see its persistence and replication.

    Args:
        client: Says where the server is and who we are, or which Sentinel knows; the store has connections of its own,
            and never closes this.
        prefix: What all names in the server begin with.
        retention: How long a run is kept after its last activity, in seconds; its tombstone as long again.
        deadline: How long the server has for an answer, in seconds.
        probe: How long a silent connection for wake-ups is trusted, in seconds.

    Raises:
        TypeError: The client is that of a Cluster, which this store cannot use yet.
        ValueError: A number is not positive, or the prefix has other characters than ``A-Z a-z 0-9 _ . : / -``.
    """

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "sse_relay",
        retention: float = 10_800,
        deadline: float = 3.0,
        probe: float = 5.0,
    ) -> None:
        for name, value in (("retention", retention), ("deadline", deadline), ("probe", probe)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        self._retention = retention
        self._keys = Keys(prefix)
        connector = Connector(client, deadline)
        self._writes = Link(connector.connect, deadline)
        self._reads = Link(connector.connect, deadline)
        self._followers = Followers(connector.connect, self._keys, probe)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        prefix: str = "sse_relay",
        retention: float = 10_800,
        deadline: float = 3.0,
        probe: float = 5.0,
    ) -> Self:
        """Make one from a URL (``redis://``, ``rediss://``, ``unix://``)."""
        client = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        return cls(client, prefix=prefix, retention=retention, deadline=deadline, probe=probe)

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        run_id = self.new_run_id(opening.key) if opening.run_id is None else opening.run_id
        keys = [self._keys.run(run_id)]
        if opening.key is not None:
            keys.append(self._keys.slot(opening.key))
        if opening.idempotency_key is not None:
            keys.append(self._keys.start(opening.key, opening.idempotency_key))
        args = of_opening(opening, run_id, self._retention, (_new_epoch(), _new_epoch()))
        answer, *told = await self._write(_OPEN, keys, *args)
        if answer == b"reused":
            raise IdempotencyConflictError(opening.idempotency_key or "", text(told[0]))
        if answer == b"busy":
            raise RunConflictError(opening.key or "", text(told[0]))
        if answer == b"taken":
            raise RunConflictError("", run_id)
        if answer == b"joined":
            return Opened(Snapshot(told[0]).info(joined=True), None)
        epoch, run, ended = told
        grant = Grant(run_id, epoch.decode(), 1, opening.lease)
        return Opened(Snapshot(run).info(), grant, None if ended is None else Snapshot(ended).info())

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records, and with a seal close the log and free its key."""
        packed = pack(frames if seal is None else [*frames, seal.frame])
        outcome = b"" if seal is None else plain(outcome_text(seal.outcome))
        args = plain(grant.fence), plain(first_offset), plain(len(frames)), packed, outcome
        return _appended(await self._write(_APPEND, [self._keys.run(grant.run_id)], *args, always=seal is not None))

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew many leases."""
        asked = list(grants)
        parts = [asked[at : at + _RENEWED_AT_ONCE] for at in range(0, len(asked), _RENEWED_AT_ONCE)]
        answers = await asyncio.gather(*[self._renew(part) for part in parts])
        return {run_id: appended for part in answers for run_id, appended in part.items()}

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        return self._found(run_id, await self._write(_CANCEL, [self._keys.run(run_id)], plain(reason), always=True))

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        args = b"1" if lapsed_only else b"", plain(_new_epoch()), *of_seal(seal)
        reply = await self._write(_END, [self._keys.run(run_id)], *args, always=True)
        return Ended(self._found(run_id, reply), sealed=reply[0] == b"sealed")

    async def read(self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500) -> Page:
        """Read the records after a place, and the run's state."""
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        limit = min(limit, _MOST_ENTRIES)
        place = _offset(after)
        args = plain(place), plain(place + limit), plain(limit)
        reply = await self._reads.call(_READ, [self._keys.run(run_id)], *args)
        _check(run_id, reply)
        _, run, whole, cut = reply
        page = Snapshot(run).page(0 if after is None else after, [*whole, *cut], limit)
        self._followers.learn(page.info)
        return page

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        return self._found(run_id, await self._reads.call(_INFO, [self._keys.run(run_id)]))

    async def lookup(self, key: str) -> RunInfo | None:
        """Tell the latest run of a key."""
        answer, *told = await self._reads.call(_LOOKUP, [self._keys.slot(key)])
        return Snapshot(told[0]).info() if answer == b"found" else None

    async def runs(self, status: RunStatus | None = None) -> AsyncIterator[RunInfo]:
        """List runs, newest first."""
        async for info in newest_first(self._list):
            if status is None or info.status == status:
                yield info

    async def lapsed(self, limit: int = 100) -> Sequence[str]:
        """Tell running runs whose lease has passed."""
        sets = [self._keys.leases(partition) for partition in range(PARTITIONS)]
        return [text(run_id) for run_id in await self._writes.call(_LAPSED, sets, plain(limit), always=True)]

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs."""
        return self._followers.join(on_wake)

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id of 128 random bits, in the partition of the key."""
        return self._keys.new_run_id(key)

    async def aclose(self) -> None:
        """Let go of all connections; what is stored stays."""
        await self._followers.aclose()
        await self._reads.aclose()
        await self._writes.aclose()

    async def _write(self, script: Script, keys: Sequence[str], *args: bytes, always: bool = False) -> Any:  # noqa: ANN401 - a script's answer
        return await self._writes.call(script, keys, *args, always=always, settles=True)

    async def _renew(self, grants: Sequence[Grant]) -> Mapping[str, Appended]:
        keys = [self._keys.run(grant.run_id) for grant in grants]
        fences = [plain(grant.fence) for grant in grants]
        replies = await self._writes.call(_RENEW, keys, *fences, always=True)
        return {grant.run_id: _appended(reply) for grant, reply in zip(grants, replies, strict=True)}

    async def _list(self, partition: int, before: bytes) -> list[Any]:
        answer: list[Any] = await self._reads.call(_LIST, [self._keys.index(partition)], before, plain(_LISTED_AT_ONCE))
        return answer

    def _found(self, run_id: str, reply: list[Any]) -> RunInfo:
        _check(run_id, reply)
        info = Snapshot(reply[1]).info()
        self._followers.learn(info)
        return info


def _check(run_id: str, reply: list[Any]) -> None:
    if reply[0] == b"missing":
        raise RunNotFoundError(run_id)
    if reply[0] == b"expired":
        raise RunExpiredError(run_id)


def _appended(reply: list[Any]) -> Appended:
    word, last, cancel = reply
    return Appended(Answer(word.decode()), last, None if cancel is None else text(cancel))


def _offset(after: Cursor | int | None) -> int:
    if isinstance(after, Cursor):
        return after.offset
    try:
        return Cursor("any-epoch", 0 if after is None else after).offset
    except InvalidCursorError:
        raise InvalidCursorError(after) from None


def _new_epoch() -> str:
    return secrets.token_hex(8)
