r"""
Stored frames → the texts in them, many at a time.

Nearly all of a log is text in its canonical frame, as `event_of` writes it::

    event: text
    data: {"text":"Hi\n"}

What is between the quotes is a JSON string to every dialect, and can be copied as it stands. Only what our own encoder
writes is taken: whatever else says a text, with other escapes or more fields, is read as an event.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

__all__ = ["fill", "runs_of_texts", "surround", "texts_of"]

_BEFORE, _BEHIND = b'event: text\ndata: {"text":"', b'"}\n\n'
_BETWEEN = _BEHIND + _BEFORE
_INSIDE = slice(len(_BEFORE), -len(_BEHIND))
_LONGEST = 1 << 16  # bytes: of long texts each is an event, so that a run does not become one huge chunk
_inside = itemgetter(_INSIDE)
_head = itemgetter(slice(len(_BEFORE)))
# As `json` writes it: everything but quotes, backslashes and control characters as it is, each of these in one way.
_JSON = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\\x00-\x1f]*+)*+'
_is_json = re.compile(_JSON).fullmatch
_is_text = re.compile(re.escape(_BEFORE) + b'(?!")' + _JSON + re.escape(_BEHIND)).fullmatch


def texts_of(frames: Sequence[bytes]) -> list[bytes]:
    """
    Tell the texts of frames, one each; none, unless all of them are, and not too long.

    A text is the inside of a JSON string, in UTF-8, and not empty.

    Raises:
        UnicodeDecodeError: A text is no UTF-8.
    """
    if len(frames) == 1:
        joined = frames[0]
        texts = [joined[_INSIDE]] if _is_text(joined) else []
    else:
        joined = b"".join(frames)
        texts = list(map(_inside, frames))
        # The space keeps what one ends with from making an escape of what the next one begins with.
        if (
            len(joined) > _LONGEST
            or joined != _BEFORE + _BETWEEN.join(texts) + _BEHIND
            or not all(texts)
            or _is_json(b" ".join(texts)) is None
        ):
            return []
    if not joined.isascii():
        joined.decode()
    return texts


def runs_of_texts(frames: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], list[bytes]]]:
    """
    Divide frames into runs: those of each, and their texts; no texts, if they are anything else.

    Raises:
        UnicodeDecodeError: A text is no UTF-8.
    """
    if texts := texts_of(frames):
        yield frames, texts
        return
    for head, group in groupby(frames, _head):
        run = list(group)
        yield run, texts_of(run) if head == _BEFORE else []


def fill(template: bytes, texts: Sequence[bytes], first: int) -> bytes:
    """Write each text and its number, from the first one on, into a template that has ``%b`` and ``%d``."""
    count = len(texts)
    values: list[bytes | int] = [first] * (2 * count)
    values[::2] = texts
    values[1::2] = range(first, first + count)
    return template * count % tuple(values)


def surround(before: bytes, texts: Sequence[bytes], behind: bytes) -> bytes:
    """Write each text between the same."""
    return before + (behind + before).join(texts) + behind
