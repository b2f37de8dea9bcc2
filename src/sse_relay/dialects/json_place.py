"""Where in a JSON value one is, as seen from the path to one place in it."""

from collections.abc import Sequence

__all__ = ["JsonPlace"]


class JsonPlace:
    """
    Follow the containers of a JSON value, and tell when the value at the path is at hand.

    Args:
        path: Keys and indices; an empty path is the value as a whole.

    Attributes:
        depth: How many containers are open.
    """

    __slots__ = ("_indices", "_path", "_reached", "depth")

    def __init__(self, path: Sequence[str | int]) -> None:
        self._path = tuple(path)
        self._indices = [0] * len(self._path)  # of each open array on the path: the index at hand
        self._reached = 0  # how many steps of the path lead to the value at hand: `depth`, if it is on the path
        self.depth: int = 0

    @property
    def is_here(self) -> bool:
        """Whether the value at hand is the one at the path."""
        return self._reached == self.depth == len(self._path)

    @property
    def wanted_key(self) -> str | None:
        """The key that leads on, in the innermost container; None: there is none."""
        step = self._path[self._reached] if self._leads_on() else None
        return step if isinstance(step, str) else None

    def take_key(self) -> None:
        """Go on to the value of the wanted key."""
        self._reached += 1

    def take_item(self, *, first: bool = False) -> None:
        """Go on to the next item of the innermost container, which is an array."""
        if self._leads_on():
            step = self._reached
            self._indices[step] = 0 if first else self._indices[step] + 1
            self._reached += self._indices[step] == self._path[step]

    def enter(self) -> None:
        """Go into the value at hand, a container."""
        self.depth += 1

    def leave(self) -> None:
        """Go out of the innermost container, which is the value at hand again."""
        self.depth -= 1

    def end_value(self) -> None:
        """Be done with the value at hand; there is none until the next key or item."""
        if self._reached == self.depth > 0:
            self._reached -= 1

    def _leads_on(self) -> bool:
        return self._reached == self.depth - 1 and self._reached < len(self._path)
