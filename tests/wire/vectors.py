"""
What the parser cases of the web platform tests for EventSource establish, and a few more, as streams and their meaning.

https://github.com/web-platform-tests/wpt/tree/master/eventsource names the cases; streams and expectations are worded
anew. Where a case shows its point by a reconnection, what would be sent with it (`last_event_id`, `retry`) is compared.
"""

from typing import NamedTuple

from sse_relay import ServerSentEvent as Event


class Vector(NamedTuple):
    """One stream, and what a reader has after it."""

    name: str
    stream: bytes
    events: list[Event]
    last_event_id: str = ""
    retry: int | None = None


def _text(*texts: str) -> list[Event]:
    return [Event(text) for text in texts]


_BOM = b"\xef\xbb\xbf"
_FILLER = b"x" * 2048

WEB_PLATFORM_TESTS = [
    Vector("format-bom", _BOM + b"data:1\n\n" + _BOM + b"data:2\n\ndata:3\n\n\n", _text("1", "3")),
    Vector("format-bom-2", _BOM + _BOM + b"data:1\n\ndata:2\n\ndata:3\n\n\n", _text("2", "3")),
    Vector(
        "format-comments",
        b"data:1\r:\0\n:\r\ndata:2\n:" + _FILLER + b"\rdata:3\n:data:fail\r:" + _FILLER + b"\ndata:4\n\n",
        _text("1\n2\n3\n4"),
    ),
    Vector(
        "format-data-before-final-empty-line",
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2\n",
        [Event("test1", retry=1000)],
        retry=1000,
    ),
    Vector("format-field-data", b"data:\n\ndata\ndata\n\ndata:test\n\n\n", _text("", "\n", "test")),
    Vector("format-field-event", b"event:test\ndata:x\n\ndata:x\n\n\n", [Event("x", event="test"), Event("x")]),
    Vector("format-field-event-empty", b"event: \ndata:data\n\n\n", [Event("data", event="")]),
    Vector(
        "format-field-id",
        "id: …\nretry: 200\ndata: hello\n\n".encode(),
        [Event("hello", id="…", retry=200)],
        "…",
        200,
    ),
    Vector(
        "format-field-id-2",
        "id: …\nretry: 200\ndata: hello\n\ndata: …\n\ndata: …\n\n".encode(),
        [Event("hello", id="…", retry=200), Event("…"), Event("…")],
        "…",
        200,
    ),
    Vector("format-field-id-3, persists", b"id: 1\ndata: 1\n\ndata:2\n\n", [Event("1", id="1"), Event("2")], "1"),
    Vector(
        "format-field-id-3, changes and persists",
        b"id: 1\ndata: 1\n\nid: 2\ndata:2\n\ndata:3\n\n",
        [Event("1", id="1"), Event("2", id="2"), Event("3")],
        "2",
    ),
    Vector(
        "format-field-id-3, resets",
        b"id: 1\ndata: 1\n\nid:\ndata:2\n\ndata:3\n\n",
        [Event("1", id="1"), Event("2", id=""), Event("3")],
        "",
    ),
    Vector(
        "format-field-id-null, alone", b"id: \0\0\nretry: 200\ndata: hello\n\n", [Event("hello", retry=200)], "", 200
    ),
    Vector("format-field-id-null, at the end", b"id: x\0\ndata: hello\n\n", _text("hello")),
    Vector("format-field-id-null, in front", b"id: \0x\ndata: hello\n\n", _text("hello")),
    Vector("format-field-id-null, inside", b"id: x\0x\ndata: hello\n\n", _text("hello")),
    Vector(
        "format-field-parsing",
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata:4\n\n",
        _text("\0\n 2\n1\n3\n\n4"),
    ),
    Vector("format-field-retry", b"retry:02000\ndata:x\n\n\n", [Event("x", retry=2000)], retry=2000),
    Vector("format-field-retry-bogus", b"retry:2000\nretry:1000x\ndata:x\n\n\n", [Event("x", retry=2000)], retry=2000),
    Vector("format-field-retry-empty", b"retry\ndata:test\n\n\n", _text("test")),
    Vector(
        "format-field-unknown",
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n\n",
        _text("test\n\ntest"),
    ),
    Vector("format-leading-space", b"data:\ttest\rdata: \ndata:test\n\n\n", _text("\ttest\n\ntest")),
    Vector("format-newlines", b"data:test\r\ndata\ndata:test\r\n\r", _text("test\n\ntest")),
    Vector("format-null-character", b"data:\0\n\n\n\n", _text("\0")),
    Vector("format-utf-8", "data:ok…\n\n\n".encode(), _text("ok…")),
    Vector(
        "event-data",
        b"data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
        _text("msg\nmsg", "", "end"),
    ),
    Vector("field-name-event", b"event: testevent\ndata: x\n\n", [Event("x", event="testevent")]),
]

