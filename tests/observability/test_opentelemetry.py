"""Spans and metrics of whole services: in one process, over one Redis, read by Prometheus, behind a middleware."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sse_relay import Relay, ServerSentEvent
from sse_relay.adapters.asgi import EventStreamResponse, relay_app
from sse_relay.adapters.messages import Receive, Scope, Send
from sse_relay.observability import OpenTelemetry
from sse_relay.runs.source import RunContext
from sse_relay.stores.redis import RedisStore
from tests.adapters.servers import App, on_virtual_time, serve
from tests.adapters.sources import play
from tests.observability.telemetry import Telemetry, on_real_time, place_of
from tests.observability.test_instruments import UNITS
from tests.runs.faults import memory, process, silence, stubborn, view
from tests.stores.redis.conftest import prefix, server
from tests.stores.redis.servers import Server
from tests.test_documentation import ROOT, python_blocks

__all__ = ["prefix", "server"]

CANARY = "canary-7f3a"

# The context


async def spoken(heard: list[int]) -> AsyncIterator[str]:
    """Yield once, and write down whose span is current, before and after a wait."""
    heard.append(get_current_span().get_span_context().span_id)
    yield "a"
    await asyncio.sleep(1)
    heard.append(get_current_span().get_span_context().span_id)


async def made(heard: list[int]) -> AsyncIterator[str]:
    """Make such a source."""
    heard.append(get_current_span().get_span_context().span_id)
    return spoken(heard)


SOURCES: dict[str, Callable[[list[int]], Any]] = {
    "iterable": spoken,
    "awaitable": made,
    "callable": lambda heard: lambda _context: spoken(heard),
    "callable of an awaitable": lambda heard: lambda _context: made(heard),
}


@pytest.mark.parametrize("kind", SOURCES)
@on_virtual_time
async def test_the_context_is_carried_into_the_producer(kind: str) -> None:
    """Inside the source, however it is made, the run's span is current; its parent is the caller's, which is left."""
    telemetry = Telemetry()
    heard: list[int] = []
    async with Relay(memory(), observer=telemetry.observer) as relay:
        with telemetry.tracer.start_as_current_span("request") as request:
            run = await relay.start(SOURCES[kind](heard))
            assert get_current_span() is request
            await relay.wait(run.id)
    span = telemetry.span("sse_relay.run")
    assert span.parent == request.get_span_context()
    assert set(heard) == {place_of(span).span_id}
    assert len(heard) >= 2


@on_virtual_time
async def test_an_instrumented_source_nests() -> None:
    """A span that the source makes, as an instrumented SDK does, is a child of the run's, also after the request."""
    telemetry = Telemetry()

    async def model(context: RunContext) -> AsyncIterator[str]:
        with telemetry.tracer.start_as_current_span(f"chat {context.run_id}"):
            await asyncio.sleep(5)
        yield "a"

    async with Relay(memory(), observer=telemetry.observer) as relay:
        with telemetry.tracer.start_as_current_span("request") as request:
            run = await relay.start(model)
        await relay.wait(run.id)
    chat, span = telemetry.span(f"chat {run.id}"), telemetry.span("sse_relay.run")
    assert chat.parent is not None
    assert chat.parent.span_id == place_of(span).span_id
    assert place_of(chat).trace_id == request.get_span_context().trace_id


@on_virtual_time
async def test_a_context_of_the_callers_own_is_the_parent() -> None:
    """`start(context=…)` says whose child the run is, and is not changed by it."""
    telemetry = Telemetry()
    heard: list[int] = []
    import contextvars

    async with Relay(memory(), observer=telemetry.observer) as relay:
        with telemetry.tracer.start_as_current_span("other") as other:
            context = contextvars.copy_context()
        await relay.wait((await relay.start(spoken(heard), context=context)).id)
        assert context.run(get_current_span) is other
    span = telemetry.span("sse_relay.run")
    assert span.parent == other.get_span_context()


# Several processes


