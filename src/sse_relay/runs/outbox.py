"""
What a producer has said: the newest records that are stored, and all that are not stored yet.

A failover may lose the newest records that a store has acknowledged. As long as they are held here, they are sent
again, the same bytes in the same places. What is not stored yet is bounded, too: a store that does not answer must
not let a producer fill its process's memory.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

__all__ = ["Outbox", "Pool"]

_STORED_BYTES = 1 << 18  # that are held in case the store loses them
_MOST_EVENTS = 10_000  # that wait
_MOST_BYTES = 1 << 22
_MOST_OF_ALL = 1 << 28  # bytes that wait of all runs of a process, but for what each may hold at least
_PIECE_EVENTS = 1000  # that are sent at once, of many that wait
_PIECE_BYTES = 1 << 20
_OVERHEAD = 64  # bytes of each frame: its object, and its place among the others


class Pool:
    """
    What waits in all outboxes of a process.

    Attributes:
        waiting: How many bytes that takes.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: int = 0


class Outbox:
    """
    Consecutive frames, each with its place in the log.

    They are held frame by frame, without an object beside each: where there are a thousand runs, the garbage collector
    would look at all of those, and stop the process for long.

    Args:
        pool: What waits here waits in it, too; None: it is the only one.

    Attributes:
        end: The offset of the next frame that will be added.
    """

    __slots__ = ("_pool", "_stored", "_stored_size", "_waiting", "_waiting_size", "end")

    def __init__(self, pool: Pool | None = None) -> None:
        self._pool = Pool() if pool is None else pool
        self.end: int = 1
        self._stored: deque[bytes] = deque()
        self._stored_size = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_size = 0

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._waiting)

    @property
    def last_stored(self) -> int:
        """The offset of the last frame that is stored."""
        return self.end - 1 - len(self._waiting)

    def add(self, frames: Sequence[bytes]) -> None:
        """Hold frames until they are stored."""
        size = _size(frames)
        self._waiting += frames
        self._waiting_size += size
        self._pool.waiting += size
        self.end += len(frames)

    def add_bounded(self, frames: Sequence[bytes]) -> Sequence[bytes]:
        """Hold as many frames as there is room for, the last one perhaps half; tell those that are left."""
        events, size = len(self._waiting), self._waiting_size
        most = min(_MOST_BYTES, max(_MOST_OF_ALL - self._pool.waiting + size, 1))
        for count, each in enumerate(frames):
            if events + count >= _MOST_EVENTS or size >= most:
                self.add(frames[:count])
                return frames[count:]
            size += len(each) + _OVERHEAD
        self.add(frames)
        return ()

    def next(self) -> tuple[int, Sequence[bytes]]:
        """Tell what to send next: all that waits, or of much the first piece, with the first one's offset."""
        waiting = self._waiting
        first = self.end - len(waiting)
        if len(waiting) <= _PIECE_EVENTS and self._waiting_size <= _PIECE_BYTES:
            return first, tuple(waiting)
        piece, size = list[bytes](), 0
        for each in islice(waiting, _PIECE_EVENTS):
            size += len(each) + _OVERHEAD
            if piece and size > _PIECE_BYTES:
                break
            piece.append(each)
        return first, piece

    def settle(self, last: int) -> bool:
        """
        Take word of where the log ends: what is behind waits, or waits again.

        Returns:
            Whether all that waits goes on right there; else something between is held no more.
        """
        stored, waiting = self._stored, self._waiting
        count = last - (self.end - 1 - len(waiting))
        if count >= len(waiting):
            size = self._waiting_size
            stored += waiting
            waiting.clear()
        else:
            size = 0
            for _ in range(count):
                stored.append(each := waiting.popleft())
                size += len(each) + _OVERHEAD
            for _ in range(min(-count, len(stored))):
                waiting.appendleft(each := stored.pop())
                size -= len(each) + _OVERHEAD
        self._waiting_size -= size
        self._pool.waiting -= size
        self._stored_size += size
        while self._stored_size > _STORED_BYTES:
            self._stored_size -= len(stored.popleft()) + _OVERHEAD
        return self.end - 1 - len(waiting) == last

    def drop(self) -> None:
        """Let go of what waits: it will never be stored."""
        self.end = self.last_stored + 1
        self._waiting.clear()
        self._pool.waiting -= self._waiting_size
        self._waiting_size = 0

    def clear(self) -> None:
        """Let go of everything."""
        self.drop()
        self._stored.clear()
        self._stored_size = 0


def _size(frames: Sequence[bytes]) -> int:
    return sum(map(len, frames)) + _OVERHEAD * len(frames)
