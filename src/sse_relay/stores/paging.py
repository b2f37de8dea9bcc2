"""How long a page of a log may be: records are of any size, and a reader's memory is not."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["PAGE_BYTES", "fitting", "require_page"]

PAGE_BYTES = 1 << 20
"""The most bytes of a page, unless its reader says otherwise."""


def fitting(frames: Sequence[bytes], max_bytes: int) -> Sequence[bytes]:
    """Tell the first frames that are so many bytes together at most; at least one, for the reader is to come on."""
    if sum(map(len, frames)) <= max_bytes:
        return frames
    return frames[: max(bisect_right(list(accumulate(map(len, frames))), max_bytes), 1)]


def require_page(limit: int, max_bytes: int) -> None:
    """
    Refuse a page that could have no record.

    Raises:
        ValueError: A bound is below 1.
    """
    for name, most in (("limit", limit), ("max_bytes", max_bytes)):
        if most < 1:
            raise ValueError(f"{name} must be 1 or more, not {most}")
