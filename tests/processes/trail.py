"""What the events of a run are, and what a viewer has seen of them: enough to tell one wrong byte."""

import hashlib
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from sse_relay import Cursor, ServerSentEvent


def text(run_id: str, number: int) -> str:
    """Tell what the n-th event of a run says: of many lengths, with lines and letters of all kinds."""
    mark = zlib.crc32(f"{run_id} {number}".encode())
    return f"{number} {mark:08x} {'é' * (mark % 5)}{chr(10) * (mark % 11 == 0)}{'x' * (mark % 149)}"


class WrongError(Exception):
    """A viewer has seen what it must not see."""


@dataclass
class Trail:
    """
    What a viewer has seen of a run, in whatever process.

    Attributes:
        run: The run.
        seen: How many records, the seal among them.
        cursor: The last one's.
        digest: A running hash of all cursors and contents.
        outcome: How the run ended.
    """

    run: str
    seen: int = 0
    cursor: str | None = None
    digest: str = ""
    outcome: list[str | None] | None = None

    def saw(self, event: ServerSentEvent) -> None:
        """
        Take the next event.

        Raises:
            WrongError: It is another than the next one.
        """
        number = self.seen + 1
        if self.outcome is not None or event.id is None or Cursor.parse(event.id).offset != number:
            raise WrongError(f"{event.id} {event.event} came after {self.cursor} {self.outcome}")
        if event.outcome is not None and event.event == "end":
            self.outcome = [event.outcome.status, event.outcome.reason]
        elif event.event is not None or event.data != text(self.run, number):
            raise WrongError(f"{event.id} is {event.event} {event.data!r}, not {text(self.run, number)!r}")
        self.seen, self.cursor = number, event.id
        told = f"{self.digest} {event.id} {event.event} {event.data}"
        self.digest = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def told(self) -> dict[str, Any]:
        """Tell it to another process, as the arguments of its own."""
        return asdict(self)
