"""How long things took, one by one: medians hide what a percentile shows."""

from collections.abc import Sequence

__all__ = ["milliseconds", "percentile"]


def percentile(seconds: Sequence[float], percent: float) -> float:
    """
    Tell what so many of the times do not exceed.

    Raises:
        ValueError: There are none.
    """
    if not seconds:
        raise ValueError("nothing was measured")
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * percent / 100))]


def milliseconds(seconds: Sequence[float]) -> tuple[float, float]:
    """Tell the median and the 99th percentile, in milliseconds."""
    return 1000 * percentile(seconds, 50), 1000 * percentile(seconds, 99)
