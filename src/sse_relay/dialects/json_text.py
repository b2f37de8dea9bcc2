"""
JSON of whoever wrote it: what is read here can be written again, and is JSON to every reader.

Python's own takes numbers that are none (NaN, infinities), and writes them; and it takes a nesting that it cannot write
once something is around it.
"""

from collections.abc import Callable
from json.decoder import JSONDecoder
from json.encoder import JSONEncoder
from math import isfinite
from typing import Any, cast

__all__ = ["read_json", "read_object", "write_json"]

_MAX_DEPTH = 200


def read_json(text: str) -> Any:  # noqa: ANN401 - whatever it says
    """
    Read a value.

    Raises:
        ValueError: It is no JSON, is nested more than 200 levels deep, or has a number that is none or is too long.
    """
    try:
        value: Any = _decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        _require_depth(value)
    return value


def read_object(text: str) -> dict[str, Any]:
    """Read an object; of anything else, an empty one."""
    try:
        value: Any = read_json(text) if text.startswith("{") else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", value)


def _require_depth(value: object) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        if not level:
            return
        level = [inner for outer in level for inner in _inside(outer)]
    raise ValueError("nested too deeply")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _number(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text:.20} is no number")
    return number


_decode = JSONDecoder(parse_float=_number, parse_constant=_number).decode

write_json: Callable[[object], str] = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Write a value as compactly as a browser would; a ValueError, if it is not one that `read_json` returns."""