MORE = [
    Vector("nothing", b"", []),
    Vector("a mark of the byte order that is cut off", b"\xef\xbb", []),
    Vector("what begins like a mark of the byte order", b"\xef\xbbdata:1\n\ndata:2\n\n", _text("2")),
    Vector("a mark of the byte order inside data", b"data:" + _BOM + b"\n\n", _text("\ufeff")),
    Vector("an id without data still counts", b"id: 7\n\n", [], "7"),
    Vector("an id that is cut off does not", b"id: 1\ndata:x\n\nid: 2\nretry: 3\n", [Event("x", id="1")], "1"),
    Vector("a name does not reach the next event", b"event:a\n\ndata:x\n\n", _text("x")),
    Vector(
        "the last of several ids and names", b"id:1\nid:2\nevent:a\nevent:b\ndata\n\n", [Event(id="2", event="b")], "2"
    ),
    Vector("an id with NUL leaves the one before it", b"id:1\nid:2\0\ndata\n\n", [Event(id="1")], "1"),
    Vector("retry without data still counts", b"retry: 5\n\ndata: x\n\n", _text("x"), retry=5),
    Vector(
        "retry in other digits", "retry: ٣\nretry: ²\nretry: +1\nretry: 1_0\nretry: -1\ndata\n\n".encode(), _text("")
    ),
    Vector("retry with two spaces", b"retry:  5\ndata\n\n", _text("")),
    Vector("retry of thousands of digits", b"retry: " + b"9" * 5000 + b"\ndata\n\n", _text("")),
    Vector("a colon in the value", b"data:a:b\ndata: : c\n\n", _text("a:b\n: c")),
    Vector(
        "one space is taken of each field",
        b"id:  1\nevent:  e \ndata:  x\n\nid:\nevent:\ndata:\n\nid: \nevent: \ndata: \n\n",
        [Event(" x", event=" e ", id=" 1"), Event(id="", event=""), Event(id="", event="")],
    ),
    Vector(
        "the order of the fields does not matter",
        b"data:1\nevent:a\nid:1\n\nevent:b\nid:2\ndata:2\n\nid:3\ndata:3\nretry:3\n\nid:4\0\nevent:d\ndata:4\n\n",
        [
            Event("1", event="a", id="1"),
            Event("2", event="b", id="2"),
            Event("3", id="3", retry=3),
            Event("4", event="d"),
        ],
        "3",
        3,
    ),
    Vector(
        "line breaks of Unicode are data, in two lines too",
        "id:\x0b\x0c\ndata:\x1c\x1d\x1e\ndata:\x85\u2028\u2029\n\n".encode(),
        [Event("\x1c\x1d\x1e\n\x85\u2028\u2029", id="\x0b\x0c")],
        "\x0b\x0c",
    ),
    Vector("one space is taken, the next stays", b"data:  a \n\n", _text(" a ")),
    Vector("CR alone ends lines and events", b"data:1\rdata:2\r\rdata:3\r\r", _text("1\n2", "3")),
    Vector("CRLF ends lines and events", b"data:1\r\ndata:2\r\n\r\ndata:3\r\n\r\n", _text("1\n2", "3")),
    Vector(
        "a blank line of each kind in turn",
        b"data:1\n\r\ndata:2\r\n\ndata:3\r\r\ndata:4\n\r",
        _text("1", "2", "3", "4"),
    ),
    Vector(
        "line breaks of Unicode are data",
        "data:\x0b\x0c\x1c\x85\u2028\u2029\n\n".encode(),
        _text("\x0b\x0c\x1c\x85\u2028\u2029"),
    ),
    Vector(
        "bytes that are not UTF-8",
        b"data:\xff\xe2\x82\ndata:\xed\xa0\x80\xf0\x9f\n\n",
        _text("\ufffd\ufffd\n\ufffd\ufffd\ufffd\ufffd"),
    ),
    Vector(
        "half a character does not take the line break along",
        b"data:\xe2\n\ndata:\xf0\x9f\x98\r\r",
        _text("\ufffd", "\ufffd"),
    ),
    Vector(
        "characters of two, three and four bytes",
        "id:é\nevent:€\ndata:😀\n\n".encode(),
        [Event("😀", event="€", id="é")],
        "é",
    ),
    Vector("heartbeats around an event", b": ping\n: ping\n\n:\ndata:x\n: ping\n\n: ping\n", _text("x")),
    Vector("blank lines around an event", b"\n\r\n\r\r\ndata:x\n\n\n\n\r", _text("x")),
]
