"""
What it costs to observe runs, and not to.

Without an observer there is a test for None a batch and none an event; beside an observer whose hooks do nothing, the
difference is what calling hooks costs, and OpenTelemetry's own is the rest.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import process_time_ns

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracerProvider

from benchmarks.fan_out import SOURCES, Audience, view
from benchmarks.measure import Table, interleave, rounded
from benchmarks.starting import often, relayed
from sse_relay import Outcome, Relay
from sse_relay.observability import Observer, OpenTelemetry, RunObserver, ViewerObserver

__all__ = ["OBSERVERS", "delivery", "observing_table", "start", "tables"]

OFF = "off"
KIND = "suspends"


class Idle(Observer):
    """Hears everything, and does nothing."""

    def run_starting(self, key: str | None, dialect: str) -> RunObserver:
        """Hear of the run."""
        del key, dialect
        return _IdleRun()

    def run_ended(self, run_id: str, outcome: Outcome, seconds: float) -> None:
        """Hear of its end."""

    def viewer_joined(self, run_id: str, trace: str) -> ViewerObserver:
        """Hear of its viewer."""
        del run_id, trace
        return _IdleViewer()


class _IdleRun(RunObserver):
    pass


class _IdleViewer(ViewerObserver):
    pass


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        """Take spans, and drop them."""
        del spans
        return SpanExportResult.SUCCESS


def with_sdk() -> Observer:
    """Make what a service has: spans that are recorded, metrics that a reader may ask for."""
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(_Nowhere()))
    return OpenTelemetry(traces, MeterProvider([InMemoryMetricReader()]))


OBSERVERS: dict[str, Callable[[], Observer | None]] = {
    OFF: lambda: None,
    "hooks that do nothing": Idle,
    "OpenTelemetry, its API alone": lambda: OpenTelemetry(NoOpTracerProvider(), NoOpMeterProvider()),
    "OpenTelemetry, its SDK": with_sdk,
}


async def delivery(observer: Observer | None, viewers: int, events: int) -> float:
    """Fan a source out, and tell the microseconds of CPU of a delivery, appends included."""
    audience = Audience(viewers)
    async with Relay(observer=observer) as relay:
        return await view(relay, SOURCES[KIND](events, audience), audience) / audience.got / 1000


async def start(observer: Observer | None, count: int) -> float:
    """Start runs, and tell the microseconds of CPU until the first event."""
    async with Relay(observer=observer) as relay:
        return await often(lambda clock: relayed(relay, clock), process_time_ns, count)


def observing_table(runner: asyncio.Runner, *, viewers: int, events: int, starts: int, rounds: int) -> Table:
    """Measure."""
    figures: dict[str, Callable[[Observer | None], float]] = {
        "an event, 1 viewer": lambda observer: runner.run(delivery(observer, 1, events)),
        f"a delivery, {viewers} viewers": lambda observer: runner.run(delivery(observer, viewers, events)),
        "start to first event": lambda observer: runner.run(start(observer, starts)),
    }
    columns = [column for name in figures for column in (name, f"over {OFF}")]
    table = Table("Observed or not: μs of CPU", ("", *columns))
    found = {name: interleave(_cases(figure), rounds) for name, figure in figures.items()}
    for name in OBSERVERS:
        cells: list[str] = []
        for samples in found.values():
            extra = "" if name == OFF else f"{samples.extra(name, OFF):+.2f}"
            cells += [rounded(samples.median(name)), extra]
        table.add(name, *cells)
    return table


def _cases(figure: Callable[[Observer | None], float]) -> dict[str, Callable[[], float]]:
    return {name: partial(_with, figure, make) for name, make in OBSERVERS.items()}


def _with(figure: Callable[[Observer | None], float], make: Callable[[], Observer | None]) -> float:
    return figure(make())


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    viewers, events, starts, rounds = (5, 20, 5, 1) if quick else (100, 1000, 300, 11)
    with asyncio.Runner() as runner:
        return [observing_table(runner, viewers=viewers, events=events, starts=starts, rounds=rounds)]
