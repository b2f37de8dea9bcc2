"""What a request says, whatever it says."""

from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay import Cursor, InvalidCursorError
from sse_relay.adapters.requests import cursor_of, header_of, path_of, query_of
from tests.properties import examples

EPOCH = "0123456789abcdef"


def request(*, last_id: bytes | None = None, query: bytes = b"") -> dict[str, Any]:
    """Make the scope of a request."""
    headers = [] if last_id is None else [(b"last-event-id", last_id)]
    return {"type": "http", "headers": headers, "query_string": query}


# Headers and query


def test_a_header_is_found_by_its_name() -> None:
    """The first of a name counts, without the blanks around it; one that is empty is none."""
    scope = {"headers": [(b"x-a", b""), (b"x-b", b" \t1 2 "), (b"x-b", b"3"), (b"x-c", b"\xff\x00")]}
    assert header_of(scope, b"x-a") is None
    assert header_of(scope, b"x-b") == "1 2"
    assert header_of(scope, b"x-c") == "\xff\0"
    assert header_of(scope, b"x-d") is None


def test_a_query_has_fields() -> None:
    """Fields are decoded, the last of a name counts, and one may be empty; there may be no query at all."""
    assert query_of({"query_string": b"a=1&b=%C3%A9+%26&a=2&c="}) == {"a": "2", "b": "\xe9 &", "c": ""}
    assert query_of({}) == {}


def test_no_field_is_lost_among_many() -> None:
    """I7: behind a thousand other fields the cursor is still there: without it the client would get all of it again."""
    query = b"&".join(b"x%d=1" % number for number in range(1000)) + b"&after=7"
    assert cursor_of(request(query=query)) == 7


@given(st.binary(max_size=60))
@examples(300)
def test_a_query_of_any_bytes_is_read(query: bytes) -> None:
    """Whatever bytes a query has, reading it raises nothing."""
    assert all(isinstance(value, str) for value in query_of({"query_string": query}).values())


# The path


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/runs/1", "", "/runs/1"),
        ("/runs/1", None, "/runs/1"),
        ("/relay/runs/1", "/relay", "/runs/1"),
        ("/a/relay/runs/1", "/a/relay", "/runs/1"),
        ("/relay/runs/1", "/relay/", "/runs/1"),
        ("/runs/1", "/", "/runs/1"),
        ("/runs/1", "/relay", "/runs/1"),  # a proxy took it away
        ("/runs/1", "/run", "/runs/1"),  # and what is left begins alike
        ("/runs/runs/1", "/runs", "/runs/1"),
        ("/relay", "/relay", "/relay"),
        ("/relay/", "/relay", "/"),
        ("/relays/1", "/relay", "/relays/1"),
        ("", "", ""),
    ],
)
def test_the_path_is_told_below_the_mount(path: str, root: str | None, below: str) -> None:
    """What is mounted sees the path below its mount, whoever took the front of it away."""
    scope = {"path": path} if root is None else {"path": path, "root_path": root}
    assert path_of(scope) == below


# The cursor


@pytest.mark.parametrize(
    ("last_id", "query", "cursor"),
    [
        (None, b"", None),
        (None, b"after=", None),
        (b"", b"", None),
        (b"  ", b"after=3", 3),
        (None, b"after=0", 0),
        (None, b"after=17", 17),
        (None, b"after=999999999999999999", 10**18 - 1),
        (None, f"after={EPOCH}:17".encode(), Cursor(EPOCH, 17)),
        (None, f"after={EPOCH}%3A17".encode(), Cursor(EPOCH, 17)),
        (None, f"after=1&after={EPOCH}:2".encode(), Cursor(EPOCH, 2)),
        (f"{EPOCH}:17".encode(), b"", Cursor(EPOCH, 17)),
        (f"{EPOCH}:17".encode(), b"after=3", Cursor(EPOCH, 17)),
        (f"{EPOCH}:17".encode(), b"after=nonsense", Cursor(EPOCH, 17)),
        (f"{EPOCH}:0".encode(), b"after=3", Cursor(EPOCH, 0)),
    ],
)
def test_a_request_says_what_was_seen(last_id: bytes | None, query: bytes, cursor: Cursor | int | None) -> None:
    """I11: the header wins, also over a query that is nonsense: an EventSource repeats its first query for ever."""
    assert cursor_of(request(last_id=last_id, query=query)) == cursor


@pytest.mark.parametrize(
    "nonsense",
    [
        b"x", b"-1", b"+1", b" 7", b"1_0", b"01", b"1.0", b"1e3", b"0x1", b"1000000000000000000", b"9" * 5000,
        "١٢".encode(), "\N{FULLWIDTH DIGIT ONE}".encode(), b"None", b"null", f"{EPOCH}:".encode(),
        f"{EPOCH}:01".encode(), f"{EPOCH}:-1".encode(), f"{EPOCH} :1".encode(), f"{EPOCH}:1:2".encode(),
        b"short:1", b"x" * 41 + b":1", f"{EPOCH}:1\0".encode(), b"\xff\xfe", b"..%2f..:1",
    ],
    ids=lambda text: repr(text[-20:]),
)  # fmt: skip
def test_what_is_no_cursor_is_refused(nonsense: bytes) -> None:
    """I11: a malformed cursor is refused in the header and in the query, and never taken for none."""
    with pytest.raises(InvalidCursorError):
        cursor_of(request(query=b"after=" + quote_from_bytes(nonsense).encode()))
    with pytest.raises(InvalidCursorError):
        cursor_of(request(last_id=nonsense, query=b"after=1"))


def test_an_offset_alone_is_no_last_id() -> None:
    """I11: only a query may name an offset: what this library gave out as an id has an epoch."""
    with pytest.raises(InvalidCursorError):
        cursor_of(request(last_id=b"7"))


likely = st.from_regex(r"\A[ \t]?[A-Za-z0-9_.%+-]{6,42}:[0-9]{1,19}[ \t]?\Z", alphabet=st.characters(codec="ascii"))


@given(st.binary(max_size=70) | likely.map(str.encode))
@examples(500)
def test_any_bytes_are_a_cursor_or_refused(text: bytes) -> None:
    """I11: any bytes, as ``Last-Event-ID`` or as ``?after=``, are nothing, a place, or an InvalidCursorError."""
    for scope in (request(last_id=text), request(query=b"after=" + quote_from_bytes(text).encode())):
        try:
            cursor = cursor_of(scope)
        except InvalidCursorError:
            continue
        if cursor is None:
            assert not text.strip(b" \t")
        else:
            assert str(cursor).encode() == text.strip(b" \t")
