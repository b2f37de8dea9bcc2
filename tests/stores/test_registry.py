"""Every run in memory, for as long as it is kept."""

import pytest

from sse_relay import Outcome
from sse_relay.exceptions import IdempotencyConflictError, RunExpiredError, RunNotFoundError
from sse_relay.stores.log import Bounds, RunLog
from sse_relay.stores.registry import Registry
from sse_relay.stores.terms import Opening, Seal

LOST = Seal(Outcome("lost"), b"event: end\ndata: {}\n\n")
BOUNDS = Bounds(None, None, trims=False)


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def run_of(run_id: str, now: float = 0.0, *, lease: float = 1.0, ended: bool = True, **options: str) -> RunLog:
    """Make a run."""
    run = RunLog(run_id, Opening(lease, LOST, LOST, **options), BOUNDS, now)  # type: ignore[arg-type]
    if ended:
        run.take_over(LOST)
    return run


def sizes(registry: Registry) -> list[int]:
    """Count what is kept, in each place."""
    return [len(value) for value in vars(registry).values() if hasattr(value, "__len__")]


def test_runs_are_found_by_every_name() -> None:
    """A run is found by its id, as its key's latest, and by the same start."""
    registry = Registry(100, Clock())
    first = run_of("a", key="k", idempotency_key="i", fingerprint="f")
    second = run_of("b", key="k")
    for run in (first, second):
        registry.add(run)
    assert registry.get("a") is registry.find("a") is first
    assert registry.latest("k") is second
    assert registry.started(first.opening) is first
    assert registry.started(second.opening) is None
    assert registry.newest_first() == [second, first]
    assert registry.find(None) is registry.latest(None) is registry.latest("other") is None
    with pytest.raises(IdempotencyConflictError):
        registry.started(run_of("c", key="k", idempotency_key="i", fingerprint="g").opening)


def test_running_runs_are_listed_apart() -> None:
    """L6: a sweep looks at the runs that have not ended, and not at the many that have."""
    registry = Registry(100, Clock())
    run = run_of("a", ended=False)
    registry.add(run)
    assert list(registry.running()) == [run]
    registry.ended(run)
    registry.ended(run)
    assert list(registry.running()) == []
    assert registry.find("a") is run


def test_expiry_leaves_nothing() -> None:
    """L7: twice the retention after the last activity nothing of a run is left, in whatever state it was."""
    clock = Clock()
    registry = Registry(100, clock)
    for number in range(50):
        registry.add(run_of(f"ended {number}", key=f"{number % 7}", idempotency_key=f"{number}"))
        registry.add(run_of(f"dead {number}", ended=False, key=f"dead {number % 7}", idempotency_key=f"{number}"))
    clock.now = 100
    assert registry.newest_first() == []
    assert registry.is_taken("ended 0")
    with pytest.raises(RunExpiredError):
        registry.get("dead 0")
    clock.now = 199.9
    assert registry.is_taken("dead 49")
    clock.now = 200
    assert not registry.is_taken("dead 49")
    with pytest.raises(RunNotFoundError):
        registry.get("dead 0")
    assert sizes(registry) == [0] * 6


def test_expiry_counts_from_when_it_was_due() -> None:
    """A store that nobody asked for a long time forgets run and tombstone as if it had been asked in time."""
    clock = Clock()
    registry = Registry(100, clock)
    registry.add(run_of("a"))
    clock.now = 500
    with pytest.raises(RunNotFoundError):
        registry.get("a")
    assert sizes(registry) == [0] * 6


def test_activity_puts_expiry_off() -> None:
    """Defect 19: a run is looked at when it may be due, and kept if it was active meanwhile."""
    clock = Clock()
    registry = Registry(100, clock)
    run = run_of("a", ended=False)
    registry.add(run)
    for now in (90, 180, 270):
        clock.now = now
        registry.get("a").touch(now)
    run.take_over(LOST)
    assert len(registry._due) == 1
    clock.now = 369.9
    assert registry.get("a") is run
    clock.now = 370
    with pytest.raises(RunExpiredError):
        registry.get("a")


def test_a_held_run_is_kept() -> None:
    """A lease longer than the retention keeps its run, until it ends or lapses."""
    clock = Clock()
    registry = Registry(10, clock)
    held, ended = run_of("held", lease=100, ended=False), run_of("ended", lease=100)
    registry.add(held)
    registry.add(ended)
    clock.now = 99
    assert registry.newest_first() == [held]
    clock.now = 100
    assert registry.newest_first() == []


def test_an_old_run_takes_no_key_along() -> None:
    """Defect 17: a run that expires leaves its key to the run that has it now."""
    clock = Clock()
    registry = Registry(100, clock)
    registry.add(run_of("old", key="k"))
    clock.now = 50
    new = run_of("new", 50, key="k")
    registry.add(new)
    clock.now = 120
    assert registry.find("old") is None
    assert registry.latest("k") is new
