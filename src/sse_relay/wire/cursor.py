"""Where a reader stands in a log, and how that is written in ``Last-Event-ID``."""

import re
from dataclasses import dataclass
from typing import Self

from sse_relay.exceptions import InvalidCursorError

__all__ = ["Cursor"]

_MAX_LENGTH = 40 + 1 + 18
_EPOCH = re.compile(r"[A-Za-z0-9_.-]{8,40}")
_CURSOR = re.compile(r"([A-Za-z0-9_.-]{8,40}):(0|[1-9][0-9]{0,17})")
_MAX_OFFSET = 10**18 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    The place of the last record *seen*: offset 0 is before the first.

    An offset alone does not say which history it counts in: after a takeover or a failover the same number may
    name other content. The epoch does, so that a reader is never spliced onto a history that it did not read.

    Attributes:
        epoch: The random token of the log and its fence, 8 to 40 of ``A-Z a-z 0-9 _ . -``.
        offset: 0 to 10¹⁸ - 1.

    Raises:
        InvalidCursorError: A field is outside its grammar.

    Example:
        >>> cursor = Cursor.parse("k3Jx9-Qa:17")
        >>> cursor.offset, str(cursor)
        (17, 'k3Jx9-Qa:17')
    """

    epoch: str
    offset: int

    def __post_init__(self) -> None:
        well_formed = (
            isinstance(self.epoch, str)  # pyright: ignore[reportUnnecessaryIsInstance]
            and type(self.offset) is int
            and 0 <= self.offset <= _MAX_OFFSET
            and _EPOCH.fullmatch(self.epoch)
        )
        if not well_formed:
            raise InvalidCursorError((self.epoch, self.offset))

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a cursor from a client, who may send anything.

        Raises:
            InvalidCursorError: The text is not exactly ``<epoch>:<offset>``. The length is checked first, then the
                ASCII grammar, and only then is a number made of it (``int`` alone would take "١٢", "1_0" and " 7 ").
        """
        if not isinstance(text, str) or len(text) > _MAX_LENGTH or (match := _CURSOR.fullmatch(text)) is None:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidCursorError(text)
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"
