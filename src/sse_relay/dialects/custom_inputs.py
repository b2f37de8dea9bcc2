"""
Free-form inputs of custom tools → arguments that are JSON, as those of every other tool.

An input of OpenAI's custom tools is text of any kind. Whoever reads a call parses its arguments; so an input is told as
``{"input": "…"}``, as it grows.
"""

from json.encoder import encode_basestring_ascii

__all__ = ["INPUT", "CustomInputs"]

_Place = tuple[int, int | None]

INPUT = "input"
"""The key of the input in a call's arguments."""


class CustomInputs:
    """The inputs of one stream, each at its place: its choice, and its index there."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[_Place, bool] = {}  # of each that has begun: whether it is whole

    def more(self, place: _Place, text: str) -> str:
        """Take more of an input; return what that adds to the arguments."""
        if self._told.get(place):
            return ""
        opening = "" if place in self._told else f'{{"{INPUT}":"'
        self._told[place] = False
        # ASCII: half a character in an escape is joined to the half in the next one.
        return opening + encode_basestring_ascii(text)[1:-1]

    def end(self, place: _Place, whole: str = "") -> str:
        """End an input, which is this if nothing came of it; return what that adds to the arguments."""
        if self._told.get(place):
            return ""
        more = "" if place in self._told else self.more(place, whole)
        self._told[place] = True
        return more + '"}'

    def open(self) -> list[_Place]:
        """Tell the places of those that have begun and not ended, in order."""
        return [key for key, is_whole in self._told.items() if not is_whole]
