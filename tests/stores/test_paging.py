"""How long a page may be."""

import pytest

from sse_relay.stores.paging import fitting, require_page


def test_a_page_takes_what_fits() -> None:
    """L6, I1: for every bound, the most records from the first one on that fit; one that is larger comes alone."""
    frames = [b"x" * size for size in (3, 1, 10, 2, 2)]
    for most in range(1, 25):
        taken = fitting(frames, most)
        assert taken == frames[: len(taken)]
        assert sum(map(len, taken)) <= most or len(taken) == 1
        assert len(taken) == len(frames) or sum(map(len, frames[: len(taken) + 1])) > most
    assert fitting([], 1) == []


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_a_page_has_room(bounds: tuple[int, int]) -> None:
    """Defect 15: a page that could have no record is refused, for its reader would never come on."""
    require_page(1, 1)
    with pytest.raises(ValueError, match="1 or more"):
        require_page(*bounds)
