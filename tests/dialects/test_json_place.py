"""One knows where one is, through any containers."""

import pytest

from sse_relay.dialects.json_place import JsonPlace


def walk(place: JsonPlace, value: object) -> list[object]:
    """Go through a value, and return what was at the place."""
    found = [value] if place.is_here else []
    if isinstance(value, (dict, list)):
        place.enter()
        for number, child in enumerate(value):
            if isinstance(value, list):
                place.take_item(first=number == 0)
                found += walk(place, child)
            else:
                if child == place.wanted_key:
                    place.take_key()
                found += walk(place, value[child])
        place.leave()
    place.end_value()
    return found


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": 1, "b": {"a": 2}}, ("a",), [1]),
        ({"a": 1, "b": {"a": 2}}, ("b", "a"), [2]),
        ({"a": {"a": {"a": 3}}}, ("a", "a"), [{"a": 3}]),
        ([[1, 2], [3, 4], [5, 6]], (1, 1), [4]),
        ([[[], []], 1, [1]], (1,), [1]),
        ([{"a": [0, 1]}, {"a": [2, 3]}], (1, "a", 0), [2]),
        ({"a": [{"b": 1}, {"b": 2}], "b": 3}, ("a", 0, "b"), [1]),
        ([], (0,), []),
        ({"0": 1}, (0,), []),
        ([1], ("0",), []),
        ([1], (), [[1]]),
        (5, (), [5]),
        (5, ("a",), []),
        ({"a": 5}, ("a", "b"), []),
    ],
)
def test_value_at_the_path_is_found(value: object, path: tuple[str | int, ...], found: list[object]) -> None:
    """H6: exactly the value at the path is at hand there, whatever stands beside it and within."""
    place = JsonPlace(path)
    assert walk(place, value) == found
    assert place.depth == 0


def test_key_is_wanted_on_the_path_only() -> None:
    """H6: a key is looked for in the containers on the path, and in no other."""
    place = JsonPlace(("a", 0, "b"))
    assert [place.wanted_key, place.is_here] == [None, False]
    place.enter()
    assert [place.wanted_key, place.is_here] == ["a", False]
    place.take_key()
    place.enter()
    assert place.wanted_key is None
    place.take_item(first=True)
    place.enter()
    assert [place.wanted_key, place.is_here] == ["b", False]
    place.take_key()
    assert place.is_here
    place.enter()
    assert place.wanted_key is None
    assert not place.is_here
