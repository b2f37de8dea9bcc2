"""The native dialect: what a log holds passes through, the end is one typed event, and its names are reserved."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import Cursor, ErrorInfo, EventDecoder, Outcome, ServerSentEvent
from sse_relay.dialects import Dialect, Finish, Native, RenderContext, TextDelta, ToolCallDelta, event_of
from sse_relay.dialects.protocol import Recogniser, render_end
from sse_relay.exceptions import InvalidEventError
from sse_relay.outcome import Status
from sse_relay.wire.encoder import frame
from tests.properties import examples, hostile_text, received
from tests.wire.chunkings import bytewise, decode

NATIVE = Native()

texts = hostile_text()
outcomes = st.builds(
    Outcome,
    st.sampled_from(get_args(Status)),
    st.none() | texts,
    st.none() | st.builds(ErrorInfo, texts, texts, st.none() | texts),
)


def end_of(outcome: Outcome) -> ServerSentEvent:
    """Render an outcome as the native end."""
    (event,) = render_end(NATIVE.renderer(RenderContext()), outcome)
    return event


def read(data: str | None) -> Outcome | None:
    """Read an end with this data."""
    return NATIVE.outcome_of(ServerSentEvent(data, event="end"))


def test_what_edges_ask_of_it() -> None:
    """The dialect has ids, resumes at an offset, needs no headers, and its heartbeat is one comment line (FN 2)."""
    assert isinstance(NATIVE, Dialect)
    assert (NATIVE.name, NATIVE.has_ids, NATIVE.resume, dict(NATIVE.headers)) == ("native", True, "offset", {})
    assert NATIVE.heartbeat == b": ping\n"


def test_the_heartbeat_means_nothing_to_a_reader() -> None:
    """A heartbeat between two events, at any place between them, changes neither of them and adds none."""
    stream = NATIVE.heartbeat.join([b"", b"data: 1\n\n", b"data: 2\n\n", b""])
    assert decode(bytewise(stream)) == [ServerSentEvent("1"), ServerSentEvent("2")]


def test_frames_as_they_are_sent() -> None:
    """A record is its frame behind one id line; a replay prefixes cursors and concatenates."""
    records = [event_of(TextDelta("Hi")), event_of(ToolCallDelta("{}", id="c1")), ServerSentEvent("own\ndata")]
    replay = b"".join(
        b"id: %s\n%s" % (str(Cursor("k3Jx9-Qa", offset)).encode(), frame(record))
        for offset, record in enumerate([*records, end_of(Outcome("completed", "stop"))], 1)
    )
    assert replay == (
        b'id: k3Jx9-Qa:1\nevent: text\ndata: {"text":"Hi"}\n\n'
        b'id: k3Jx9-Qa:2\nevent: tool_call\ndata: {"arguments":"{}","id":"c1"}\n\n'
        b"id: k3Jx9-Qa:3\ndata: own\ndata: data\n\n"
        b'id: k3Jx9-Qa:4\nevent: end\ndata: {"status":"completed","reason":"stop","error":null}\n\n'
    )
    decoder = EventDecoder()
    events = decoder.feed(replay)
    assert [event.replace(id=None) for event in events[:3]] == records
    assert (decoder.last_event_id, NATIVE.outcome_of(events[3])) == ("k3Jx9-Qa:4", Outcome("completed", "stop"))


def test_the_exact_end() -> None:
    """The end is exactly these bytes: status, reason, and an error with code, message and error id, or null."""
    late = ErrorInfo("late", "Late.", "ab12", 504)
    wrong = ErrorInfo("wrong", 'Ü "a"\n')
    for outcome, payload in (
        (Outcome("completed"), '{"status":"completed","reason":null,"error":null}'),
        (Outcome("completed", "stop"), '{"status":"completed","reason":"stop","error":null}'),
        (Outcome("cancelled", "user"), '{"status":"cancelled","reason":"user","error":null}'),
        (Outcome("lost", "shutdown"), '{"status":"lost","reason":"shutdown","error":null}'),
        (
            Outcome("timed_out", "idle", late),
            '{"status":"timed_out","reason":"idle","error":{"code":"late","message":"Late.","error_id":"ab12"}}',
        ),
        (
            Outcome("failed", "error", wrong),
            r'{"status":"failed","reason":"error","error":{"code":"wrong","message":"Ü \"a\"\n","error_id":null}}',
        ),
    ):
        assert end_of(outcome).encode() == f"event: end\ndata: {payload}\n\n".encode()


@examples(200)
@given(outcomes)
def test_an_outcome_is_read_back(outcome: Outcome) -> None:
    """I10: an outcome is read back from its end as it was; the HTTP status of an error stays on the server."""
    (arrived,) = decode(bytewise(end_of(outcome).encode()))
    assert arrived.outcome is None
    error = outcome.error
    info = error and ErrorInfo(
        received(error.code), received(error.message), error.error_id and received(error.error_id)
    )
    reason = outcome.reason and received(outcome.reason)
    assert NATIVE.outcome_of(arrived) == Outcome(outcome.status, reason, info)


def test_an_end_that_carries_its_outcome_is_not_parsed() -> None:
    """An end that a combinator recognised already says what it carries."""
    outcome = Outcome("failed", "error", ErrorInfo("code", "message", None, 418))
    assert NATIVE.outcome_of(ServerSentEvent("not JSON", event="end", outcome=outcome)) is outcome


def test_a_gap_is_refused() -> None:
    """I7: `gap` is ours: a source that uses the name is refused, whatever its data."""
    for data in ("", None, '{"after":1,"next":5,"reason":"trimmed"}'):
        with pytest.raises(InvalidEventError, match="is reserved for lost records; choose another name"):
            NATIVE.outcome_of(ServerSentEvent(data, event="gap"))


GOOD: dict[str, Any] = {"status": "failed", "reason": None, "error": {"code": "c", "message": "m", "error_id": None}}


def test_an_end_without_an_outcome_is_refused() -> None:
    """I2: `end` is ours: a source that uses the name for something else is refused, and never half understood."""
    assert read(json.dumps(GOOD)) == Outcome("failed", None, ErrorInfo("c", "m"))
    bad: list[Any] = ["", "{}", "null", "[]", "5", "nonsense", "[" * 100_000, '{"status":"completed"}', None]
    no_text: list[Any] = [5, True, [], {"a": 1}]
    for field in ("status", "reason", "error"):
        bad.append(json.dumps({key: value for key, value in GOOD.items() if key != field}))
        bad += [json.dumps({**GOOD, field: value}) for value in (*no_text, ["failed"], "running")]
    bad.remove(json.dumps({**GOOD, "reason": "running"}))
    for field in ("code", "message", "error_id"):
        error = GOOD["error"]
        bad.append(json.dumps({**GOOD, "error": {key: value for key, value in error.items() if key != field}}))
        bad += [json.dumps({**GOOD, "error": {**error, field: value}}) for value in no_text]
    for data in bad:
        with pytest.raises(InvalidEventError, match="is reserved for the outcome; choose another name"):
            read(data)


@examples(200)
@given(texts)
def test_any_end_is_an_outcome_or_an_error(data: str) -> None:
    """Whatever a source sends as `end`, reading it gives an outcome or `InvalidEventError`."""
    with pytest.raises(InvalidEventError):
        read(data)


def test_more_fields_of_an_end_are_ignored() -> None:
    """A newer relay may say more in its end."""
    more = {**GOOD, "usage": 5, "error": {**GOOD["error"], "retry": True}}
    assert read(json.dumps(more)) == Outcome("failed", None, ErrorInfo("c", "m"))


def test_no_other_event_is_an_end() -> None:
    """Seed defect 12: only the exact name counts; `[DONE]`, `error` and the end's own words inside data do not."""
    payload = '{"status":"completed","reason":"stop","error":null}'
    for name in (None, "", "End", "end ", " end", "ended", "error", "error_recovered", "message", "text", "finish"):
        for data in (payload, "[DONE]", f"event: end\ndata: {payload}", "x\n\nevent: end"):
            event = ServerSentEvent(data, event=name)
            assert NATIVE.outcome_of(event) is None
            (arrived,) = decode([event.encode()])
            assert NATIVE.outcome_of(arrived) is None


