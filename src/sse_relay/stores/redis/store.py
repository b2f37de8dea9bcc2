"""
Runs in Redis or Valkey: each operation is one script and one round trip.

Calls that write and calls that read have a connection each, so that a long replay holds up no producer; wake-ups have a
third. That is all that a process needs, however many runs and viewers it has.
"""

import secrets
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, Self, Unpack

from redis.asyncio import Redis, RedisCluster

from sse_relay.stores.paging import PAGE_BYTES, require_page
from sse_relay.stores.protocol import (
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
from sse_relay.stores.redis.arguments import of_bounds, of_opening, of_seal, plain
from sse_relay.stores.redis.call import Written
from sse_relay.stores.redis.checkup import checkup
from sse_relay.stores.redis.codec import outcome_text, pack
from sse_relay.stores.redis.findings import Finding
from sse_relay.stores.redis.follower import Followers
from sse_relay.stores.redis.head import Head
from sse_relay.stores.redis.keys import Keys, hash_slot
from sse_relay.stores.redis.lines import Lines
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.listing import newest_first
from sse_relay.stores.redis.options import Options
from sse_relay.stores.redis.pages import INFO, Heavy, page_of
from sse_relay.stores.redis.replies import appended, opened_as, require_found
from sse_relay.stores.redis.scripts import Script, load
from sse_relay.stores.redis.snapshot import Snapshot
from sse_relay.stores.redis.spread import lapsed, renewed
from sse_relay.wire.cursor import Cursor

__all__ = ["RedisStore"]

_LISTED_AT_ONCE = 20  # runs of a partition
_REMEMBERED = 4096  # runs that are written
_TRIED = 1.0  # seconds for which a run is kept that was only made to try the server

_OPEN, _APPEND, _CANCEL, _END, _LOOKUP, _LIST = map(load, ("open", "append", "cancel", "end", "lookup", "list"))


class RedisStore:
    """
    Keep runs in Redis 6.2 or later, or Valkey, for all processes that use it.

    What is **acknowledged** is on the server, and as durable as the server is: see its persistence and replication.

    Args:
        client: Says where the server is and who we are, or which Sentinel knows; the store has connections of its own,
            and never closes this.
        prefix: What all names in the server begin with.
        retention: How long a run is kept after its last activity, in seconds; its tombstone as long again.
        max_events: The most records of a run; None: no bound.
        max_bytes: The most bytes of a run's log, about, as it is stored; None: no bound.
        on_full: What a full log does: ``fail``, it refuses more, and its producer ends the run with a code; ``trim``,
            its oldest records go, and a reader who needed them is told of a gap. A seal always fits.
        replicas: How many are to have the end of a run before it is acknowledged (``WAIT``), so that a failover keeps
            it; where fewer have it in time, it holds all the same, and that is logged.
        replica_timeout: How long they have, in seconds; half of the deadline at most.
        deadline: How long the server has for an answer, in seconds.
        probe: How long a silent connection for wake-ups is trusted, in seconds.

    Raises:
        TypeError: The client is neither a `Redis` nor a `RedisCluster` of `redis.asyncio`.
        ValueError: A number is not positive, `on_full` is neither, or the prefix has other characters than
            ``A-Z a-z 0-9 _ . : / -``.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        *,
        prefix: str = "sse_relay",
        retention: float = 10_800,
        max_events: int | None = None,
        max_bytes: int | None = None,
        on_full: Literal["fail", "trim"] = "fail",
        replicas: int = 0,
        replica_timeout: float = 1.0,
        deadline: float = 3.0,
        probe: float = 5.0,
    ) -> None:
        times = {"retention": retention, "replica_timeout": replica_timeout, "deadline": deadline, "probe": probe}
        for name, value in times.items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if replicas < 0:
            raise ValueError(f"replicas must be 0 or more, not {replicas}")
        self._retention = retention
        self._bounds = of_bounds(max_events, max_bytes, on_full)
        self._waits = (replicas, round(1000 * min(replica_timeout, deadline / 2)) or 1) if replicas else None
        self._keys = Keys(prefix)
        self._lines = Lines(client, deadline, probe)
        self._writes, self._reads = self._lines.writes, self._lines.reads
        self._seals = self._lines.seals if replicas else self._writes
        self._followers = Followers(self._lines.ear, self._keys)
        self._trial = partial(RedisStore, client, prefix=prefix, retention=_TRIED, deadline=deadline, probe=probe)
        self._deadline = deadline
        self._heavy = Heavy()
        self._straight = self._writes if isinstance(self._writes, Link) else None
        self._head_of = lru_cache(_REMEMBERED)(self._head)

    @classmethod
    def from_url(cls, url: str, *, cluster: bool = False, **options: Unpack[Options]) -> Self:
        """
        Make one from a URL.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            cluster: The URL is that of a Cluster's node.
            options: As for the store itself.
        """
        client = (RedisCluster if cluster else Redis).from_url(url)  # pyright: ignore[reportUnknownMemberType]
        return cls(client, **options)

    async def open(self, opening: Opening) -> Opened:
        """Claim a run."""
        led_by = opening.idempotency_key if opening.key is None else opening.key
        run_id = self.new_run_id(led_by) if opening.run_id is None else opening.run_id
        keys = [self._keys.run(run_id)]
        if opening.key is not None:
            keys.append(self._keys.slot(opening.key))
        if opening.idempotency_key is not None:
            keys.append(self._keys.start(opening.key, opening.idempotency_key))
        if self._lines.topology is not None and len(set(map(hash_slot, keys))) > 1:
            raise ValueError("on a Cluster a run_id must come from store.new_run_id(key), or of the idempotency_key")
        args = of_opening(opening, run_id, self._retention, (_new_epoch(), _new_epoch()))
        opened = opened_as(opening, run_id, await self._write(_OPEN, keys, *args))
        self._followers.learn(opened.info)
        return opened

    async def append(
        self, grant: Grant, first_offset: int, frames: Sequence[bytes], seal: Seal | None = None
    ) -> Appended:
        """Add records, and with a seal close the log and free its key."""
        head = self._head_of(grant.run_id, grant.epoch, grant.fence)
        last = first_offset - 1 + len(frames)
        if seal is None and self._straight is not None:
            call = Written(_APPEND, head.keys, head.words(first_offset, last, pack(frames)), head.count)
            self._straight.ask(call)
            try:
                return appended(await call.future, last)
            except CancelledError:
                await call.left()
                raise
        calls, waits, outcome, packed = self._writes, None, b"", frames
        if seal is not None:
            calls, waits, packed = self._seals, self._waits, [*frames, seal.frame]
            outcome = plain(outcome_text(seal.outcome))
        args = head.args(first_offset, last, pack(packed), outcome)
        return appended(await calls.call(_APPEND, head.keys, *args, settles=True, waits=waits), last)

    async def renew(self, grants: Collection[Grant]) -> Mapping[str, Appended]:
        """Renew many leases."""
        answers = await renewed(self._writes, self._keys, list(grants)) if grants else []
        return {grant.run_id: appended(reply) for grant, reply in answers}

    async def cancel(self, run_id: str, reason: str) -> RunInfo:
        """Ask a run to stop."""
        return self._found(run_id, await self._write(_CANCEL, [self._keys.run(run_id)], plain(reason)))

    async def end(self, run_id: str, seal: Seal, *, lapsed_only: bool = False) -> Ended:
        """Seal a run over its producer's head."""
        args = b"1" if lapsed_only else b"", plain(_new_epoch()), *of_seal(seal)
        reply = await self._write(_END, [self._keys.run(run_id)], *args, seals=True)
        return Ended(self._found(run_id, reply), sealed=reply[0] == b"sealed")

    async def read(
        self, run_id: str, after: Cursor | int | None = None, *, limit: int = 500, max_bytes: int = PAGE_BYTES
    ) -> Page:
        """Read the records after a place, and the run's state."""
        require_page(limit, max_bytes)
        link, bounds = self._reads if isinstance(self._reads, Link) else None, (limit, max_bytes)
        page = await page_of(self._reads, self._keys, run_id, after, bounds, link=link, heavy=self._heavy)
        self._followers.learn(page.info)
        return page

    async def info(self, run_id: str) -> RunInfo:
        """Tell a run's state."""
        return self._found(run_id, await self._reads.call(INFO, [self._keys.run(run_id)]))

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
        return await lapsed(self._writes, self._keys, limit)

    async def follow(self, on_wake: Callable[[Wake], None]) -> Follower:
        """Hear of runs."""
        return self._followers.join(on_wake)

    def new_run_id(self, key: str | None = None) -> str:
        """Make an id of 128 random bits, in the partition of the key."""
        return self._keys.new_run_id(key)

    async def check(self) -> list[Finding]:
        """
        Ask the server how it is set up, and try it with a run that is soon forgotten.

        Returns:
            What was found, and what to do.

        Raises:
            StoreUnavailableError: The server cannot be reached.
        """
        return await checkup(self._lines.connector, self._lines.topology, self._trial(), self._deadline)

    async def aclose(self) -> None:
        """Let go of all connections; what is stored stays."""
        await self._followers.aclose()
        await self._lines.aclose()

    async def _write(self, script: Script, keys: Sequence[str], *args: bytes, seals: bool = False) -> Any:  # noqa: ANN401 - a script's answer
        if seals:
            return await self._seals.call(script, keys, *args, settles=True, waits=self._waits)
        return await self._writes.call(script, keys, *args, settles=True)

    async def _list(self, partition: int, before: bytes) -> list[Any]:
        answer: list[Any] = await self._reads.call(_LIST, [self._keys.index(partition)], before, plain(_LISTED_AT_ONCE))
        return answer

    def _head(self, run_id: str, epoch: str, fence: int) -> Head:
        return Head(self._keys, run_id, epoch, fence, self._bounds)

    def _found(self, run_id: str, reply: list[Any]) -> RunInfo:
        require_found(run_id, reply)
        info = Snapshot(reply[1]).info()
        self._followers.learn(info)
        return info


def _new_epoch() -> str:
    return secrets.token_hex(8)
