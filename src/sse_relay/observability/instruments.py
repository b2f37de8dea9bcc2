"""
The metrics: their names, units and buckets.

A measurement costs OpenTelemetry's SDK several microseconds, more than a delivery costs us. So what is counted at each
batch is summed up first, and given to its counter once a second, and whenever a run or a viewer is over.
"""

import re
from time import perf_counter
from typing import TYPE_CHECKING

from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["Instruments", "Sum", "error_type"]

_EVERY = 1.0  # seconds between two additions to one counter
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")

_RUN = 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0
_FIRST = 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0
_STORE = 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0


class Sum:
    """What is to be added to a counter, soon."""

    __slots__ = ("_counter", "_due", "_pending")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._pending = 0
        self._due = 0.0

    def add(self, amount: int, now: float) -> None:
        """Add, or keep it for later."""
        self._pending += amount
        if now >= self._due:
            self._due = now + _EVERY
            self.flush()

    def flush(self) -> None:
        """Add what was kept."""
        if self._pending:
            pending, self._pending = self._pending, 0
            self._counter.add(pending)


class Instruments:
    """
    All that is measured.

    Args:
        meter: Whose they are.
    """

    def __init__(self, meter: Meter) -> None:
        self.live_runs: UpDownCounter = meter.create_up_down_counter(
            "sse_relay.run.live", "{run}", "Runs that this process produces."
        )
        self.live_viewers: UpDownCounter = meter.create_up_down_counter(
            "sse_relay.viewer.live", "{viewer}", "Subscriptions that this process serves."
        )
        self._runs = _histogram(meter, "run.duration", "From a run's start to its end, by who ended it.", _RUN)
        self._reaped = meter.create_counter(
            "sse_relay.run.reaped", "{run}", "Runs that this process ended because their producer had died."
        )
        self.first_event: Histogram = _histogram(
            meter, "run.time_to_first_event", "From a run's claim until its first event was stored.", _FIRST
        )
        self.appends: Histogram = _histogram(
            meter, "append.duration", "From an append's sending until the store's answer.", _STORE
        )
        self.appended_events: Sum = Sum(
            meter.create_counter("sse_relay.append.events", "{event}", "Events that were stored.")
        )
        self.appended_bytes: Sum = Sum(meter.create_counter("sse_relay.append.io", "By", "Bytes that were stored."))
        self.deliveries: Histogram = _histogram(
            meter, "delivery.duration", "From records' arrival in this process until a viewer took them.", _STORE
        )
        self.delivered_events: Sum = Sum(
            meter.create_counter("sse_relay.delivery.events", "{event}", "Events that viewers took.")
        )
        self.delivered_bytes: Sum = Sum(meter.create_counter("sse_relay.delivery.io", "By", "Bytes that viewers took."))
        self.gaps: Counter = meter.create_counter(
            "sse_relay.viewer.gaps", "{gap}", "Gaps that viewers were told of: records were trimmed."
        )

    def ended(self, outcome: "Outcome", seconds: float) -> None:
        """Count an end."""
        attributes: dict[str, str] = {"sse_relay.run.status": outcome.status}
        if outcome.error is not None:
            attributes["error.type"] = error_type(outcome.error.code)
        self._runs.record(max(seconds, 0.0), attributes)
        if outcome.status == "lost" and outcome.reason == "lease_expired":
            self._reaped.add(1)

    def appended(self, events: int, size: int) -> None:
        """Count what was stored."""
        now = perf_counter()
        self.appended_events.add(events, now)
        self.appended_bytes.add(size, now)

    def delivered(self, events: int, size: int) -> None:
        """Count what was taken."""
        now = perf_counter()
        self.delivered_events.add(events, now)
        self.delivered_bytes.add(size, now)

    def flush(self) -> None:
        """Add to the counters what is summed up."""
        for each in (self.appended_events, self.appended_bytes, self.delivered_events, self.delivered_bytes):
            each.flush()


def error_type(code: str) -> str:
    """Tell a code as an attribute of a metric: a provider may have written it, and each new one is a new series."""
    return code if _CODE.fullmatch(code) else "_OTHER"


def _histogram(meter: Meter, name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(f"sse_relay.{name}", "s", description, explicit_bucket_boundaries_advisory=buckets)
