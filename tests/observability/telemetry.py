"""OpenTelemetry's SDK in memory, and an observer that writes down what it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sse_relay import Outcome
from sse_relay.observability import Observer, OpenTelemetry, RunObserver, ViewerObserver

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

P = ParamSpec("P")


class Telemetry:
    """
    What one process would export.

    Attributes:
        traces: Makes the spans.
        meters: Takes the metrics.
        observer: The observer under test.
        tracer: For spans of the application's own.
    """

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.observer = OpenTelemetry(self.traces, self.meters, **{"delivery_sample": 1.0, **options})
        self.tracer: Tracer = self.traces.get_tracer("application")

    def spans(self, name: str) -> list[ReadableSpan]:
        """Tell the spans of a name that have ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        """Tell the only one."""
        (span,) = self.spans(name)
        return span

    def points(self) -> dict[str, list[Any]]:
        """Tell every metric's data points, by name."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(metric.data.data_points)
        return found

    def value(self, name: str, **attributes: str) -> float:
        """Tell a counter's value, or how often a histogram was recorded, of exactly those attributes."""
        wanted = {key.replace("__", "."): said for key, said in attributes.items()}
        for point in self.points().get(f"sse_relay.{name}", []):
            if dict(point.attributes) == wanted:
                return float(point.count if hasattr(point, "count") else point.value)
        return 0.0

    @property
    def text(self) -> str:
        """All that is exported, as text: what is not in here does not leave the process."""
        spans = [span.to_json(indent=None) for span in self._exporter.get_finished_spans()]
        return "\n".join([*spans, repr(self._reader.get_metrics_data())])


def place_of(span: ReadableSpan) -> "SpanContext":
    """Tell where a span is: a span of the SDK's may have no place."""
    place: SpanContext | None = span.context
    assert place is not None
    return place


class Recorder(Observer):
    """
    Writes down each hook and what it was told.

    Args:
        fails: A hook that raises, by name, once it has written itself down.
        error: What it raises.

    Attributes:
        told: Name and arguments, in the order of the calls.
    """

    def __init__(self, fails: str = "", error: BaseException | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._fails = fails
        self._error = error or RuntimeError("broken")

    def tell(self, name: str, *args: object) -> None:
        """Write down, and fail."""
        self.told.append((name, *args))
        if name == self._fails:
            raise self._error

    def names(self) -> list[str]:
        """The hooks, in the order of their calls."""
        return [name for name, *_ in self.told]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """What a hook was told, each time."""
        return [tuple(args) for found, *args in self.told if found == name]

    def run_starting(self, key: str | None, dialect: str) -> RunObserver:
        """Hear."""
        self.tell("run_starting", key, dialect)
        return RecordedRun(self)

    def run_ended(self, run_id: str, outcome: Outcome, seconds: float) -> None:
        """Hear."""
        self.tell("run_ended", run_id, outcome, seconds)

    def viewer_joined(self, run_id: str, trace: str) -> ViewerObserver:
        """Hear."""
        self.tell("viewer_joined", run_id, trace)
        return RecordedViewer(self)


class RecordedRun(RunObserver):
    """Writes down what it is told of a run."""

    trace = "a trace"

    def __init__(self, recorder: Recorder) -> None:
        self._tell = recorder.tell

    def started(self, run_id: str) -> None:
        """Hear."""
        self._tell("started", run_id)

    def appended(self, events: int, size: int, seconds: float, error: str | None) -> None:
        """Hear."""
        assert seconds >= 0
        self._tell("appended", events, size, error)

    def stopping(self, reason: str) -> None:
        """Hear."""
        self._tell("stopping", reason)

    def ended(self, outcome: Outcome | None) -> None:
        """Hear."""
        self._tell("ended", outcome)

    def joined(self, run_id: str, trace: str) -> None:
        """Hear."""
        self._tell("joined", run_id, trace)

    def refused(self, error: BaseException) -> None:
        """Hear."""
        self._tell("refused", type(error))


class RecordedViewer(ViewerObserver):
    """Writes down what it is told of a viewer."""

    def __init__(self, recorder: Recorder) -> None:
        self._tell = recorder.tell

    def delivered(self, events: int, size: int, seconds: float | None) -> None:
        """Hear."""
        assert seconds is None or seconds >= 0
        self._tell("delivered", events, size)

    def gap(self, after: int, following: int) -> None:
        """Hear."""
        self._tell("gap", after, following)

    def left(self, outcome: Outcome | None) -> None:
        """Hear."""
        self._tell("left", outcome)


def on_real_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a loop of its own; after it no task may be left (L7)."""

    async def settled(work: Coroutine[Any, Any, None]) -> None:
        await work
        for _ in range(100):
            if asyncio.all_tasks() == {asyncio.current_task()}:
                return
            await asyncio.sleep(0)
        raise AssertionError(asyncio.all_tasks())

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(settled(test(*args, **kwargs)))

    return run