@on_real_time
async def test_a_viewer_elsewhere_links_to_the_run(server: Server, prefix: str) -> None:
    """Over one Redis, the viewer's span of one process links to the run's span of the other."""
    here, there = Telemetry(), Telemetry()
    stores = [RedisStore(server.client(), prefix=prefix) for _ in range(2)]
    async with Relay(stores[0], observer=here.observer) as one, Relay(stores[1], observer=there.observer) as other:
        run = await one.start(play("a", 0.05, "b"), key="k", metadata={"mine": 1}, idempotency_key="i")
        again = await other.start(play("x"), key="k", metadata={"mine": 1}, idempotency_key="i")
        assert again.id == run.id  # the trace is no part of what has to be the same
        assert dict((await other.info(run.id)).metadata) == {"mine": 1}
        await view(other, run.id)
    for store in stores:
        await store.aclose()
    span = here.span("sse_relay.run")
    for linked in (there.span("sse_relay.view"), there.span("sse_relay.join")):
        ((trace_id, span_id),) = [(link.context.trace_id, link.context.span_id) for link in linked.links]
        assert (trace_id, span_id) == (place_of(span).trace_id, place_of(span).span_id)
    assert there.spans("sse_relay.run") == []
    assert there.value("delivery.events") == 3
    assert there.value("delivery.duration") >= 1
    assert here.value("append.events") == 2
    assert here.value("run.duration", sse_relay__run__status="completed") == 1
    assert there.value("run.duration", sse_relay__run__status="completed") == 0


@on_real_time
async def test_a_dead_producers_run_is_reaped_once(server: Server, prefix: str) -> None:
    """Over one Redis, of two processes that look at a dead producer's run one counts it as reaped (L2)."""
    dead, watchers = Telemetry(), [Telemetry(), Telemetry()]
    stores = [RedisStore(server.client(), prefix=prefix) for _ in range(3)]
    handle = process(stores[0])
    async with (
        Relay(handle, lease=0.5, observer=dead.observer) as producing,
        Relay(stores[1], lease=0.5, observer=watchers[0].observer) as one,
        Relay(stores[2], lease=0.5, observer=watchers[1].observer) as other,
    ):
        run = await producing.start(silence())
        handle.down = True
        outcomes = await asyncio.gather(one.wait(run.id), other.wait(run.id))
        assert {outcome.status for outcome in outcomes} == {"lost"}
        handle.down = False
    for store in stores:
        await store.aclose()
    assert sorted(each.value("run.reaped") for each in watchers) == [0, 1]
    lost = {"sse_relay__run__status": "lost", "error__type": "producer_lost"}
    assert sorted(each.value("run.duration", **lost) for each in watchers) == [0, 1]
    assert dead.value("run.reaped") == dead.value("run.live") == 0
    assert len(dead.spans("sse_relay.run")) == 1


# What is live


async def crashes(relay: Relay) -> None:
    """Let a source raise, and exit."""
    for error in (ValueError(), SystemExit(), asyncio.CancelledError()):
        await relay.wait((await relay.start(play("a", error))).id)


async def cancelled_starts(relay: Relay) -> None:
    """Cancel starts at once, and a little later."""
    for turns in range(6):
        starting = asyncio.ensure_future(relay.start(silence(), key="k", on_conflict="replace"))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})


async def drained(relay: Relay) -> None:
    """Leave a run and its viewer to the drain."""
    run = await relay.start(silence())
    viewing = asyncio.ensure_future(view(relay, run.id))
    await asyncio.sleep(0.1)
    await relay.drain(1.0)
    await viewing


async def viewer_gone(relay: Relay) -> None:
    """Cancel a viewer, and let another one leave early."""
    run = await relay.start(silence())
    viewing = asyncio.ensure_future(view(relay, run.id))
    await asyncio.sleep(0.1)
    viewing.cancel()
    async with relay.subscribe(run.id) as events:
        await events.aclose()


async def ignores(relay: Relay) -> None:
    """Seal a run over the head of a source that does not stop."""
    await relay.cancel((await relay.start(stubborn(20.0))).id, grace=1.0)


async def refused(relay: Relay) -> None:
    """Start what is not started."""
    run = await relay.start(silence(), key="k")
    await relay.start(silence(), key="k", on_conflict="join")
    with pytest.raises(Exception, match="k"):
        await relay.start(silence(), key="k")
    with pytest.raises(Exception, match="nothing"):
        await view(relay, "nothing")
    await relay.cancel(run.id)


WAYS: list[Callable[[Relay], Awaitable[None]]] = [crashes, cancelled_starts, drained, viewer_gone, ignores, refused]


@pytest.mark.parametrize("end", WAYS, ids=lambda end: end.__name__)
@on_virtual_time
async def test_what_is_live_comes_back_to_zero(end: Callable[[Relay], Awaitable[None]]) -> None:
    """L7: however runs and viewers end, none is live afterwards, and each span has ended."""
    telemetry = Telemetry()
    async with Relay(memory(), observer=telemetry.observer) as relay:
        await end(relay)
    await asyncio.sleep(60)
    assert telemetry.value("run.live") == telemetry.value("viewer.live") == 0
    ended = [point.count for point in telemetry.points().get("sse_relay.run.duration", ())]
    assert sum(ended) == len(telemetry.spans("sse_relay.run")) > 0


