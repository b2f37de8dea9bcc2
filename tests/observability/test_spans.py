"""What the spans of runs and viewers say."""

import asyncio
import logging

import pytest
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from sse_relay import Outcome, Relay, RunConflictError
from sse_relay.observability.spans import link_to
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import play
from tests.observability.telemetry import Telemetry, place_of
from tests.runs.faults import memory, process, silence, view

SPAN = "sse_relay.run"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs what is done to a span that has ended; no test here does that."""
    caplog.set_level(logging.WARNING, logger="opentelemetry")


def sdk_logs(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the SDK has complained of."""
    return [record.message for record in caplog.records if record.name.startswith("opentelemetry")]


@pytest.mark.parametrize(
    ("steps", "status", "error"),
    [
        (("a",), "completed", None),
        (("a", ValueError("x")), "failed", "internal_error"),
        (("a", 5.0), "timed_out", "timeout"),
    ],
)
@on_virtual_time
async def test_a_span_ends_as_its_run(
    steps: tuple[object, ...], status: str, error: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A run's span has its id, dialect, size and outcome, and is an error where the run has ended in one."""
    telemetry = Telemetry()
    async with Relay(memory(), observer=telemetry.observer) as relay:
        run = await relay.start(play(*steps), timeout=3.0)
        outcome = await relay.wait(run.id)
    span = telemetry.span(SPAN)
    expected = {
        "sse_relay.run.id": run.id, "sse_relay.run.dialect": "native", "sse_relay.run.events": 1,
        "sse_relay.run.size": len(b"data: a\n\n"), "sse_relay.run.status": status,
    }  # fmt: skip
    assert dict(span.attributes or {}).items() >= expected.items()
    assert (span.attributes or {}).get("error.type") == error
    assert (span.attributes or {}).get("sse_relay.error_id") == (outcome.error and outcome.error.error_id)
    assert span.status.status_code is (StatusCode.UNSET if error is None else StatusCode.ERROR)
    assert span.status.description == error
    assert span.events[0].name == "sse_relay.first_event"
    assert sdk_logs(caplog) == []


@on_virtual_time
async def test_what_stops_a_run_is_an_event(caplog: pytest.LogCaptureFixture) -> None:
    """A cancel and a takeover are events of the span, with their reason; a cancelled run is no error, a lost one is."""
    telemetry = Telemetry()
    store = memory()
    async with Relay(process(store), observer=telemetry.observer) as relay, Relay(store) as other:
        await relay.cancel((await relay.start(silence())).id, reason="enough")
        await relay.start(silence(), key="k")
        await other.start(silence(), key="k", on_conflict="replace")
        await asyncio.sleep(1)
        handle = process(store, deaf=True)
        async with Relay(handle, observer=telemetry.observer) as deaf:
            await deaf.start(play("a", 1.0, "b", 1.0), key="l")
            await asyncio.sleep(0.5)
            await other.start(silence(), key="l", on_conflict="replace")
            handle.down = ("info",)
            await asyncio.sleep(3)
            handle.down = ()
    cancelled, replaced, fenced = telemetry.spans(SPAN)
    told = [[(event.name, dict(event.attributes or {})) for event in span.events] for span in (cancelled, replaced)]
    assert told == [
        [("sse_relay.stopping", {"sse_relay.run.reason": "enough"})],
        [("sse_relay.stopping", {"sse_relay.run.reason": "lease_lost"})],
    ]
    statuses = [(span.status.status_code, span.status.description) for span in (cancelled, replaced, fenced)]
    assert statuses == [(StatusCode.UNSET, None), (StatusCode.UNSET, None), (StatusCode.ERROR, "lease_lost")]
    assert (replaced.attributes or {})["sse_relay.run.reason"] == "replaced"
    assert "sse_relay.run.status" not in (fenced.attributes or {})
    assert sdk_logs(caplog) == []


@on_virtual_time
async def test_a_start_without_a_run_has_a_span_of_another_name() -> None:
    """A start that joins links to the run that it found; one that is refused says by what, and quotes nothing."""
    telemetry = Telemetry()
    async with Relay(memory(), observer=telemetry.observer) as relay:
        run = await relay.start(silence(), key="secret")
        await relay.start(silence(), key="secret", on_conflict="join")
        with pytest.raises(RunConflictError):
            await relay.start(silence(), key="secret")
        joined, refused = telemetry.span("sse_relay.join"), telemetry.span("sse_relay.start")
        await relay.cancel(run.id)
    span = telemetry.span(SPAN)
    assert [link.context.span_id for link in joined.links] == [place_of(span).span_id]
    assert (joined.attributes or {})["sse_relay.run.id"] == run.id
    assert (refused.status.status_code, refused.status.description) == (StatusCode.ERROR, "RunConflictError")
    assert refused.events == ()
    assert "secret" not in telemetry.text


@on_virtual_time
async def test_a_viewers_span_links_to_the_run() -> None:
    """A viewer's span is a child of its own request, links to the run's span, and says what was taken, and the gap."""
    telemetry = Telemetry()
    async with Relay(memory(max_events=2, on_full="trim"), observer=telemetry.observer) as relay:
        with telemetry.tracer.start_as_current_span("starting"):
            run = await relay.start(play("a", 1.0, "b", 1.0, "c", 1.0))
        await relay.wait(run.id)
        with telemetry.tracer.start_as_current_span("viewing") as viewing:
            await view(relay, run.id)
    span, of_run = telemetry.span("sse_relay.view"), telemetry.span(SPAN)
    assert span.parent == viewing.get_span_context()
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (place_of(of_run).trace_id, place_of(of_run).span_id)
    ]
    assert place_of(span).trace_id != place_of(of_run).trace_id
    assert dict(span.attributes or {}) == {
        "sse_relay.run.id": run.id, "sse_relay.viewer.events": 2, "sse_relay.viewer.size": 9 + 68,
        "sse_relay.run.status": "completed",
    }  # fmt: skip
    ((name, told),) = [(event.name, dict(event.attributes or {})) for event in span.events]
    assert (name, told) == ("sse_relay.gap", {"sse_relay.gap.after": 0, "sse_relay.gap.next": 3})


def test_a_link_is_to_what_was_kept() -> None:
    """What a run keeps of its span becomes the link again; what is no trace, or none, is no link."""
    link = link_to(TRACE)
    assert link is not None
    assert format_trace_id(link.context.trace_id) == TRACE.split("-")[1]
    assert format_span_id(link.context.span_id) == TRACE.split("-")[2]
    assert link.context.is_remote
    with Telemetry().tracer.start_as_current_span("current"):
        for text in ("", "a trace", TRACE.replace("7", "g"), f"00-{'0' * 32}-{'0' * 16}-01", "x" * 10_000):
            assert link_to(text) is None


@on_virtual_time
async def test_a_start_that_fails_late_ends_its_span_once(caplog: pytest.LogCaptureFixture) -> None:
    """A start that is refused after its run was begun ends the span, once, and the run is live no more."""
    telemetry = Telemetry()
    run = telemetry.observer.run_starting(None, "native")
    run.started("a-run")
    run.refused(OSError("secret"))
    run.ended(Outcome("lost"))
    run.stopping("shutdown")
    span = telemetry.span("sse_relay.start")
    assert span.status.description == "OSError"
    assert telemetry.value("run.live") == 0
    assert sdk_logs(caplog) == []
