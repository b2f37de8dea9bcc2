r"""
Growing JSON arguments → the text of one string in them, as it grows, in linear time.

A model writes the arguments of a tool call as JSON, a few characters at a time. `ArgumentText` follows the grammar
through every fragment and never looks back, so that long arguments cost what their length says::

    >>> text = ArgumentText("message")
    >>> [text.feed(fragment) for fragment in ('{"to": "Ann", "mess', 'age": "Hi', '\\u00', 'e9"}')]
    ['', 'Hi', '', 'é']
"""

import re
from collections.abc import Callable, Sequence
from typing import cast

from sse_relay.dialects.json_place import JsonPlace
from sse_relay.dialects.json_string import SURROGATE, unescaped, unescaped_start
from sse_relay.wire.encoder import to_utf8

__all__ = ["ArgumentText"]

_Span = Callable[[str, int], re.Match[str]]  # what may be empty always matches
_space = cast("_Span", re.compile(r"[ \t\n\r]*+").match)
_word = cast("_Span", re.compile(r"[-+.0-9A-Za-z]*+").match)
_string = cast("_Span", re.compile(r'[^"\\]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\]*+)*+').match)
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?")
_SCALAR = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|Infinity)|NaN|true|false|null"  # as json.loads
)
_MORE_DIGITS = re.compile(r"(?<=[0-9]{2})[0-9]++")
_LONGEST = len("-12.12e+12")
_DEEPEST = 1 << 17

# What may come next, by first characters; "0" stands for a number or a word.
_VALUE = '{["0'
_FIRST_ITEM = _VALUE + "]"
_KEY = '"'
_FIRST_KEY = _KEY + "}"
_IN_OBJECT, _IN_ARRAY = ",}", ",]"

_TOKENS, _A_STRING, _A_SCALAR = range(3)


