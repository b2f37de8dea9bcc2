"""
The hooks: what a relay tells of its runs and viewers.

Rules for whoever implements them:

- A hook is called in the event loop, and is not awaited: it returns at once.
- What it raises is logged, once for each hook, and goes nowhere: no run notices.
- No hook is given a payload, a header, or metadata.
- Hooks that are not of interest are inherited: each does nothing. So will those that are added later.

A run is told of by the process that produces it, but for its end: that is told by the process whose append, or whose
takeover, made it so, which may be another, and by no other.
"""

# ruff: noqa: ARG002 - what is inherited does nothing with what it is told

from typing import Protocol

from sse_relay.outcome import Outcome

__all__ = ["Observer", "RunObserver", "ViewerObserver"]


class RunObserver(Protocol):
    """
    Hears of one start, and of the run that is produced by it; one of the three last hooks is called, and is the last.

    Attributes:
        trace: What is kept with the run for those who will view it, in whatever process: a W3C ``traceparent``.
    """

    trace: str = ""

    def started(self, run_id: str) -> None:
        """Hear that there is a new run, which is produced here."""
        return

    def appended(self, events: int, size: int, seconds: float, error: str | None) -> None:
        """
        Hear of one answer of the store, or of none.

        Args:
            events: How many events are stored by it, the run's end not counted.
            size: Their bytes, as they are stored.
            seconds: How long the store took.
            error: Why nothing was stored: ``unavailable``, or what the store answered instead (``fenced``, …).
        """
        return

    def stopping(self, reason: str) -> None:
        """Hear that the source is told to stop: somebody cancelled, the time is over, the right to produce is lost."""
        return

    def ended(self, outcome: Outcome | None) -> None:
        """Hear that nothing is produced here any more; None: how the run ended is not known here."""
        return

    def joined(self, run_id: str, trace: str) -> None:
        """Hear that the start found a run instead, and what was kept with that."""
        return

    def refused(self, error: BaseException) -> None:
        """Hear that the start failed."""
        return


class ViewerObserver(Protocol):
    """Hears of one viewer of one run."""

    def delivered(self, events: int, size: int, seconds: float | None) -> None:
        """
        Hear that the viewer took records.

        Args:
            events: How many, the run's end counted.
            size: Their bytes, as they are stored.
            seconds: How long they had been in this process; None: they were read from the store for this viewer.
        """
        return

    def gap(self, after: int, following: int) -> None:
        """Hear that the viewer was told of a gap: what is between these offsets was trimmed."""
        return

    def left(self, outcome: Outcome | None) -> None:
        """Hear that the viewer is gone; None: it had not seen the end."""
        return


class Observer(Protocol):
    """
    Hears of one process's runs and viewers: ``Relay(observer=…)``.

    Inherit from it, and implement what is of interest. One observer may serve several relays.
    """

    def run_starting(self, key: str | None, dialect: str) -> RunObserver | None:
        """
        Hear that a run is about to be claimed; None: there is nothing to tell of it.

        It is called in the context in which the source will run: what is set there (`contextvars`), the source finds.
        """
        return None

    def run_ended(self, run_id: str, outcome: Outcome, seconds: float) -> None:
        """Hear that this process has ended a run, its own or another's, so many seconds after its start."""
        return

    def viewer_joined(self, run_id: str, trace: str) -> ViewerObserver | None:
        """Hear that somebody views a run, and the `RunObserver.trace` that was kept with it; None: as above."""
        return None
