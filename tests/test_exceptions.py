"""Every error is in one tree, holds fields, says what to do, and survives being sent to another process."""

import builtins
import copy
import inspect
import pickle
import re

import sse_relay
from sse_relay import Cursor, ServerSentEvent, exceptions
from sse_relay.exceptions import (
    ChannelClosedError,
    ChannelFullError,
    ConnectionLostError,
    CursorMismatchError,
    DrainingError,
    EventTooLargeError,
    IdempotencyConflictError,
    IdleTimeoutError,
    InvalidCursorError,
    InvalidEventError,
    ResponseRefusedError,
    RunConflictError,
    RunExpiredError,
    RunNotFoundError,
    ServerBusyError,
    SSERelayError,
    StoreContractError,
    StoreUnavailableError,
    StreamCancelledError,
    StreamIncompleteError,
)

CUT = IdleTimeoutError(45)
URL = "http://peer/events"

# One of each, and the words of its sentence that say what to do about it.
ERRORS: list[tuple[SSERelayError, str]] = [
    (InvalidCursorError("7"), "send back the last event id unchanged, or none to start over"),
    (InvalidEventError("id", "a\n", "must not contain a line break; remove it"), "remove it"),
    (EventTooLargeError(10, [ServerSentEvent("x", id="1")]), "split it, or raise max_event_bytes"),
    (CursorMismatchError(Cursor("abcdefgh", 7), "rolled_back"), "discard what was read and start over"),
    (CursorMismatchError("abcdefgh:7", "foreign"), "discard what was read and start over"),
    (RunNotFoundError("r1"), "check the id, and that this store is the one"),
    (RunExpiredError("r1"), "start a new one, or keep logs longer with retention="),
    (RunConflictError("k", "r1"), 'subscribe to it, cancel it, or start with on_conflict="join" or "replace"'),
    (IdempotencyConflictError("i", "r1"), "use a new key for a new request"),
    (DrainingError(), "send the request to another process"),
    (StreamCancelledError("user"), "keep what was read; nothing more comes"),
    (StreamIncompleteError("openai_chat"), "treat what came as incomplete"),
    (IdleTimeoutError(2.5), "allow more, or make it yield progress"),
    (ChannelClosedError(), "stop the callbacks before closing it"),
    (ChannelFullError(8), 'read faster, or use on_full="wait"'),
    (StoreUnavailableError("connection refused"), "retry, or check its health"),
    (StoreUnavailableError(), "retry, or check its health"),
    (StoreContractError("offset 3 after 1"), "run sse_relay.testing's store contract against it"),
    (ConnectionLostError("max_retries", CUT), "(IdleTimeoutError) and not resumed: the retries are used up"),
    (ConnectionLostError("not_repeatable", CUT), "look for the run"),
    (ResponseRefusedError(URL, 403, "forbidden", "Not yours."), "403 (forbidden: Not yours.); check the address"),
    (ResponseRefusedError(URL, 500), "500; check the address and the permissions"),
    (ServerBusyError(URL, 503, retry_after=2.0), "503; it is asked again"),
]
RETRYABLE = {
    ChannelFullError,
    ConnectionLostError,
    DrainingError,
    IdleTimeoutError,
    ServerBusyError,
    StoreUnavailableError,
    StreamIncompleteError,
}


def classes() -> set[type[SSERelayError]]:
    """Every public error that the module defines."""
    found = {value for _, value in inspect.getmembers(exceptions, inspect.isclass)}
    return {cls for cls in found if issubclass(cls, SSERelayError) and not cls.__name__.startswith("_")}


def drawn() -> dict[str, tuple[str, set[str]]]:
    """The tree in the module's docstring: each error, with what it is below, and the built-in error that it is, too."""
    lines = re.findall(r"^    ([ │]*)[├└]── (\w+) +(?:\((\w+)\))?", exceptions.__doc__ or "", re.MULTILINE)
    above = ["SSERelayError"]
    found: dict[str, tuple[str, set[str]]] = {}
    for indent, name, builtin in lines:
        depth = len(indent) // 4 + 1
        above[depth:] = [name]
        found[name] = above[depth - 1], {builtin} - {""}
    return found


def test_the_tree_is_the_one_that_is_drawn() -> None:
    """The docstring draws every error and no other, each below its base, with its built-in one."""
    found = {cls.__name__: cls for cls in classes() - {SSERelayError}}
    assert drawn().keys() == found.keys()
    for name, cls in found.items():
        parent, builtin = drawn()[name]
        assert {base.__name__ for base in cls.__bases__ if hasattr(builtins, base.__name__)} == builtin
        assert not builtin & {base.__name__ for base in SSERelayError.__mro__}
        assert next(base.__name__ for base in cls.__mro__[1:] if base in classes()) == parent


