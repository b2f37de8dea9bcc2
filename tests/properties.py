"""How tests of properties run: the same examples each time, and without a deadline, because machines pause."""

import re

from hypothesis import settings
from hypothesis import strategies as st

LONE_SURROGATE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")

_TROUBLE = [
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\0",
    "\ud83d",
    "\ude00",
    "\ud83d\ude00",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x1f",
    "\x7f",
]
_TROUBLE += ["😀", "…", " ", ":", "data: x", "id: 1", '"', "\\", "\\ud83d", "{", "null", "end", "[DONE]"]


def examples(count: int) -> settings:
    """Run a property on so many examples."""
    return settings(max_examples=count, deadline=None, derandomize=True)


def hostile_text(max_size: int = 12) -> st.SearchStrategy[str]:
    """Draw text that may break a format made of lines, of JSON or of UTF-8."""
    return st.lists(st.sampled_from(_TROUBLE) | st.characters(), max_size=max_size).map("".join)


def received(text: str) -> str:
    """Say what arrives of a text: of half a character U+FFFD, of one in two halves the character."""
    return LONE_SURROGATE.sub("\ufffd", text).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