@on_virtual_time
async def test_what_is_fenced_or_reaped_is_live_no_more() -> None:
    """L7: a run that was taken from its producer is no longer live there, whether it hears of it or not."""
    store = memory()
    handle = process(store)
    telemetry, watching = Telemetry(), Telemetry()
    relay = Relay(handle, lease=3.0, observer=telemetry.observer)
    async with relay, Relay(store, lease=3.0, observer=watching.observer) as other:
        run = await relay.start(silence())
        assert telemetry.value("run.live") == 1
        handle.hung = handle.deaf = True
        assert (await other.wait(run.id)).status == "lost"
        handle.hung = False
        await asyncio.sleep(20)
        assert telemetry.value("run.live") == 0
        assert watching.value("run.reaped") == 1
        assert telemetry.value("append.duration", error__type="fenced") <= 1


# Secrets


@on_virtual_time
async def test_nothing_of_a_payload_is_exported() -> None:
    """No span, metric or attribute has a payload, metadata, a key, or a word of an exception."""
    telemetry = Telemetry()
    async with Relay(memory(), observer=telemetry.observer) as relay:
        options: dict[str, Any] = {"key": CANARY, "metadata": {CANARY: CANARY}, "idempotency_key": CANARY}
        run = await relay.start(play(CANARY, ServerSentEvent(CANARY, event=CANARY), ValueError(CANARY)), **options)
        await view(relay, run.id)
        with pytest.raises(Exception, match=CANARY):
            await relay.start(silence(), idempotency_key=CANARY, key=CANARY, metadata={"other": 1})
    assert "sse_relay.start" in telemetry.text
    assert CANARY not in telemetry.text


@pytest.mark.parametrize("recorded", [False, True])
@on_virtual_time
async def test_a_key_is_exported_if_asked_for(recorded: bool) -> None:
    """A key may say who somebody is: a span has it only if the application says so."""
    telemetry = Telemetry(record_keys=recorded)
    async with Relay(memory(), observer=telemetry.observer) as relay:
        await relay.wait((await relay.start(play("a"), key=CANARY)).id)
    assert (telemetry.span("sse_relay.run").attributes or {}).get("sse_relay.run.key") == (CANARY if recorded else None)
    assert CANARY not in repr(telemetry.points())


# How much is measured


@pytest.mark.parametrize("sample", [-0.1, 1.1, float("nan")])
def test_a_sample_is_a_part(sample: float) -> None:
    """A part is between none and all."""
    with pytest.raises(ValueError, match="delivery_sample"):
        OpenTelemetry(delivery_sample=sample)


@on_virtual_time
async def test_deliveries_are_sampled() -> None:
    """Each delivery is counted; its time is measured of as many as was said, and only of what was live."""
    measured: dict[float, float] = {}
    for sample in (0.0, 1.0):
        telemetry = Telemetry(delivery_sample=sample)
        async with Relay(memory(), observer=telemetry.observer) as relay:
            run = await relay.start(play("a", 1.0, "b", 1.0))
            await view(relay, run.id)
            live = telemetry.value("delivery.duration")
            await view(relay, run.id)
            assert telemetry.value("delivery.duration") == live
        measured[sample] = live
        assert telemetry.value("delivery.events") == 6
    assert measured == {0.0: 0.0, 1.0: 3.0}


@on_virtual_time
async def test_the_first_event_is_timed_once_a_run() -> None:
    """The time to the first event is measured once a run that has one; a run without any has none."""
    telemetry = Telemetry()
    async with Relay(memory(), observer=telemetry.observer) as relay:
        await relay.wait((await relay.start(play("a", 1.0, "b"))).id)
        assert telemetry.value("run.time_to_first_event") == 1
        await relay.wait((await relay.start(play(1.0))).id)
        assert telemetry.value("run.time_to_first_event") == 1


@on_virtual_time
async def test_two_observers_of_one_provider_add_up() -> None:
    """Relays with an observer each, on the same providers, are counted together."""
    telemetry = Telemetry()
    second = OpenTelemetry(telemetry.traces, telemetry.meters)
    for observer in (telemetry.observer, second):
        async with Relay(memory(), observer=observer) as relay:
            await relay.wait((await relay.start(play("a"))).id)
    assert telemetry.value("append.events") == 2
    assert telemetry.value("run.duration", sse_relay__run__status="completed") == 2


# Off