def test_every_error_is_exported() -> None:
    """Each error can be imported from its module's `__all__`, and from the package."""
    assert set(exceptions.__all__) == {cls.__name__ for cls in classes()}
    for name in exceptions.__all__:
        assert getattr(sse_relay, name) is getattr(exceptions, name)


def test_there_is_an_example_of_each() -> None:
    """These tests look at every error there is."""
    assert {type(error) for error, _ in ERRORS} == classes() - {SSERelayError}


def test_the_sentence_says_what_to_do() -> None:
    """The sentence of an error is one line that says what to do; its arguments alone would not help anyone."""
    for error, advice in ERRORS:
        assert advice in str(error)
        assert "\n" not in str(error)
        assert repr(error).startswith(type(error).__name__)


def test_errors_survive_pickling_and_copying() -> None:
    """An error crosses processes, as worker pools need, with its type, its fields, its sentence and its notes."""
    for example, _ in ERRORS:
        error = copy.copy(example)
        assert error.args == example.args
        error.add_note("noted")
        for found in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(found) is type(error)
            assert (str(found), repr(found), repr(vars(found))) == (str(error), repr(error), repr(vars(error)))
            assert found.__notes__ == ["noted"]


def test_an_error_of_an_application_survives_pickling() -> None:
    """A subclass with fields of its own, keyword-only even, crosses processes too."""
    found = pickle.loads(pickle.dumps(OwnError("r1", limit=3)))
    assert (type(found), found.run_id, found.limit) == (OwnError, "r1", 3)


class OwnError(RunNotFoundError):
    """An error of an application, with a field of its own."""

    def __init__(self, run_id: str, *, limit: int) -> None:
        super().__init__(run_id)
        self.limit = limit


def test_fields() -> None:
    """What a handler may want to know is a field, so that nobody parses a sentence."""
    fields = [
        vars(error)
        for error, _ in ERRORS
        if type(error) not in {InvalidEventError, EventTooLargeError, CursorMismatchError, ConnectionLostError}
    ]
    assert fields == [
        {"text": "7"},
        {"run_id": "r1"},
        {"run_id": "r1"},
        {"key": "k", "run_id": "r1"},
        {"idempotency_key": "i", "run_id": "r1"},
        {},
        {"reason": "user"},
        {"dialect": "openai_chat"},
        {"seconds": 2.5},
        {},
        {"capacity": 8},
        {"detail": "connection refused"},
        {"detail": ""},
        {"detail": "offset 3 after 1"},
        {"url": URL, "status": 403, "code": "forbidden", "detail": "Not yours."},
        {"url": URL, "status": 500, "code": None, "detail": None},
        {"url": URL, "status": 503, "code": None, "detail": None, "retry_after": 2.0},
    ]
    invalid = InvalidEventError("id", "a\n", "no")
    assert (invalid.field, invalid.value, invalid.problem) == ("id", "a\n", "no")
    large = EventTooLargeError(10, [ServerSentEvent("x")])
    assert (large.limit, large.events) == (10, (ServerSentEvent("x"),))
    mismatch = CursorMismatchError(Cursor("abcdefgh", 7), "foreign")
    assert (mismatch.cursor, mismatch.kind) == (Cursor("abcdefgh", 7), "foreign")
    lost = ConnectionLostError("max_retries", CUT)
    assert (lost.reason, lost.original) == ("max_retries", CUT)


def test_what_may_succeed_later_says_so() -> None:
    """`retryable` is true for the errors after which the same call may succeed without any change, and for no other."""
    assert {cls for cls in classes() if cls.retryable} == RETRYABLE


def test_a_cancellation_of_a_stream_is_no_cancellation_of_a_task() -> None:
    """`StreamCancelledError` is an ordinary error: the task that reads it goes on."""
    assert issubclass(StreamCancelledError, Exception)
    assert StreamCancelledError().reason == "cancelled"


def test_builtin_handlers_catch_what_they_would_expect() -> None:
    """Seed defect 18: who catches the built-in ConnectionError or TimeoutError catches the store's and the source's."""
    assert isinstance(StoreUnavailableError(), ConnectionError)
    assert isinstance(IdleTimeoutError(1), TimeoutError)
    assert isinstance(RunNotFoundError("r"), LookupError)
    assert isinstance(InvalidCursorError(""), ValueError)


class Unshowable:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_a_foreign_value_is_shown_shortly() -> None:
    """A value that a client sent is quoted and cut, so that it neither fills a log nor forges a line of it."""
    for value in ("x\n" * 1_000_000, b"x\n" * 1_000_000, ["x\n"] * 1_000, 10**5000, Unshowable()):
        for error in (InvalidCursorError(value), InvalidEventError("data", value, "must be str")):
            assert len(str(error)) < 500
            assert "\n" not in str(error)
    for name in (RunNotFoundError("r" * 5000), RunExpiredError("r" * 5000)):
        assert len(str(name)) < 250
