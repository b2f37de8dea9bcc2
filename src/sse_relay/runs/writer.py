"""
Bring what a producer says into its log: in order, once, also across an outage of the store.

One append is in flight at a time, and one of unknown fate is sent again unchanged. While the store does not answer, a
task of its own tries again, and the producer reads on: its source notices nothing. What waits is bounded, and so is the
time; past either bound the source is stopped, because it costs money. What was read by then is offered to the store all
the same, until somebody else has ended the run.

A failover may lose the newest records that the store had acknowledged. An append then hears of a gap, or a renewal of
an earlier last record, and what is missing is sent again. A *seal* that was acknowledged and is then lost is not sent
again: its producer is gone. The run is running again in the store, nobody renews its lease, and it is reaped.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.observability.protocol import RunObserver
from sse_relay.outcome import ErrorInfo, Outcome
from sse_relay.runs.deadline import Deadline
from sse_relay.runs.lease import Lease
from sse_relay.runs.outbox import Outbox, Pool
from sse_relay.stores.protocol import Answer, Appended, Seal, StreamStore

__all__ = ["UNAVAILABLE", "Writer"]

_FIRST_PAUSE, _MAX_PAUSE = 0.05, 1.0  # between two tries of an append
_TRIES = 3  # of an append that is not answered, in the time of one lease; a source that has no room waits for one
_PATIENCE = 0.1  # of a lease: for an append that takes longer the producer does not wait
_OFFERED = 60.0  # seconds that appends may fail while the lease can be renewed: the store answers, and has no room
_KEPT = 600.0  # seconds that they may fail when it cannot: its readers have gone, and other runs need the memory

UNAVAILABLE = Outcome(
    "failed", "store_unavailable", ErrorInfo("store_unavailable", "The stream could not be stored.", None, 503)
)
"""How a run ends whose producer was stopped because the store did not answer."""

_FULL = Outcome("failed", "log_full", ErrorInfo("log_full", "The stream is too long to be kept."))
_ROLLED_BACK = Outcome("lost", "rolled_back", ErrorInfo("rolled_back", "Stored events were lost.", None, 500))


class Writer:
    """
    One run's writer.

    Args:
        store: Where the log is.
        lease: The right to write it.
        spawn: Starts a task that somebody waits for.
        stop: Stops the source; the run then ends so.
        observer: Hears of each append.
        pool: What waits to be written, of all runs; None: it is this one only.

    Attributes:
        cut: How the run ends, because the log has no room for all that was said.
        unsealed: How the run ended, if the log itself cannot take it.
    """

    __slots__ = (
        "_deadline", "_lease", "_loop", "_observer", "_outbox", "_patience", "_room", "_seal", "_sealed",
        "_spawn", "_stop", "_store", "_task", "_unsure", "_writing", "cut", "unsealed",
    )  # fmt: skip

    def __init__(
        self,
        store: StreamStore,
        lease: Lease,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        stop: Callable[[Outcome], None],
        *,
        observer: RunObserver | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.cut: Outcome | None = None
        self.unsealed: Outcome | None = None
        self._store = store
        self._lease = lease
        self._spawn = spawn
        self._stop = stop
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(pool)
        self._unsure: tuple[int, Sequence[bytes], Seal | None] | None = None  # an append of unknown fate
        self._seal: Seal | None = None
        self._sealed = False
        self._writing = 0  # how many coroutines see to what waits: an append, and what goes on until nothing does
        self._task: asyncio.Task[None] | None = None  # writes what waits, while the producer reads on
        self._room: asyncio.Future[None] | None = None  # the producer waits for room
        self._patience = Deadline(lease.grant.lease * _PATIENCE)
        self._deadline = Deadline(lease.grant.lease / _TRIES)

    def write(self, frames: Sequence[bytes]) -> Coroutine[Any, Any, object]:
        """Store frames; while the store does not answer, hold them, as far as there is room. To be awaited at once."""
        if self._task is not None or self._is_over or self.cut is not None:
            return self._hold(frames)
        self._outbox.add(frames)
        return self._append(self._patience)

    async def seal(self, frames: Sequence[bytes], seal: Seal) -> bool:
        """Store the last frames, and close the log; tell whether that is done."""
        if self.cut is None:
            self._outbox.add(frames)
        self._seal = seal
        await (self._write_all() if self._task is None else self._task)
        return self._sealed

    def behind(self, last_offset: int) -> None:
        """Hear that the log ends earlier than it did. An append that is under way will hear of it by itself."""
        if self._writing or self._task is not None or self._sealed or last_offset >= self._outbox.last_stored:
            return
        self._settle(last_offset)
        self._go_on()

    def close(self) -> None:
        """Write no more, and hold nothing any more; idempotent."""
        if self._task is not None:
            self._task.cancel()
        self._patience.close()
        self._deadline.close()
        self._sealed = True
        self._outbox.clear()

    @property
    def _is_over(self) -> bool:
        return self._lease.lost or self.unsealed is not None

    @property
    def _waits(self) -> bool:
        return not self._is_over and (self._outbox.waits or self._seal is not None)

    async def _hold(self, frames: Sequence[bytes]) -> None:
        while not self._is_over and self.cut is None:
            frames = self._outbox.add_bounded(frames)
            self._go_on()
            if not frames:
                return
            self._room = self._loop.create_future()
            await self._room

    def _go_on(self) -> None:
        if self._waits and self._task is None:
            self._task = self._spawn(self._write_apart())

    def _has_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _write_apart(self) -> None:
        try:
            await self._write_all()
            self._task = None
        except Exception:
            self._stop(UNAVAILABLE)  # whoever seals hears what it was
            raise
        finally:
            self._has_room()

    async def _write_all(self) -> None:
        """Append until nothing waits, or nothing can be done."""
        self._writing += 1
        try:
            pause, since = _FIRST_PAUSE, self._loop.time()
            while self._waits:
                if await self._append(self._deadline):
                    pause, since = _FIRST_PAUSE, self._loop.time()
                    self._has_room()
                else:
                    self._check_bounds(self._loop.time() - since)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _MAX_PAUSE)
        finally:
            self._writing -= 1

    def _check_bounds(self, failing: float) -> None:
        lease = self._lease
        if failing > (_KEPT if lease.lapsed else max(_OFFERED, lease.grant.lease)):
            self.unsealed = UNAVAILABLE
            self._stop(UNAVAILABLE)
        elif self._room is not None and failing > lease.grant.lease / _TRIES:
            self._stop(UNAVAILABLE)

    async def _append(self, deadline: Deadline) -> bool:
        """Send what is next, once; tell whether the store has answered."""
        if self._unsure is None:
            first, frames = self._outbox.next()
            seal = self._seal if first + len(frames) == self._outbox.end else None
        else:
            first, frames, seal = self._unsure
        observer = self._observer
        began = 0.0 if observer is None else perf_counter()
        self._writing += 1
        sent_at = deadline.begin()
        try:
            answered = await self._store.append(self._lease.grant, first, frames, seal)
            deadline.end()
        except BaseException as error:
            self._unsure = first, frames, seal
            if not (deadline.end(error) or isinstance(error, (StoreUnavailableError, TimeoutError))):
                raise
            answered = None
        finally:
            self._writing -= 1
        if observer is not None:
            _tell(observer, answered, frames, perf_counter() - began)
        if answered is not None:
            self._unsure = None
            self._hear(answered, sent_at, first - 1 + len(frames), seal)
        if self._outbox.waits and not self._writing:
            self._go_on()
        return answered is not None

    def _hear(self, answered: Appended, sent_at: float, last: int, seal: Seal | None) -> None:
        answer = answered.answer
        if answer is Answer.OK or answer is Answer.DUPLICATE:
            self._settle(last)
            if seal is not None:
                self._seal, self._sealed = None, True
                return
        elif answer is Answer.GAP:
            self._settle(answered.last_offset)
        elif answer is Answer.FULL:
            self._outbox.drop()
            self._seal, self.cut = None, _FULL
            self._stop(_FULL)
        self._lease.hear(answered, sent_at)

    def _settle(self, last_offset: int) -> None:
        self._lease.acknowledged = last_offset
        if not self._outbox.settle(last_offset):
            self.unsealed = _ROLLED_BACK
            self._stop(_ROLLED_BACK)


def _tell(observer: RunObserver, answered: Appended | None, frames: Sequence[bytes], seconds: float) -> None:
    if answered is None:
        observer.appended(0, 0, seconds, "unavailable")
    elif answered.answer is Answer.OK or answered.answer is Answer.DUPLICATE:
        observer.appended(len(frames), sum(map(len, frames)), seconds, None)
    else:
        observer.appended(0, 0, seconds, answered.answer.value)