def test_nothing_of_opentelemetry_is_imported_when_off() -> None:
    """A service that observes nothing imports nothing of OpenTelemetry, nor our own plug for it."""
    program = """
import asyncio, sys
import sse_relay.observability
from sse_relay import Relay
from sse_relay.adapters.asgi import relay_app
async def source():
    yield "a"
async def main():
    async with Relay() as relay:
        relay_app(relay, authorize=lambda request: True)
        run = await relay.start(source())
        async with relay.subscribe(run.id) as events:
            assert [event.event or event.data async for event in events] == ["a", "end"]
asyncio.run(main())
names = {"sse_relay.observability.opentelemetry", "sse_relay.observability.spans"}
found = [name for name in sys.modules if name.split(".")[0] == "opentelemetry" or name in names]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@on_virtual_time
async def test_without_an_sdk_nothing_breaks() -> None:
    """With the API alone, as a library's user may have it, runs run, and keep the caller's trace or none."""
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    async with Relay(memory(), observer=OpenTelemetry(NoOpTracerProvider(), NoOpMeterProvider())) as relay:
        run = await relay.start(play("a"))
        assert run.trace == ""
        assert len(await view(relay, run.id)) == 2


# Over HTTP


@on_real_time
async def test_the_page_shows_what_works() -> None:
    """The service of docs/observability.md streams, and is measured and traced as it says; so is its own observer."""
    page: dict[str, Any] = {"__name__": "observed"}
    for block in python_blocks(ROOT / "docs" / "observability.md"):
        exec(compile(block, "observability.md", "exec"), page)
    seen = InMemorySpanExporter()
    page["traces"].add_span_processor(SimpleSpanProcessor(seen))
    async with page["relay"], serve(page["app"]) as uvicorn:
        async with uvicorn.connect() as client:
            await client.get("/chat")
            body = await client.rest()
            assert body.count(b"data: ") == 5
            assert b"event: end" in body
        async with uvicorn.connect() as client:
            await client.get("/metrics")
            told = scraped((await client.rest()).decode())
    page["traces"].shutdown()
    page["meters"].shutdown()
    assert told["sse_relay_append_events"] == {"sse_relay_append_events_total{}": 4.0}
    spans = {span.name: span for span in seen.get_finished_spans()}
    run, view_, request = spans["sse_relay.run"], spans["sse_relay.view"], spans["GET /chat"]
    assert [run.parent, view_.parent] == [request.context] * 2
    assert spans["think"].parent == run.context
    assert [link.context.span_id for link in view_.links] == [place_of(run).span_id]

    async with Relay(observer=page["Watch"]()) as relay:
        await relay.wait((await relay.start(play("a"))).id)


def test_the_page_lists_every_metric() -> None:
    """The page's table has each metric, by the names that OpenTelemetry and Prometheus have for it."""
    text = (ROOT / "docs" / "observability.md").read_text()
    for name in UNITS:
        base, _, last = name.rpartition(".")
        assert f"`{name}`" in text or (f"`{base}.events`, `.{last}`" in text)
    for name in ("duration_seconds", "reaped_total", "live", "time_to_first_event_seconds"):
        assert f"`sse_relay_run_{name}`" in text


