"""What is said on the stage, for those who perform it and for those who compare."""

from collections.abc import Iterator

WORDS = [f"{number}: \N{SNOWMAN}\nand more" for number in range(24)]
"""A run whose second half waits to be let go on."""

MODEST = "x" * 2_000

BIG = 150_000
FLOOD = 300
_LARGE = 64 * 1024


def big_words() -> Iterator[str]:
    """Say five words that no buffer takes at once."""
    for number in range(5):
        yield f"{number}" * BIG


def many_words() -> Iterator[str]:
    """Say more than all buffers between two ends hold: 19 MiB."""
    for number in range(FLOOD):
        yield f"{number} {'x' * _LARGE}"
