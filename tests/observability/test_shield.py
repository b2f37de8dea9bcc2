"""An observer that fails breaks nothing."""

import asyncio
from typing import Any, cast

import pytest

from sse_relay import Relay, RunConflictError
from sse_relay.observability import Observer, RunObserver, ViewerObserver
from sse_relay.observability.shield import shielded
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import play
from tests.naming import named
from tests.observability.telemetry import Recorder
from tests.runs.faults import memory, said, silence, view

HOOKS = [
    name
    for protocol in (Observer, RunObserver, ViewerObserver)
    for name, value in vars(protocol).items()
    if callable(value) and not name.startswith("_")
]
ERRORS = [RuntimeError("broken"), asyncio.CancelledError()]


async def everything(observer: Observer | None) -> list[Any]:
    """Let happen whatever there is a hook for; tell what users see of it, the ids apart."""
    seen: list[Any] = []
    async with Relay(memory(max_events=3, on_full="trim"), observer=observer) as relay:
        run = await relay.start(play("a", 1.0, "b", 1.0, "c", 1.0, "d", 1.0), key="k")
        joined = await relay.start(play("x"), key="k", on_conflict="join")
        assert (joined.id, joined.joined) == (run.id, True)
        with pytest.raises(RunConflictError):
            await relay.start(play("x"), key="k")
        seen.append(said(await view(relay, run.id)))
        seen.append(said(await view(relay, run.id)))
        async with relay.subscribe(run.id) as events:
            while (batch := await events.read()) is not None:
                seen.append((batch.first, batch.last, batch.outcome))
        stopped = await relay.cancel((await relay.start(silence())).id)
        seen.append((stopped.outcome, stopped.last_offset))
        await relay.start(silence())
    return seen


def test_the_sweep_is_whole() -> None:
    """What the sweep lets happen calls every hook that there is."""

    @on_virtual_time
    async def main() -> None:
        recorder = Recorder()
        await everything(recorder)
        assert set(recorder.names()) == set(HOOKS)

    main()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", HOOKS)
@on_virtual_time
async def test_an_observer_that_raises_changes_nothing(
    hook: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever hook raises, runs, viewers and errors are what they are unobserved, and it is logged once."""
    unobserved = await everything(None)
    caplog.clear()
    recorder = Recorder(fails=hook, error=error)
    assert await everything(recorder) == unobserved
    assert recorder.names().count(hook) >= 1
    (record,) = [record for record in caplog.records if "an observer failed" in record.message]
    assert record.message.split(" in ")[1].startswith(("Observer.", "RunObserver.", "ViewerObserver."))
    assert f".{hook};" in record.message


@pytest.mark.parametrize("junk", [object(), 3, "a", ["b"]], ids=named)
@on_virtual_time
async def test_what_is_no_observer_is_not_called(junk: Any) -> None:
    """A hook that returns something else than an observer, or a trace that is no text, changes nothing."""
    traces: list[object] = []

    class Junk(Observer):
        def run_starting(self, key: str | None, dialect: str) -> RunObserver:
            del key, dialect
            return cast("RunObserver", junk)

        def viewer_joined(self, run_id: str, trace: str) -> ViewerObserver:
            del run_id
            traces.append(trace)
            return cast("ViewerObserver", junk)

    class Traced(RunObserver):
        trace = junk

    class Traces(Junk):
        def run_starting(self, key: str | None, dialect: str) -> RunObserver:
            del key, dialect
            return Traced()

    assert await everything(Junk()) == await everything(None)
    if not isinstance(junk, str):
        assert await everything(Traces()) == await everything(None)
    assert set(traces) == {""}


@pytest.mark.parametrize("junk", [object(), "otel", RunObserver], ids=named)
def test_what_is_no_observer_is_refused(junk: Any) -> None:
    """A relay is not made with something else."""
    with pytest.raises(TypeError, match="an observer has the hooks"):
        Relay(observer=junk)


def test_a_failure_in_each_hook_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Hooks fail for reasons of their own: each is logged once, however many runs there are."""

    class Broken(Recorder):
        def tell(self, name: str, *args: object) -> None:
            raise ValueError(name)

    observer = shielded(Broken())
    for _ in range(3):
        assert observer.run_starting(None, "native") is None
        assert observer.viewer_joined("r", "") is None
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