def scraped(text: str) -> dict[str, dict[str, float]]:
    """Read what Prometheus reads, to which an empty label is none: the samples of each family, by name and labels."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = {name: said for name, said in sample.labels.items() if said and not name.startswith("otel_scope")}
            labels = ",".join(f"{name}={said}" for name, said in own.items())
            found.setdefault(family.name, {})[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@on_real_time
async def test_prometheus_reads_the_metrics() -> None:
    """A real server's /metrics tells Prometheus of runs by outcome, what is live, times, events, bytes and gaps."""
    registry = CollectorRegistry()
    meters = MeterProvider([PrometheusMetricReader(registry=registry)])
    observer = OpenTelemetry(TracerProvider(), meters, delivery_sample=1.0)

    async with Relay(memory(max_events=2, on_full="trim"), observer=observer) as relay:
        runs = relay_app(relay, authorize=lambda _: True)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/metrics":
                await runs(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": generate_latest(registry)})

        async with serve(app) as uvicorn:

            async def metrics() -> dict[str, dict[str, float]]:
                async with uvicorn.connect() as client:
                    await client.get("/metrics")
                    return scraped((await client.rest()).decode())

            live = await relay.start(silence())
            failed = await relay.start(play("a", 0.01, "b", 0.01, "c", 0.01, ValueError("x")))
            await relay.wait(failed.id)
            async with uvicorn.connect() as client:
                await client.get(f"/runs/{failed.id}/events")
                assert b"event: gap" in await client.rest()
            async with uvicorn.connect() as client:
                await client.get(f"/runs/{live.id}/events")
                await client.chunk()
                during = await metrics()
                await relay.cancel(live.id)
                await client.rest()
            while (after := await metrics())["sse_relay_run_live"] != {"sse_relay_run_live{}": 0.0}:
                pass  # a cancelled run's end is durable a moment before its production is over
    status = "sse_relay_run_duration_seconds_count{sse_relay_run_status=cancelled}"
    error = "{error_type=internal_error,sse_relay_run_status=failed}"
    assert during["sse_relay_run_live"] == {"sse_relay_run_live{}": 1.0}
    assert during["sse_relay_viewer_live"] == {"sse_relay_viewer_live{}": 1.0}
    assert during["sse_relay_viewer_gaps"] == {"sse_relay_viewer_gaps_total{}": 1.0}
    assert during["sse_relay_append_events"] == {"sse_relay_append_events_total{}": 3.0}
    assert during["sse_relay_append_io_bytes"] == {"sse_relay_append_io_bytes_total{}": 27.0}
    assert during["sse_relay_run_duration_seconds"][f"sse_relay_run_duration_seconds_count{error}"] == 1.0
    assert status not in during["sse_relay_run_duration_seconds"]
    assert after["sse_relay_run_duration_seconds"][status] == 1.0
    assert after["sse_relay_viewer_live"] == {"sse_relay_viewer_live{}": 0.0}
    for name in ("append_duration", "delivery_duration", "run_time_to_first_event"):
        assert after[f"sse_relay_{name}_seconds"][f"sse_relay_{name}_seconds_count{{}}"] >= 1
    assert after["sse_relay_delivery_io_bytes"]["sse_relay_delivery_io_bytes_total{}"] > 27


MIDDLEWARE: dict[str, dict[str, Any]] = {
    "plain": {},
    "without a span a message": {"exclude_spans": ["receive", "send"]},
}


def behind(telemetry: Telemetry, app: App, options: dict[str, Any]) -> App:
    """Put OpenTelemetry's middleware in front."""
    middleware: Any = OpenTelemetryMiddleware
    wrapped: App = middleware(app, tracer_provider=telemetry.traces, meter_provider=telemetry.meters, **options)
    return wrapped


@pytest.mark.parametrize("kind", MIDDLEWARE)
@on_real_time
async def test_a_relays_stream_passes_the_middleware(kind: str) -> None:
    """Behind OpenTelemetry's middleware events come one by one; a client that leaves is noticed, the run goes on."""
    telemetry = Telemetry()
    go, over = asyncio.Event(), asyncio.Event()
    async with Relay(observer=telemetry.observer) as relay:
        run = await relay.start(play("a", go, "b", over))
        app = behind(telemetry, relay_app(relay, authorize=lambda _: True), MIDDLEWARE[kind])
        async with serve(app) as uvicorn:
            async with uvicorn.connect() as client:
                head = await client.get(f"/runs/{run.id}/events")
                assert head.startswith(b"HTTP/1.1 200")
                seen = b""
                while b"data: a" not in seen:
                    seen += await client.chunk()
                assert telemetry.value("viewer.live") == 1
                go.set()
                while b"data: b" not in seen:
                    seen += await client.chunk()
            while telemetry.value("viewer.live"):  # noqa: ASYNC110 - until the server notices that the client has gone
                await asyncio.sleep(0.01)
            assert (await relay.info(run.id)).status == "running"
            async with uvicorn.connect() as client:
                over.set()
                await client.get(f"/runs/{run.id}/events", last_id=f"{run.epoch}:2")
                assert b"event: end" in await client.rest()
    requests = [span for span in telemetry.spans(f"GET /runs/{run.id}/events") if span.kind.name == "SERVER"]
    viewers = telemetry.spans("sse_relay.view")
    assert [span.parent and span.parent.span_id for span in viewers] == [place_of(span).span_id for span in requests]
    assert len(viewers) == 2


@pytest.mark.parametrize("kind", MIDDLEWARE)
@on_real_time
async def test_a_sources_stream_passes_the_middleware(kind: str) -> None:
    """A source behind it streams, ends with its terminal, and is closed when the client leaves."""
    telemetry = Telemetry()
    closed = asyncio.Event()

    async def source() -> AsyncGenerator[str, None]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        stream: Any = source() if scope["path"] == "/" else play("a", ValueError("x"))
        await EventStreamResponse(stream)(scope, receive, send)

    async with serve(behind(telemetry, app, MIDDLEWARE[kind])) as uvicorn:
        async with uvicorn.connect() as client:
            await client.get()
            assert b"data: a" in await client.chunk()
            assert not closed.is_set()
        async with asyncio.timeout(5):
            await closed.wait()
        async with uvicorn.connect() as client:
            await client.get("/other")
            assert b"event: end" in await client.rest()
