"""What the OpenAPI document says is what is answered."""

import json
import re

import pytest

from sse_relay import Cursor, EventDecoder, InvalidCursorError, MemoryStore, Outcome, Relay
from sse_relay.adapters.asgi import ProblemResponse
from sse_relay.adapters.openapi import CURSOR, Problem, RunState, problem_responses, stream_responses
from sse_relay.adapters.states import described
from sse_relay.outcome import ErrorInfo
from tests.adapters.servers import Exchange, on_virtual_time
from tests.adapters.sources import play


def test_the_example_is_a_stream() -> None:
    """F, I2: the example is read as events, of which the last one is the end."""
    example = stream_responses()[200]["content"]["text/event-stream"]["example"]
    events = EventDecoder().feed(example.encode())
    assert [event.event for event in events] == [None, "end"]
    assert json.loads(events[-1].data or "")["status"] == "completed"


@pytest.mark.parametrize(
    "text", ["k3Jx9-Qa:17", "k3Jx9-Qa:0", "k3Jx9-Qa:01", "short:1", "k3Jx9-Qa:", "x" * 41 + ":1", "7", ""]
)
def test_a_cursor_is_described_as_it_is_read(text: str) -> None:
    """I11: what the document takes for a cursor is what is read as one."""
    try:
        Cursor.parse(text)
    except InvalidCursorError:
        assert not re.fullmatch(CURSOR, text)
    else:
        assert re.fullmatch(CURSOR, text)


def test_errors_are_described_by_status() -> None:
    """F: an endpoint names the errors that it answers with; one that is not ours has its phrase."""
    described = problem_responses(404, 418)
    assert list(described) == [404, 418]
    assert described[418]["description"] == "I'm a Teapot"
    assert set(described[404]["content"]) == {"application/problem+json"}


@on_virtual_time
async def test_the_advice_of_a_problem_is_described() -> None:
    """F: whether, and when, to ask again is in the headers that the document has; no other problem has any."""
    advice = {"retry-after", "x-should-retry"}
    for status in (400, 404, 409, 410, 418, 503):
        answer = await Exchange().ask(ProblemResponse(ErrorInfo("code", "A sentence.", None, status)))
        assert set(problem_responses(status)[status].get("headers", {})) == advice & set(answer.headers)
    assert set(problem_responses(429)[429]["headers"]) == {"retry-after"}


@on_virtual_time
async def test_a_problem_is_what_is_answered() -> None:
    """F: the model of a problem has the fields that are sent, and no other."""
    answer = await Exchange().ask(ProblemResponse(ErrorInfo("code", "A sentence.", "7", 404)))
    assert Problem.model_validate(answer.json, strict=True).model_dump() == answer.json


@on_virtual_time
async def test_a_state_is_what_is_answered() -> None:
    """F, I8: the model of a run's state has the fields that are sent, and no other, live, ended and failed."""
    async with Relay(MemoryStore()) as relay:
        live = await relay.start(play("a"), key="chat")
        failed = await relay.start(play(ValueError("hunter2")))
        assert await relay.wait(live.id) == Outcome("completed")
        assert (await relay.wait(failed.id)).status == "failed"
        for run in (live, await relay.info(live.id), await relay.info(failed.id)):
            said = json.loads(json.dumps(described(run)))
            assert RunState.model_validate(said, strict=True).model_dump() == said
