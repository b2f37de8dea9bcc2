"""The text that is streamed when no model is attached, cut into tokens and sent at a model's pace."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from importlib.resources import files

from sse_relay.dialects import TextDelta

__all__ = ["load_text", "paced", "pauses", "tokens_of"]

_PIECES = re.compile(r"\s*\w+(?:['\u2019]\w+)?|\s*[^\w\s]|\s+")
_LONG = 8
_GOLDEN = 0.6180339887498949


def load_text() -> str:
    """Read the essay that comes with the demo."""
    return files("sse_relay.demo").joinpath("text.txt").read_text("utf-8").strip()


def tokens_of(text: str) -> Iterator[str]:
    """
    Cut text as a tokenizer does: the space belongs to the word after it, and long words come in two.

    The tokens joined are the text.
    """
    for piece in _PIECES.findall(text):
        if len(piece.lstrip()) > _LONG:
            middle = len(piece) // 2
            yield piece[:middle]
            yield piece[middle:]
        else:
            yield piece


def pauses(count: int, *, tokens_per_second: float) -> Iterator[float]:
    """
    Say how long to wait ahead of each token: uneven, as a model is, and the same every time.

    The multiples of the golden ratio spread evenly without any visible rhythm, so that the mean is kept also over a
    short text.
    """
    mean = 1 / tokens_per_second
    for number in range(count):
        yield mean * (0.4 + 1.2 * (number * _GOLDEN % 1))


async def paced(
    tokens: Iterable[str], *, tokens_per_second: float, first_token: float
) -> AsyncGenerator[TextDelta, None]:
    """
    Send tokens at a model's pace.

    Args:
        tokens: What to send.
        tokens_per_second: How many, on average.
        first_token: How long the model thinks before the first one, in seconds.
    """
    listed = list(tokens)
    await asyncio.sleep(first_token)
    for token, pause in zip(listed, pauses(len(listed), tokens_per_second=tokens_per_second), strict=True):
        await asyncio.sleep(pause)
        yield TextDelta(token)
