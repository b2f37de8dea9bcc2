"""A last look at the arguments of a call that is over: they may have been cut off, or be no JSON at all."""

import re
from typing import Any, NamedTuple

from sse_relay.wire.encoder import to_utf8

__all__ = ["ParsedArguments", "parse_arguments"]

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)
_UNTIDY = re.compile(
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}      # a character in two halves
    | (?P<half> \\u[dD][c-fC-F][0-9a-fA-F]{2}
      | \\u[dD][89abAB][0-9a-fA-F]{2} (?!(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z) # the other half may have been cut off
      )
    | \\.
    | (?P<control> [\x00-\x1f])""",
    re.DOTALL | re.VERBOSE,
)


class ParsedArguments(NamedTuple):
    """
    What arguments say.

    Attributes:
        value: The value, as far as it can be told; None if nothing can.
        whole: Whether the value is all of them.
    """

    value: Any
    whole: bool


def parse_arguments(text: str) -> ParsedArguments:
    """
    Parse the arguments of a call leniently; whatever the text is, nothing is raised.

    - They are JSON: their value, `whole`. Control characters in strings are accepted; half a character is U+FFFD.
    - They were cut off: what there is, an open string and a number as far as they go. The half of a key, an escape or a
      word is left out, and so is its item.
    - Something follows the value: the value without it, not `whole`.
    - They are no JSON, or nested more than 200 levels deep: None, not `whole`.

    Of a key that comes twice, the last value counts.
    """
    from pydantic_core import from_json  # noqa: PLC0415 - for a rare last look

    data = to_utf8(_STRING.sub(_tidy, text))
    for whole in (True, False):
        try:
            return ParsedArguments(from_json(data, allow_partial="off" if whole else "trailing-strings"), whole)
        except ValueError:
            continue
    return ParsedArguments(None, whole=False)


def _tidy(string: re.Match[str]) -> str:
    return _UNTIDY.sub(_as_json, string[0])


def _as_json(found: re.Match[str]) -> str:
    if found["half"]:
        return "\\ufffd"
    return f"\\u{ord(found[0]):04x}" if found["control"] else found[0]
