"""
The inputs of the benchmarks. Each shape says which path through the decoders it takes.

tests/benchmarks/test_fixtures.py proves that every decoder makes the same events of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LINES", "LONG", "SHAPES", "TEXT", "Shape", "chunks", "long_line", "many_lines"]

TEXT = '{"text":"Hello"}'
"""What a model's token looks like once it is data."""

Event = tuple[str, str | None, str | None]
"""What a reader gets: data, name, id."""

LONG = 1_000_000
LINES = 25_000
_SENTENCE = "The quick brown fox jumps over the lazy dog; "
_WIDE = "Zwölf Boxkämpfer jagen Viktor — 敏捷的狐狸 🦊; "


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape of an event, 180 bytes long."""

    name: str
    frame: bytes
    event: Event

    def stream(self, count: int) -> list[bytes]:
        """Return `count` such events, in chunks of 4 KiB."""
        return chunks(self.frame * count)


def chunks(stream: bytes, size: int = 4096) -> list[bytes]:
    """Cut a stream as sockets do."""
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def long_line(length: int) -> bytes:
    """Return one event whose data is one line: each chunk is the middle of a line."""
    return b"data: " + b"x" * length + b"\n\n"


def many_lines(count: int) -> bytes:
    """Return one event of many short lines: as above, with line ends in each chunk."""
    return b"data: one of many lines\n" * count + b"\n"


def _shape(name: str, before: str, after: str, event: tuple[str | None, str | None], text: str = _SENTENCE) -> Shape:
    head, tail = f'{before}{{"text":"', f'"}}{after}\n\n'
    room = 180 - len(head.encode()) - len(tail.encode())
    filler = (text * 8).encode()[:room].decode("utf-8", "ignore")
    filler += "." * (room - len(filler.encode()))
    frame = f"{head}{filler}{tail}"
    data = [line.removeprefix("data: ") for line in frame.split("\n") if line.startswith("data: ")]
    return Shape(name, frame.encode(), ("\n".join(data), *event))


SHAPES: Sequence[Shape] = (
    _shape("data", "data: ", "", (None, None)),  # OpenAI's; one field a block
    _shape("data, not ASCII", "data: ", "", (None, None), _WIDE),  # two or four bytes a character once decoded
    _shape("event, data", "event: text\ndata: ", "", ("text", None)),  # Anthropic's
    _shape("id, event, data", "id: k3Jx9-Qa:1700\nevent: text\ndata: ", "", ("text", "k3Jx9-Qa:1700")),  # our own order
    _shape(
        "event, data, id", "event: text\ndata: ", "\nid: k3Jx9-Qa:1700", ("text", "k3Jx9-Qa:1700")
    ),  # FastAPI's order
    _shape("three data lines", "data: a\ndata: b\ndata: ", "", (None, None)),  # lines have to be joined
)
