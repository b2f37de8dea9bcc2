"""JSON as models write it, and the ways in which it may arrive."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.properties import hostile_text, received

Path = tuple[str | int, ...]

_SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
KEYS = ["a", "b", "message", "messages", "mes", "", "é", "😀", '"', "\n", "0"]


class Pairs(list[tuple[str, Any]]):
    """An object with its keys in order, also those that come twice."""


def write(value: Any, how: Random, *, strict: bool = False) -> str:
    """
    Write a value, each character and each space in one of the ways that there are.

    Args:
        value: Scalars, lists and `Pairs`.
        how: Chooses.
        strict: Whether to write control characters as escapes only.
    """

    def space() -> str:
        return how.choice(["", "", "", " ", "\n", "\r\n\t"])

    if isinstance(value, str):
        return f'"{"".join([_written(char, how, strict=strict) for char in value])}"'
    if isinstance(value, Pairs):
        items = [
            f"{space()}{write(key, how, strict=strict)}{space()}:{space()}{write(child, how, strict=strict)}{space()}"
            for key, child in value
        ]
        return f"{{{','.join(items) or space()}}}"
    if isinstance(value, list):
        items = [f"{space()}{write(child, how, strict=strict)}{space()}" for child in value]
        return f"[{','.join(items) or space()}]"
    return json.dumps(value)


def _written(char: str, how: Random, *, strict: bool) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    ways = ["".join([f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)])]
    if char in _SHORT:
        ways.append(_SHORT[char])
    if char not in {'"', "\\"} and not (strict and char < " "):
        ways += [char] * 3
    return how.choice(ways)


def read(text: str) -> Any:
    """Read as the standard library does, but keep each key; raises ValueError for what is no JSON."""
    return json.loads(text, object_pairs_hook=Pairs, strict=False)


def first_text(value: Any, path: Path) -> str | None:
    """Return the first string at a path, in the order of the text."""
    if not path:
        return received(value) if isinstance(value, str) else None
    children: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, Pairs):
        children = [(received(key), child) for key, child in value]
    elif isinstance(value, list):
        children = list(enumerate(value))
    for step, child in children:
        if step == path[0] and (found := first_text(child, path[1:])) is not None:
            return found
    return None


def paths(value: Any) -> Iterator[Path]:
    """Yield the path of each value in a value."""
    yield ()
    children: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, Pairs):
        children = [(received(key), child) for key, child in value]
    elif isinstance(value, list):
        children = list(enumerate(value))
    for step, child in children:
        for path in paths(child):
            yield (step, *path)


def values(texts: st.SearchStrategy[str] | None = None, *, unique: bool = False) -> st.SearchStrategy[Any]:
    """Draw objects and arrays that hold anything; `unique`: no key comes twice in one object."""
    texts = hostile_text() if texts is None else texts
    keys = st.sampled_from(KEYS) | texts
    scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | texts | texts

    def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        pairs = st.lists(
            st.tuples(keys, children), max_size=4, unique_by=(lambda pair: received(pair[0])) if unique else None
        )
        return pairs.map(Pairs) | st.lists(children, max_size=3)

    return containers(st.recursive(scalars, containers, max_leaves=8))


def in_every_way(text: str) -> Iterator[list[str]]:
    """Cut a text in each of the 2ⁿ⁻¹ ways there are; for texts of a dozen characters."""
    places = range(1, len(text))
    for count in range(len(text)):
        for cuts in combinations(places, count):
            yield [text[start:end] for start, end in pairwise((0, *cuts, len(text)))]


@st.composite
def any_fragments(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into single characters, or at drawn places; a place that is drawn twice is an empty fragment."""
    if draw(st.booleans()):
        return list(text)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=12))
    return [text[start:end] for start, end in pairwise((0, *sorted(cuts), len(text)))]