class ArgumentText:
    r"""
    Follow the arguments of one call, and give out the text of one string in them.

    Only a string *at* the argument's place counts: not a key of that name further in, nor such text inside a string. If
    a key comes twice, the first string under it is given: what was given out cannot be taken back. Half an escape and
    half a surrogate pair wait for the rest; a half that stays alone is U+FFFD. Raw line breaks and other control
    characters are text, for models write them. Whatever the fragments, the text is the same.

    Nothing is raised for what is no JSON: what was given stays, and nothing more comes. Memory is bounded: by the
    nesting, at most 131,072 levels.

    Args:
        argument: The key, or the path to it as keys and indices: ``("request", "messages", 0, "text")``; an empty path
            is the value as a whole.

    Attributes:
        ended: No more text will come: the string is closed, or the JSON complete or broken.
        complete: The JSON is whole, and nothing but space came after it.
        broken: It is no JSON, whatever may come.
    """

    __slots__ = (
        "_expected", "_giving", "_held", "_key", "_new", "_open", "_place", "_plain", "_reading", "_scalar", "_wanted",
        "broken", "complete", "ended",
    )  # fmt: skip

    def __init__(self, argument: str | Sequence[str | int]) -> None:
        self._place = JsonPlace((argument,) if isinstance(argument, str) else argument)
        self._open: list[str] = []  # of each open container: what may follow a value in it
        self._expected = _VALUE
        self._reading = _TOKENS
        self._wanted: str | None = None  # the key to find where one is being read
        self._key = ""  # what was read of it
        self._scalar = ""
        self._held = ""  # the start of what is not whole yet: a few characters
        self._new = ""  # what the fragment at hand adds to the text
        self._giving = self._plain = False
        self.ended: bool = False
        self.complete: bool = False
        self.broken: bool = False

    def feed(self, fragment: str) -> str:
        """Take the next fragment of the JSON, of any length; return the text that it adds, mostly all or nothing."""
        # What nearly all of a text is; what is printable has no half a character.
        if (
            self._plain
            and "\\" not in fragment
            and '"' not in fragment
            and (fragment.isascii() or fragment.isprintable() or SURROGATE.search(fragment) is None)
        ):
            return fragment
        return self._take(self._held + fragment if self._held else fragment)

    def _take(self, fragment: str) -> str:
        # The general way costs twice as much.
        if self._giving and "\\u" not in fragment and (start := unescaped_start(fragment)) is not None:
            text, self._held = start
            self._plain = not self._held
            return text
        if self.broken:
            return ""
        self._held = ""
        at = 0
        while at < len(fragment):
            if self._reading == _A_STRING:
                at = self._string(fragment, at)
            elif self._reading == _A_SCALAR:
                at = self._number_or_word(fragment, at)
            else:
                at = self._token(fragment, at)
        self._plain = self._giving and not self._held
        given, self._new = self._new, ""
        return given

    def _token(self, fragment: str, at: int) -> int:
        at = _space(fragment, at).end()
        if at == len(fragment):
            return at
        char = fragment[at]
        kind = char if char in '{}[]:,"' else "0"
        if kind not in self._expected or (kind in "{[" and len(self._open) == _DEEPEST):
            return self._break(fragment)
        if kind == "0":
            self._reading = _A_SCALAR
            return at
        if kind == '"':
            self._start_string()
        elif kind == ":":
            self._expected = _VALUE
        elif kind == ",":
            self._next()
        elif kind in "}]":
            self._end_container()
        else:
            self._start_container(kind)
        return at + 1

    def _string(self, fragment: str, at: int) -> int:
        end = _string(fragment, at).end()
        closed = fragment[end : end + 1] == '"'
        waits = ""
        if self._giving or self._wanted is not None:
            text = fragment[at:end]
            if "\\" in text:
                text = unescaped(text)
            if not text.isascii():
                if not closed and "\ud800" <= text[-1] <= "\udbff":
                    text, waits = text[:-1], text[-1]
                if SURROGATE.search(text) is not None:
                    text = to_utf8(text).decode()
            if self._giving:
                self._new = text
            else:
                self._read_key(text)
        if closed:
            self._end_string()
            return end + 1
        rest = fragment[end:]
        if rest and rest not in {"\\", "\\u"} and _HALF_ESCAPE.fullmatch(rest) is None:
            return self._break(fragment)
        self._held = waits + rest
        return len(fragment)

    def _number_or_word(self, fragment: str, at: int) -> int:
        end = _word(fragment, at).end()
        # Two digits of a row say whether it is a number as well as thousands.
        self._scalar = _MORE_DIGITS.sub("", self._scalar + fragment[at:end])
        if len(self._scalar) > _LONGEST:
            return self._break(fragment)
        if end < len(fragment):
            if _SCALAR.fullmatch(self._scalar) is None:
                return self._break(fragment)
            self._scalar = ""
            self._reading = _TOKENS
            self._end_value()
        return end

    def _start_string(self) -> None:
        self._reading = _A_STRING
        if self._expected in {_KEY, _FIRST_KEY}:
            self._expected = ":"
            self._wanted, self._key = self._place.wanted_key, ""
        else:
            self._giving = self._place.is_here and not self.ended

    def _read_key(self, text: str) -> None:
        self._key += text
        if self._wanted is not None and not self._wanted.startswith(self._key):
            self._wanted = None  # so that no key takes more memory than the one that is wanted

    def _end_string(self) -> None:
        self._reading = _TOKENS
        if self._expected != ":":
            self.ended = self.ended or self._giving
            self._giving = False
            self._end_value()
        elif self._wanted is not None:
            if self._wanted == self._key:
                self._place.take_key()
            self._wanted = None

    def _start_container(self, kind: str) -> None:
        self._place.enter()
        if kind == "{":
            self._open.append(_IN_OBJECT)
            self._expected = _FIRST_KEY
        else:
            self._open.append(_IN_ARRAY)
            self._expected = _FIRST_ITEM
            self._place.take_item(first=True)

    def _next(self) -> None:
        if self._expected == _IN_OBJECT:
            self._expected = _KEY
        else:
            self._expected = _VALUE
            self._place.take_item()

    def _end_container(self) -> None:
        self._open.pop()
        self._place.leave()
        self._end_value()

    def _end_value(self) -> None:
        self._place.end_value()
        if self._open:
            self._expected = self._open[-1]
        else:
            self._expected = ""
            self.ended = self.complete = True

    def _break(self, fragment: str) -> int:
        self.ended = self.broken = True
        self.complete = self._giving = False
        return len(fragment)
