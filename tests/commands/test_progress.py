"""The line below a stream."""

from rich.console import Console

from sse_relay.commands.progress import Progress


def drawn(progress: Progress, width: int) -> str:
    """Draw the line in so many columns."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(progress, end="")
    return capture.get().strip()


def test_rate_age_and_cursor() -> None:
    """The line tells the rate of late, how long nothing has come, and where to go on."""
    now = [100.0]
    progress = Progress(lambda: now[0])
    assert drawn(progress, 99) == "● 0.0/s · nothing yet, 0.0 s · after the beginning · 0 events"
    for number in range(20):
        now[0] += 0.5
        progress.step(f"epochepoch:{number}")
    assert drawn(progress, 99) == "● 2.0/s · 0.0 s ago · after epochepoch:19 · 20 events"
    now[0] += 120
    assert drawn(progress, 99) == "● 0.0/s · 2 min ago · after epochepoch:19 · 20 events"


def test_a_narrow_line() -> None:
    """Where there is no room the line keeps the offset, and stays one line."""
    progress = Progress(lambda: 1.0)
    progress.step("epochepoch:1234")
    assert "after 1234" in drawn(progress, 40)
    assert len(drawn(progress, 12).splitlines()) == 1


def test_trouble() -> None:
    """Trouble is told until the next event; what it says cannot steer the terminal."""
    progress = Progress(lambda: 1.0)
    progress.step("epochepoch:1\x1b")
    progress.trouble = "cut"
    assert drawn(progress, 99) == "○ after epochepoch:1\\x1b · cut"
    progress.step(None)
    assert "cut" not in drawn(progress, 99)


def test_memory_does_not_grow() -> None:
    """However many events come, what is remembered of them is bounded (L6)."""
    now = [0.0]
    progress = Progress(lambda: now[0])
    for _ in range(100_000):
        now[0] += 0.001
        progress.step(None)
    assert progress.count == 100_000
    assert len(progress._recent) < 60
    assert 900 < progress.rate() < 1100
