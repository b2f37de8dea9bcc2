"""Who watches which run, and what is said of it."""

import logging
from collections.abc import Callable
from typing import Protocol
from urllib.parse import unquote_to_bytes

from sse_relay.stores.protocol import Follower
from sse_relay.stores.readings import Page, RunInfo, Wake
from sse_relay.stores.redis.codec import outcome_of, unpack
from sse_relay.stores.redis.keys import Keys

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
        self._channels: dict[str, dict[str, _Watched]] = {}  # then by run id
        self._appends: dict[str, _Watched] = {}  # whose appends are heard
        self._ear: Hearing | None = None
        self._members: set[Follower] = set()

    def join(self, on_wake: OnWake) -> Follower:
        """Add a follower."""
        follower = _Follower(self, on_wake)
        self._members.add(follower)
        return follower

    async def leave(self, follower: Follower) -> None:
        """Remove a follower; the last one closes the connection."""
        for channel, runs in list(self._channels.items()):
            for run_id in list(runs):
                self._forget(channel, run_id, follower)
        self._members.discard(follower)
        if not self._members:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection, and of all followers."""
        self._members.clear()
        self._channels.clear()
        self._appends.clear()
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
            watched = self._channels.setdefault(channel, {}).setdefault(run_id, _Watched())
            watched.add(follower, on_wake)
            if channel == wakes:
                self._appends[run_id] = watched
            self._ear.listen(channel)
        if not appends:
            self._forget(wakes, run_id, follower)

    def unwatch(self, run_id: str, follower: Follower) -> None:
        """Hear no more of a run."""
        for channel in (self._keys.stops(run_id), self._keys.wakes(run_id)):
            self._forget(channel, run_id, follower)

    def learn(self, info: RunInfo) -> None:
        """Note what was read of a run, should it be watched: what never changes of it is in no message."""
        if (watched := self._appends.get(info.id)) is not None:
            watched.known = info

    def _forget(self, channel: str, run_id: str, follower: Follower) -> None:
        runs = self._channels.get(channel, {})
        watched = runs.get(run_id)
        if watched is None or watched.remove(follower):
            return
        del runs[run_id]
        if self._appends.get(run_id) is watched:
            del self._appends[run_id]
        if not runs:
            del self._channels[channel]
            if self._ear is not None:
                self._ear.ignore(channel)

    def _confirmed(self, channel: str) -> None:
        for run_id, watched in list(self._channels.get(channel, {}).items()):
            if channel == self._keys.wakes(run_id):  # what others did to a run its producer hears from each append, too
                for on_wake in watched.listening:
                    _tell(on_wake, Wake(run_id))

    def _heard(self, channel: str, said: bytes) -> None:
        try:
            header, _, payload = said.partition(b"\n")
            words = header.decode().split(" ", 6)
            run_id = words[1] if "%" not in words[1] else _unquoted(words[1])
            if words[0] == "log":
                if (watched := self._appends.get(run_id)) is None:
                    return
                wake = _appended(run_id, watched.known, words, payload)
            elif (watched := self._channels.get(channel, {}).get(run_id)) is None:
                return
            elif words[0] == "cancel":
                wake = Wake(run_id, cancel=_unquoted(words[2]))
            else:
                wake = Wake(run_id, taken=words[2])
        except Exception:
            _logger.exception("what was said on %s is not understood", channel)
            return
        for on_wake in watched.listening:
            _tell(on_wake, wake)


class _Watched:
    """
    One run, on one channel.

    Attributes:
        known: What was last read of it.
        listening: Whom to tell.
    """

    __slots__ = ("_ears", "known", "listening")

    def __init__(self) -> None:
        self.known: RunInfo | None = None
        self.listening: tuple[OnWake, ...] = ()
        self._ears: dict[Follower, OnWake] = {}

    def add(self, follower: Follower, on_wake: OnWake) -> None:
        """Tell a follower, too."""
        self._ears[follower] = on_wake
        self.listening = tuple(self._ears.values())

    def remove(self, follower: Follower) -> bool:
        """Tell a follower no more; whether there are any left, or it was none of them."""
        if self._ears.pop(follower, None) is None:
            return True
        self.listening = tuple(self._ears.values())
        return bool(self._ears)


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


def _appended(run_id: str, known: RunInfo | None, words: list[str], payload: bytes) -> Wake:
    """Make the page that was appended, as far as it was sent and the rest of the run is known."""
    _, _, epoch, begin, count, updated, ended = words
    if known is None or not payload:
        return Wake(run_id)
    first, number = int(begin), 1 if count == "1" else int(count)
    outcome = outcome_of(ended) if ended else None
    info = known.moved(epoch, first + number - 1, outcome, float(updated) / 1e6)
    return Wake.appended(run_id, Page.appended(info, first, unpack(payload, number)))


def _unquoted(word: str) -> str:
    return unquote_to_bytes(word).decode("utf-8", "surrogatepass")


def _tell(on_wake: OnWake, wake: Wake) -> None:
    try:
        on_wake(wake)
    except Exception:
        _logger.exception("a follower of run %s failed", wake.run_id, extra={"run_id": wake.run_id})
