"""Runs and viewers as OpenTelemetry knows them: spans and metrics."""

from opentelemetry.context import attach
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import SpanKind, TracerProvider, get_tracer, set_span_in_context

from sse_relay.observability.instruments import Instruments
from sse_relay.observability.protocol import Observer
from sse_relay.observability.spans import RunSpan, ViewerSpan, link_to
from sse_relay.outcome import Outcome

__all__ = ["OpenTelemetry"]

_SCOPE = "sse_relay"


class OpenTelemetry(Observer):
    """
    Trace and measure runs and viewers: ``Relay(observer=OpenTelemetry())``.

    A run is a span, a child of whatever was current where `Relay.start` was called, and current where its source runs:
    what an instrumented SDK does there nests under it. A viewer is a span with a link to the run's, in whatever process
    that is. No span, metric or attribute has a payload, a header or metadata.

    Args:
        tracer_provider: Makes the spans; None: the global one.
        meter_provider: Takes the metrics; None: the global one.
        record_keys: Whether the span of a run has its key, which may say who somebody is.
        delivery_sample: The part of the deliveries whose time is measured: there may be a thousand of one record.

    Raises:
        ValueError: `delivery_sample` is not between 0 and 1.

    Example:
        >>> from sse_relay.observability import OpenTelemetry
        >>> relay = Relay(observer=OpenTelemetry())
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        record_keys: bool = False,
        delivery_sample: float = 0.1,
    ) -> None:
        if not 0 <= delivery_sample <= 1:
            raise ValueError(f"delivery_sample must be between 0 and 1, not {delivery_sample}")
        self._tracer = get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._instruments = Instruments(get_meter(_SCOPE, meter_provider=meter_provider))
        self._record_keys = record_keys
        self._delivery_sample = delivery_sample

    def run_starting(self, key: str | None, dialect: str) -> RunSpan:
        """Begin the span of a run, and make it current for its source."""
        attributes = {"sse_relay.run.dialect": dialect}
        if key is not None and self._record_keys:
            attributes["sse_relay.run.key"] = key
        span = self._tracer.start_span("sse_relay.run", kind=SpanKind.INTERNAL, attributes=attributes)
        attach(set_span_in_context(span))  # and never detach: the context is the run's own, and ends with it
        return RunSpan(span, self._instruments)

    def run_ended(self, run_id: str, outcome: Outcome, seconds: float) -> None:
        """Count an end."""
        del run_id
        self._instruments.ended(outcome, seconds)

    def viewer_joined(self, run_id: str, trace: str) -> ViewerSpan:
        """Begin the span of a viewer, which belongs to its own request, and has a link to the run."""
        link = link_to(trace)
        span = self._tracer.start_span(
            "sse_relay.view", attributes={"sse_relay.run.id": run_id}, links=[] if link is None else [link]
        )
        return ViewerSpan(span, self._instruments, self._delivery_sample)
