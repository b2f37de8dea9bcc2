"""The metrics: names, units, buckets, and what is summed up."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from sse_relay import Outcome
from sse_relay.observability.instruments import Instruments, Sum, error_type
from sse_relay.outcome import ErrorInfo

UNITS = {
    "sse_relay.run.live": "{run}",
    "sse_relay.run.duration": "s",
    "sse_relay.run.reaped": "{run}",
    "sse_relay.run.time_to_first_event": "s",
    "sse_relay.append.duration": "s",
    "sse_relay.append.events": "{event}",
    "sse_relay.append.io": "By",
    "sse_relay.delivery.duration": "s",
    "sse_relay.delivery.events": "{event}",
    "sse_relay.delivery.io": "By",
    "sse_relay.viewer.live": "{viewer}",
    "sse_relay.viewer.gaps": "{gap}",
}


class Counted:
    """A counter that writes down what is added."""

    def __init__(self) -> None:
        self.added: list[float] = []

    def add(self, amount: float) -> None:
        """Write down."""
        self.added.append(amount)


def test_each_metric_has_a_unit_and_buckets_of_its_size() -> None:
    """Each has its name and unit; times are in seconds, and their buckets are ours, not the SDK's for milliseconds."""
    reader = InMemoryMetricReader()
    instruments = Instruments(MeterProvider([reader]).get_meter("test"))
    for counter in (instruments.live_runs, instruments.live_viewers, instruments.gaps):
        counter.add(1)
    for histogram in (instruments.first_event, instruments.appends, instruments.deliveries):
        histogram.record(0.2)
    instruments.appended(1, 2)
    instruments.delivered(3, 4)
    instruments.ended(Outcome("lost", "lease_expired"), 7.0)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    assert {metric.name: metric.unit for metric in metrics} == UNITS
    for metric in metrics:
        assert (metric.description or "").endswith(".")
        for point in metric.data.data_points:
            if isinstance(point, HistogramDataPoint):
                buckets = tuple(point.explicit_bounds)
                assert 0.0001 <= buckets[0] <= 0.1
                assert 5 <= buckets[-1] <= 3600
                assert sorted(buckets) == list(buckets)


def test_a_sum_is_added_once_a_second() -> None:
    """What is summed up reaches its counter at first, then once a second, and when it is flushed; none is lost."""
    counted = Counted()
    total = Sum(counted)  # type: ignore[arg-type]
    for now in (0.0, 0.1, 0.9, 1.0, 1.5):
        total.add(1, now)
    assert counted.added == [1, 3]
    total.flush()
    total.flush()
    assert counted.added == [1, 3, 1]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("internal_error", "internal_error"), ("llm.timeout", "llm.timeout"), ("a" * 64, "a" * 64),
        ("a" * 65, "_OTHER"), ("", "_OTHER"), ("Bad Request: id 7", "_OTHER"), ("429", "_OTHER"), ("a\n", "_OTHER"),
    ],
)  # fmt: skip
def test_a_providers_text_is_no_series(code: str, found: str) -> None:
    """A code that is none, for instance because a provider wrote a sentence there, becomes one and the same."""
    assert error_type(code) == found


def test_ends_are_counted_by_outcome() -> None:
    """The duration's count is the number of ends by status and code; a store's clock that goes back is no duration."""
    reader = InMemoryMetricReader()
    instruments = Instruments(MeterProvider([reader]).get_meter("test"))
    instruments.ended(Outcome("completed"), 1.0)
    instruments.ended(Outcome("failed", "error", ErrorInfo("internal_error", "An error.")), -1.0)
    instruments.ended(Outcome("lost", "shutdown"), 1.0)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics  # none of them was reaped
    assert [dict(point.attributes or {}) for point in metric.data.data_points] == [
        {"sse_relay.run.status": "completed"},
        {"sse_relay.run.status": "failed", "error.type": "internal_error"},
        {"sse_relay.run.status": "lost"},
    ]
    assert all(isinstance(point, HistogramDataPoint) and point.sum >= 0 for point in metric.data.data_points)
