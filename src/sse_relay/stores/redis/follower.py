"""Who watches which run, and what is said of it."""

import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

from sse_relay.stores.protocol import Follower
from sse_relay.stores.redis.codec import outcome_of, unpack
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.terms import Page, RunInfo, Wake

__all__ = ["Followers", "Hearing"]

OnWake = Callable[[Wake], None]
MakeEar = Callable[[Callable[[str, bytes], None], Callable[[str], None]], "Hearing"]

_logger = logging.getLogger("sse_relay")


class Hearing(Protocol):
    """What hears of channels."""

    def listen(self, channel: str) -> None:
        """Hear of a channel."""
        ...

    def ignore(self, channel: str) -> None:
        """Hear of a channel no more."""
        ...

    async def aclose(self) -> None:
        """Hear of nothing."""
        ...


class _Watched:
    """
    One run that is watched.

    Attributes:
        ears: Who watches it.
        info: What was last read of it: the run's unchanging part is in no message.
    """

    __slots__ = ("ears", "info")

    def __init__(self) -> None:
        self.ears: dict[Follower, OnWake] = {}
        self.info: RunInfo | None = None


class Followers:
    """
    All followers of a process, on one connection, or one to each shard.

    Args:
        make: Makes what hears of channels, of what it calls with what it hears, and when it hears.
        keys: The names of channels.
    """

    def __init__(self, make: MakeEar, keys: Keys) -> None:
        self._make = make
        self._keys = keys
        self._runs: dict[str, dict[str, _Watched]] = {}  # by channel, then by run id
        self._ear: Hearing | None = None
        self._members: set[Follower] = set()

    def join(self, on_wake: OnWake) -> Follower:
        """Add a follower."""
        follower = _Follower(self, on_wake)
        self._members.add(follower)
        return follower

    async def leave(self, follower: Follower) -> None:
        """Remove a follower; the last one closes the connection."""
        for runs in list(self._runs.values()):
            for run_id in list(runs):
                self.unwatch(run_id, follower)
        self._members.discard(follower)
        if not self._members:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection, and of all followers."""
        self._members.clear()
        self._runs.clear()
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.aclose()

    def watch(self, run_id: str, follower: Follower, on_wake: OnWake) -> None:
        """Hear of a run."""
        if follower not in self._members:
            return
        channel = self._keys.channel(run_id)
        self._runs.setdefault(channel, {}).setdefault(run_id, _Watched()).ears[follower] = on_wake
        if self._ear is None:
            self._ear = self._make(self._heard, self._confirmed)
        self._ear.listen(channel)

    def unwatch(self, run_id: str, follower: Follower) -> None:
        """Hear no more of a run."""
        channel = self._keys.channel(run_id)
        runs = self._runs.get(channel, {})
        watched = runs.get(run_id)
        if watched is None or watched.ears.pop(follower, None) is None or watched.ears:
            return
        del runs[run_id]
        if not runs:
            del self._runs[channel]
            if self._ear is not None:
                self._ear.ignore(channel)

    def learn(self, info: RunInfo) -> None:
        """Note what was read of a run, should it be watched."""
        if self._runs and (watched := self._watched(info.id)) is not None:
            watched.info = info

    def _watched(self, run_id: str) -> _Watched | None:
        return self._runs.get(self._keys.channel(run_id), {}).get(run_id)

    def _confirmed(self, channel: str) -> None:
        for run_id, watched in list(self._runs.get(channel, {}).items()):
            _tell(watched, Wake(run_id))

    def _heard(self, channel: str, said: bytes) -> None:
        try:
            header, _, payload = said.partition(b"\n")
            kind, run_id, *told = json.loads(header.decode("utf-8", "surrogatepass"))
            if (watched := self._runs.get(channel, {}).get(run_id)) is None:
                return
            wake = Wake(run_id, cancel=told[0]) if kind == "cancel" else _appended(run_id, watched.info, told, payload)
        except Exception:
            _logger.exception("what was said on %s is not understood", channel)
            return
        _tell(watched, wake)


class _Follower:
    __slots__ = ("_followers", "_on_wake")

    def __init__(self, followers: Followers, on_wake: OnWake) -> None:
        self._followers = followers
        self._on_wake = on_wake

    def watch(self, run_id: str) -> None:
        self._followers.watch(run_id, self, self._on_wake)

    def unwatch(self, run_id: str) -> None:
        self._followers.unwatch(run_id, self)

    async def aclose(self) -> None:
        await self._followers.leave(self)


def _appended(run_id: str, known: RunInfo | None, told: list[Any], payload: bytes) -> Wake:
    """Make the page that was appended, as far as it was sent and the rest of the run is known."""
    if known is None or not payload:
        return Wake(run_id)
    epoch, first, count, updated, ended = told
    outcome = outcome_of(ended)
    last = int(first) + int(count) - 1
    info = RunInfo(
        run_id, known.key, "running" if outcome is None else outcome.status, epoch, last, outcome, known.created_at,
        int(updated) / 1e6, known.metadata, known.dialect,
    )  # fmt: skip
    return Wake(run_id, Page(info, epoch, int(first), unpack(payload, int(count)), int(first) - 1))


def _tell(watched: _Watched, wake: Wake) -> None:
    for on_wake in list(watched.ears.values()):
        try:
            on_wake(wake)
        except Exception:
            _logger.exception("a follower of run %s failed", wake.run_id)
