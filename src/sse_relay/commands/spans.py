"""How long: as people write it, as they read it, and in seconds."""

import re

__all__ = ["seconds_of", "span"]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([smhd]?)", re.ASCII)


def seconds_of(text: str) -> float:
    """
    Read a span.

    Raises:
        ValueError: It is none.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no span of time: write 30s, 10m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def span(seconds: float) -> str:
    """Write a span in its largest unit."""
    seconds = max(seconds, 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} d"
