"""What is between the quotes of a JSON string, as far as it has come."""

import re
from collections.abc import Callable
from json import decoder
from typing import Any, cast

__all__ = ["SURROGATE", "unescaped", "unescaped_start"]

SURROGATE: re.Pattern[str] = re.compile("[\ud800-\udfff]")
"""Half a character."""

# By itself, because the rest of a decoder costs more than all of this.
_read: Callable[[str, int, bool], tuple[str, int]] = cast("Any", decoder).scanstring


def unescaped(inside: str) -> str:
    """
    Decode the whole inside of a string; control characters are text.

    Raises:
        ValueError: One of its escapes is none.
    """
    return _read(inside + '"', 0, False)[0]  # noqa: FBT003 - it is taken by place only


def unescaped_start(inside: str) -> tuple[str, str] | None:
    r"""
    Decode what a string's inside begins with; tell it, and the ``\`` that it ends with, if that begins an escape.

    None: the string ends in there, one of its escapes is none or longer, or there is half a character.
    """
    whole, half = inside, ""
    if inside.endswith("\\") and (len(inside) - len(inside.rstrip("\\"))) % 2:
        whole, half = inside[:-1], "\\"
    try:
        text, end = _read(whole + '"', 0, False)  # noqa: FBT003
    except ValueError:
        return None
    if end <= len(whole) or not (text.isascii() or SURROGATE.search(text) is None):
        return None
    return text, half
