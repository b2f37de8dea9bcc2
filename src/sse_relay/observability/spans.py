"""A span a run and a span a viewer; each counts for the metrics what it sees."""

from random import random
from time import perf_counter

from opentelemetry.trace import Link, Span, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sse_relay.observability.instruments import Instruments, error_type
from sse_relay.observability.protocol import RunObserver, ViewerObserver
from sse_relay.outcome import Outcome

__all__ = ["RunSpan", "ViewerSpan", "link_to"]

_W3C = TraceContextTextMapPropagator()
_HEADER = "traceparent"


class RunSpan(RunObserver):
    """
    The span of a start, and of the run if one is made.

    Attributes:
        trace: The span, for the links of its viewers.
    """

    def __init__(self, span: Span, instruments: Instruments) -> None:
        self._span = span
        self._instruments = instruments
        self._claimed_at = perf_counter()
        self._live = self._over = False
        self._events = 0
        self._size = 0
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span))
        self.trace: str = carrier.get(_HEADER, "")

    def started(self, run_id: str) -> None:
        """Begin to be a live run."""
        self._live = True
        self._instruments.live_runs.add(1)
        self._span.set_attribute("sse_relay.run.id", run_id)

    def appended(self, events: int, size: int, seconds: float, error: str | None) -> None:
        """Measure an append."""
        instruments = self._instruments
        if error is not None:
            instruments.appends.record(seconds, {"error.type": error})
            return
        instruments.appends.record(seconds)
        instruments.appended(events, size)
        if events and not self._events:
            instruments.first_event.record(perf_counter() - self._claimed_at)
            self._span.add_event("sse_relay.first_event")
        self._events += events
        self._size += size

    def stopping(self, reason: str) -> None:
        """Note it."""
        if not self._over:  # a relay that drains tells whatever is left, also what has just ended
            self._span.add_event("sse_relay.stopping", {"sse_relay.run.reason": reason})

    def ended(self, outcome: Outcome | None) -> None:
        """End as the run did."""
        if self._over:  # a start may fail after it has made a run
            return
        span = self._span
        span.set_attribute("sse_relay.run.events", self._events)
        span.set_attribute("sse_relay.run.size", self._size)
        if outcome is None:
            _fail(span, "lease_lost")
        else:
            _tell(span, outcome)
            if outcome.error is not None or outcome.status in {"failed", "lost", "timed_out"}:
                _fail(span, error_type(outcome.error.code) if outcome.error is not None else outcome.status)
        self._end()

    def joined(self, run_id: str, trace: str) -> None:
        """End as the span of a start that found a run."""
        self._span.update_name("sse_relay.join")
        self._span.set_attribute("sse_relay.run.id", run_id)
        if (link := link_to(trace)) is not None:
            self._span.add_link(link.context)
        self._end()

    def refused(self, error: BaseException) -> None:
        """End as the span of a start that failed; what the error says may quote what was asked."""
        self._span.update_name("sse_relay.start")
        _fail(self._span, type(error).__qualname__)
        self._end()

    def _end(self) -> None:
        if self._live:
            self._live = False
            self._instruments.live_runs.add(-1)
            self._instruments.flush()
        self._over = True
        self._span.end()


class ViewerSpan(ViewerObserver):
    """The span of one subscription."""

    def __init__(self, span: Span, instruments: Instruments, sample: float) -> None:
        self._span = span
        self._instruments = instruments
        self._sample = sample
        self._events = 0
        self._size = 0
        instruments.live_viewers.add(1)

    def delivered(self, events: int, size: int, seconds: float | None) -> None:
        """Count what was taken, and measure some of it."""
        self._events += events
        self._size += size
        self._instruments.delivered(events, size)
        if seconds is not None and random() < self._sample:  # noqa: S311 - no secret
            self._instruments.deliveries.record(seconds)

    def gap(self, after: int, following: int) -> None:
        """Note it."""
        self._instruments.gaps.add(1)
        self._span.add_event("sse_relay.gap", {"sse_relay.gap.after": after, "sse_relay.gap.next": following})

    def left(self, outcome: Outcome | None) -> None:
        """End."""
        self._instruments.live_viewers.add(-1)
        self._instruments.flush()
        self._span.set_attribute("sse_relay.viewer.events", self._events)
        self._span.set_attribute("sse_relay.viewer.size", self._size)
        if outcome is not None:
            _tell(self._span, outcome)
        self._span.end()


def link_to(trace: str) -> Link | None:
    """Make a link to what was kept with a run; None: nothing was, or it is none."""
    context = get_current_span(_W3C.extract({_HEADER: trace})).get_span_context()
    return Link(context) if context.is_valid else None


def _tell(span: Span, outcome: Outcome) -> None:
    span.set_attribute("sse_relay.run.status", outcome.status)
    if outcome.reason is not None:
        span.set_attribute("sse_relay.run.reason", outcome.reason)
    if outcome.error is not None and outcome.error.error_id is not None:
        span.set_attribute("sse_relay.error_id", outcome.error.error_id)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
