"""
One function a decoder: chunks in, its events out.

Each is driven as its own package drives it. What is not installed is left out.
"""

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from typing import Any

from sse_relay import EventDecoder

__all__ = ["DECODERS", "OURS", "Decode", "installed"]

Decode = Callable[[Sequence[bytes]], Iterator[Any]]
"""Reads one stream; what it yields has ``data``, ``event`` and ``id``."""

OURS = "sse_relay"
_ANY_SIZE = 1 << 30


def _sse_relay() -> Decode:
    return lambda stream: chain.from_iterable(map(EventDecoder(_ANY_SIZE).feed, stream))


def _openai() -> Decode:
    streaming = import_module("openai._streaming")
    return lambda stream: streaming.SSEDecoder().iter_bytes(iter(stream))


def _anthropic() -> Decode:
    streaming = import_module("anthropic._streaming")
    return lambda stream: streaming.SSEDecoder().iter_bytes(iter(stream))


def _httpx_sse() -> Decode:
    httpx, httpx_sse = import_module("httpx"), import_module("httpx_sse")
    headers = {"content-type": "text/event-stream"}
    return lambda stream: httpx_sse.EventSource(httpx.Response(200, headers=headers, content=iter(stream))).iter_sse()


def _httpx_sse_alone() -> Decode:
    import_module("httpx")  # which httpx-sse imports, and does not require
    decoders = import_module("httpx_sse._decoders")

    def decode(stream: Sequence[bytes]) -> Iterator[Any]:
        text = getincrementaldecoder("utf-8")("replace").decode
        lines, events = decoders.SSELineDecoder().decode, decoders.SSEDecoder().decode
        for chunk in stream:
            for line in lines(text(chunk)):
                event = events(line)
                if event is not None:
                    yield event

    return decode


def _httpx2() -> Decode:
    httpx2 = import_module("httpx2")
    headers = {"content-type": "text/event-stream"}

    def decode(stream: Sequence[bytes]) -> Iterator[Any]:
        request = httpx2.Request("GET", "http://localhost")
        response = httpx2.Response(200, headers=headers, content=iter(stream), request=request)
        return iter(httpx2.EventSource(response, max_event_size=None))

    return decode


DECODERS: dict[str, Callable[[], Decode]] = {
    OURS: _sse_relay,
    "openai": _openai,
    "anthropic": _anthropic,
    "httpx-sse": _httpx_sse,
    "httpx-sse, no response": _httpx_sse_alone,
    "httpx2": _httpx2,
}
"""By name: makes the function, or raises ImportError where the package is not installed."""


def installed() -> dict[str, Decode]:
    """Return the decoders that are here."""
    found: dict[str, Decode] = {}
    for name, load in DECODERS.items():
        try:
            found[name] = load()
        except ImportError:
            continue
    return found
