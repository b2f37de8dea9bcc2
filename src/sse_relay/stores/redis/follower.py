"""Who watches which run, and what is said of it."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sse_relay.stores.protocol import Follower
from sse_relay.stores.redis.codec import outcome_of, unpack
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.terms import Page, RunInfo, Wake

__all__ = ["Followers", "Hearing"]

OnWake = Callable[[Wake], None]
MakeEar = Callable[[Callable[[str, bytes], None], Callable[[str], None]], "Hearing"]

_logger = logging.getLogger("sse_relay")
_read: Callable[[str], tuple[list[Any], int]] = json.JSONDecoder().raw_decode


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
        self._runs: dict[str, dict[str, dict[Follower, OnWake]]] = {}  # by channel, then by run id
        self._known: dict[str, RunInfo] = {}  # what was last read of runs: what never changes of them is in no message
        self._ear: Hearing | None = None
        self._members: set[Follower] = set()

    def join(self, on_wake: OnWake) -> Follower:
        """Add a follower."""
        follower = _Follower(self, on_wake)
        self._members.add(follower)
        return follower

    async def leave(self, follower: Follower) -> None:
        """Remove a follower; the last one closes the connection."""
        for channel, runs in list(self._runs.items()):
            for run_id in list(runs):
                self._forget(channel, run_id, follower)
        self._members.discard(follower)
        if not self._members:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection, and of all followers."""
        self._members.clear()
        self._runs.clear()
        self._known.clear()
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.aclose()

    def watch(self, run_id: str, follower: Follower, on_wake: OnWake, *, appends: bool) -> None:
        """Hear of a run."""
        if follower not in self._members:
            return
        if self._ear is None:
            self._ear = self._make(self._heard, self._confirmed)
        wakes = self._keys.wakes(run_id)
        for channel in (self._keys.stops(run_id), wakes) if appends else (self._keys.stops(run_id),):
            self._runs.setdefault(channel, {}).setdefault(run_id, {})[follower] = on_wake
            self._ear.listen(channel)
        if not appends:
            self._forget(wakes, run_id, follower)

    def unwatch(self, run_id: str, follower: Follower) -> None:
        """Hear no more of a run."""
        for channel in (self._keys.stops(run_id), self._keys.wakes(run_id)):
            self._forget(channel, run_id, follower)

    def learn(self, info: RunInfo) -> None:
        """Note what was read of a run, should it be watched."""
        if self._runs and info.id in self._runs.get(self._keys.wakes(info.id), {}):
            self._known[info.id] = info

    def _forget(self, channel: str, run_id: str, follower: Follower) -> None:
        runs = self._runs.get(channel, {})
        ears = runs.get(run_id, {})
        if ears.pop(follower, None) is None or ears:
            return
        del runs[run_id]
        if channel == self._keys.wakes(run_id):
            self._known.pop(run_id, None)
        if not runs:
            del self._runs[channel]
            if self._ear is not None:
                self._ear.ignore(channel)

    def _confirmed(self, channel: str) -> None:
        for run_id, ears in list(self._runs.get(channel, {}).items()):
            if channel == self._keys.wakes(run_id):  # what others did to a run its producer hears from each append, too
                _tell(ears, Wake(run_id))

    def _heard(self, channel: str, said: bytes) -> None:
        try:
            header, _, payload = said.partition(b"\n")
            (kind, run_id, *told), _ = _read(header.decode("utf-8", "surrogatepass"))
            if (ears := self._runs.get(channel, {}).get(run_id)) is None:
                return
            wake = (
                _appended(run_id, self._known.get(run_id), told, payload)
                if kind == "log"
                else Wake(run_id, cancel=told[0])
                if kind == "cancel"
                else Wake(run_id, taken=told[0])
            )
        except Exception:
            _logger.exception("what was said on %s is not understood", channel)
            return
        _tell(ears, wake)


class _Follower:
    __slots__ = ("_followers", "_on_wake")

    def __init__(self, followers: Followers, on_wake: OnWake) -> None:
        self._followers = followers
        self._on_wake = on_wake

    def watch(self, run_id: str, *, appends: bool = True) -> None:
        self._followers.watch(run_id, self, self._on_wake, appends=appends)

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
        int(updated) / 1e6, known.metadata, known.dialect, trace=known.trace,
    )  # fmt: skip
    return Wake(run_id, Page(info, epoch, int(first), unpack(payload, int(count)), int(first) - 1))


def _tell(ears: Mapping[Follower, OnWake], wake: Wake) -> None:
    for on_wake in list(ears.values()):
        try:
            on_wake(wake)
        except Exception:
            _logger.exception("a follower of run %s failed", wake.run_id, extra={"run_id": wake.run_id})
