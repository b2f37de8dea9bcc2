"""
What a producer has said: the newest records that are stored, and all that are not stored yet.

A failover may lose the newest records that a store has acknowledged. As long as they are held here, they are sent
again, the same bytes in the same places. What is not stored yet is bounded, too: a store that does not answer must
not let a producer fill its process's memory.
"""

from collections import deque
from collections.abc import Sequence

__all__ = ["Outbox", "Pool"]

_STORED_BYTES = 1 << 18  # that are held in case the store loses them
_MOST_EVENTS = 10_000  # that wait
_MOST_BYTES = 1 << 22
_MOST_OF_ALL = 1 << 28  # bytes that wait of all runs of a process, but for what each may hold at least
_PIECE_EVENTS = 1000  # that are sent at once, of many that wait
_PIECE_BYTES = 1 << 20
_OVERHEAD = 64  # bytes of each object that holds the others

_Part = tuple[int, tuple[bytes, ...], int]  # the first one's offset, consecutive frames, what they take


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

    Args:
        pool: What waits here waits in it, too; None: it is the only one.

    What waits is held in the parts that it came in, what is stored frame by frame, without an object beside it: where
    there are a thousand runs, the garbage collector would look at all of those, and stop the process for long.

    Args:
        pool: What waits here waits in it, too; None: it is the only one.

    Frames are held in parts, of which nothing is ever written anew. A part is tuples all through: those the garbage
    collector soon lets out of sight, where a list for each event would make it stop a process of many runs for long.

    Attributes:
        end: The offset of the next frame that will be added.
    """

    __slots__ = ("_pool", "_stored", "_stored_size", "_waiting", "_waiting_size", "end")

    def __init__(self, pool: Pool | None = None) -> None:
        self._pool = Pool() if pool is None else pool
        self.end: int = 1
        self._stored: deque[bytes] = deque()
        self._stored_size = 0
        self._waiting: deque[_Part] = deque()
        self._waiting_size = 0

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._waiting)

    @property
    def last_stored(self) -> int:
        """The offset of the last frame that is stored."""
        return (self._waiting[0][0] if self._waiting else self.end) - 1

    def add(self, frames: Sequence[bytes]) -> None:
        """Hold frames until they are stored."""
        if frames:
            size = _size(frames)
            self._waiting.append((self.end, tuple(frames), size))
            self._wait(size)
            self.end += len(frames)

    def add_bounded(self, frames: Sequence[bytes]) -> Sequence[bytes]:
        """Hold as many frames as there is room for, the last one perhaps half; tell those that are left."""
        events, size = self.end - 1 - self.last_stored, self._waiting_size
        most = min(_MOST_BYTES, max(_MOST_OF_ALL - self._pool.waiting + size, 1))
        for count, each in enumerate(frames):
            if events + count >= _MOST_EVENTS or size >= most:
                self.add(frames[:count])
                return frames[count:]
            size += len(each) + _OVERHEAD
        self.add(frames)
        return ()

    def next(self) -> tuple[int, Sequence[bytes]]:
        """Tell what to send next: the first part that waits, and those behind it that fit, with the first's offset."""
        waiting = self._waiting
        if not waiting:
            return self.end, ()
        first, frames, size = waiting[0]
        if len(waiting) == 1:
            return first, frames
        piece = list(frames)
        for index in range(1, len(waiting)):
            _, frames, more = waiting[index]
            size += more
            if len(piece) + len(frames) > _PIECE_EVENTS or size > _PIECE_BYTES:
                break
            piece += frames
        return first, piece

    def settle(self, last: int) -> bool:
        """
        Take word of where the log ends: what is behind waits, or waits again.

        Returns:
            Whether all that waits goes on right there; else something between is held no more.
        """
        stored, waiting = self._stored, self._waiting
        if (lost := min(self.last_stored - last, len(stored))) > 0:
            first = self.last_stored + 1 - lost
            again = tuple(reversed([stored.pop() for _ in range(lost)]))
            self._stored_size -= _weight(again)
            self._wait(size := _size(again))
            waiting.appendleft((first, again, size))
        while waiting and waiting[0][0] <= last:
            part = waiting.popleft()
            self._wait(-part[2])
            if _last(part) > last:
                part, left = _divided(part, last)
                self._wait(left[2])
                waiting.appendleft(left)
            self._stored_size += _weight(part[1])
            stored += part[1]
        while self._stored_size > _STORED_BYTES:
            self._stored_size -= len(stored.popleft()) + _OVERHEAD
        return self.last_stored == last

    def drop(self) -> None:
        """Let go of what waits: it will never be stored."""
        self.end = self.last_stored + 1
        self._waiting.clear()
        self._wait(-self._waiting_size)

    def clear(self) -> None:
        """Let go of everything."""
        self.drop()
        self._stored.clear()
        self._stored_size = 0

    def _wait(self, size: int) -> None:
        self._waiting_size += size
        self._pool.waiting += size


def _last(part: _Part) -> int:
    return part[0] + len(part[1]) - 1


def _weight(frames: Sequence[bytes]) -> int:
    return sum(map(len, frames)) + _OVERHEAD * len(frames)


def _size(frames: Sequence[bytes]) -> int:
    return _weight(frames) + 2 * _OVERHEAD


def _divided(part: _Part, last: int) -> tuple[_Part, _Part]:
    first, frames, _ = part
    count = last + 1 - first
    stored, left = frames[:count], frames[count:]
    return (first, stored, _size(stored)), (last + 1, left, _size(left))