def test_a_finish_states_the_reason_ahead() -> None:
    """The reason of a `finish` becomes the outcome's, unless the end states one; a broken `finish` is an error."""
    assert NATIVE.reason_of(event_of(Finish("length"))) == "length"
    assert NATIVE.reason_of(event_of(TextDelta("x"))) is None
    with pytest.raises(InvalidEventError):
        NATIVE.reason_of(ServerSentEvent("{}", event="finish"))
    for said, expected in ((None, "length"), ("stop", "stop")):
        recogniser = Recogniser(NATIVE)
        assert recogniser.outcome_of(event_of(Finish("length"))) is None
        assert recogniser.completed() == Outcome("completed", "length")
        (end,) = decode([end_of(Outcome("completed", said)).encode()])
        assert recogniser.outcome_of(end) == Outcome("completed", expected)


def test_marks_hide_nothing() -> None:
    """The names worth a look are all the names that mean something: any other event has no outcome and no reason."""
    assert NATIVE.marks == {"end", "gap", "finish"}
    for name in (None, "", "text", "usage", "tool_call", "own"):
        event = ServerSentEvent("{}", event=name)
        assert (NATIVE.outcome_of(event), NATIVE.reason_of(event)) == (None, None)


def test_records_pass_through() -> None:
    """Rendering for a native reader changes nothing: no preamble, each record as it is, whatever the run."""
    renderer = NATIVE.renderer(RenderContext("r1", "abcdefgh", 1.0, {"a": 1}))
    assert list(renderer.preamble()) == []
    for offset, event in enumerate((event_of(TextDelta("x")), ServerSentEvent("own", event="own", id="1")), 1):
        (rendered,) = renderer.event(offset, event)
        assert rendered is event
