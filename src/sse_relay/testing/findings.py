"""What is found to be broken, and the order in which things happened."""

from bisect import bisect_left

__all__ = ["Findings", "Floor"]


class Findings:
    """
    What is broken, and the order in which things happened: each question and each answer is one tick.

    Attributes:
        broken: What is broken, in words.
        seals: The frames of all seals that were ever asked for.
        trims: Whether the store may drop the oldest records of a log.
    """

    def __init__(self, *, trims: bool) -> None:
        self.broken: list[str] = []
        self.seals: set[bytes] = set()
        self.trims: bool = trims
        self._now = 0

    def tick(self) -> int:
        """Tell when it is, later than ever before."""
        self._now += 1
        return self._now


class Floor:
    """
    A number that only grows, and what it was at any time.

    Attributes:
        now: What it is.
    """

    def __init__(self) -> None:
        self.now: int = 0
        self._times: list[int] = []
        self._values: list[int] = []

    def rise(self, value: int, time: int) -> None:
        """Grow to a value, unless it is more already."""
        if value > self.now:
            self.now = value
            self._times.append(time)
            self._values.append(value)

    def before(self, time: int) -> int:
        """Tell what it was before a time."""
        index = bisect_left(self._times, time)
        return self._values[index - 1] if index else 0
