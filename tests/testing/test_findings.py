"""What is found to be broken, and the order in which things happened."""

from sse_relay.testing.findings import Findings, Floor


def test_every_tick_is_later() -> None:
    """No two things happen at the same time, and none before the first tick."""
    findings = Findings(trims=False)
    ticks = [findings.tick() for _ in range(5)]
    assert ticks == sorted(set(ticks))
    assert ticks[0] > 0


def test_a_floor_remembers_what_it_was() -> None:
    """A floor only grows, and before a time it is what it was then."""
    floor = Floor()
    for value, time in ((3, 10), (2, 20), (7, 30), (7, 40)):
        floor.rise(value, time)
    assert [floor.before(time) for time in (0, 10, 11, 25, 30, 31, 99)] == [0, 0, 3, 3, 3, 7, 7]
    assert floor.now == 7
