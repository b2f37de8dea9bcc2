"""How a stream comes over HTTP: whether the server is there, what its headers promise, who holds it back."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import httpx2

from sse_relay.commands.exits import Exit, UserError

__all__ = ["Observed", "Seen", "check_stream", "judged"]

_CONNECT_WITHIN = 10.0
_AT_ONCE = 1.0  # seconds: a stream of ours begins with a comment at once
_PIECES = 3  # that came apart are a stream
_APART = 0.02  # seconds
_UNBUFFER = "let no proxy hold it back: nginx proxy_buffering off, no compression of text/event-stream"


@dataclass(frozen=True, slots=True)
class Observed:
    """
    One thing about a stream.

    Attributes:
        level: ``ok``, ``info``, ``warning`` or ``error``.
        subject: What it is about.
        found: What was found.
        advice: What to do; empty: nothing.
    """

    level: str
    subject: str
    found: str
    advice: str = ""


@dataclass(slots=True)
class Seen:
    """
    An answer, as it came.

    Attributes:
        status: Its status.
        headers: Its headers, in lower case.
        waited: After how many seconds it began.
        pieces: After how many seconds each piece of the body came, and how long it was.
        ended: Whether the body ended while it was watched.
        cut: How the connection broke; empty: it did not.
    """

    status: int
    headers: Mapping[str, str]
    waited: float
    pieces: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    ended: bool = False
    cut: str = ""


async def check_stream(url: str, headers: Mapping[str, str], seconds: float) -> list[Observed]:
    """
    Ask for a stream, and watch it for a while.

    Raises:
        UserError: The URL is none.
    """
    began = time.monotonic()
    timeout = httpx2.Timeout(None, connect=_CONNECT_WITHIN)
    asked = {"accept": "text/event-stream", **headers}
    seen: Seen | None = None
    try:
        async with (
            asyncio.timeout(_CONNECT_WITHIN + seconds),
            httpx2.AsyncClient(timeout=timeout, follow_redirects=True) as client,
            client.stream("GET", url, headers=asked) as answer,
        ):
            lower = {name.lower(): value for name, value in answer.headers.items()}
            seen = Seen(answer.status_code, lower, time.monotonic() - began)
            async with asyncio.timeout(seconds):
                async for piece in answer.aiter_raw():
                    seen.pieces.append((time.monotonic() - began, len(piece)))
            seen.ended = True
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UserError("that is no URL of a stream: write https://host/path", Exit.MISUSED) from error
    except TimeoutError:
        pass  # it is watched for long enough
    except httpx2.HTTPError as error:
        if seen is None:
            return [_unreachable(str(error) or type(error).__name__)]
        seen.cut = str(error) or type(error).__name__
    if seen is None:
        return [_unreachable("no answer")]
    return list(judged(seen, seconds))


def judged(seen: Seen, seconds: float) -> Iterator[Observed]:
    """Judge an answer that was watched for so many seconds."""
    if seen.status != 200:
        yield _status(seen)
        return
    yield Observed("ok", "reached", f"200 after {1000 * seen.waited:.0f} ms")
    yield from _headers(seen.headers)
    yield _first_byte(seen, seconds)
    if seen.pieces:
        yield _flow(seen, seconds)


def _unreachable(why: str) -> Observed:
    return Observed("error", "reached", f"no: {why}", "check host, port and scheme, and that the server runs")


def _status(seen: Seen) -> Observed:
    match seen.status:
        case 204:
            return Observed("ok", "reached", "204: the run has ended, and nothing follows", "leave ?after= out")
        case 401 | 403:
            return Observed("error", "reached", f"{seen.status}: not for you", "add --header 'Authorization: …'")
        case 404:
            told = "check the path (…/runs/RUN/events); what is forbidden looks like this, too: add --header"
            return Observed("error", "reached", "404: there is nothing, or not for you", told)
        case 410:
            return Observed("error", "reached", "410: the run has expired", "start a new one, or keep logs longer")
        case 409:
            return Observed("error", "reached", "409: the log never had that cursor", "leave ?after= out")
        case _:
            return Observed("error", "reached", f"{seen.status}: no stream", "see the server's log")


def _headers(headers: Mapping[str, str]) -> Iterator[Observed]:
    kind = headers.get("content-type", "none")
    if kind.partition(";")[0].strip().lower() == "text/event-stream":
        yield Observed("ok", "content-type", kind)
    else:
        yield Observed("error", "content-type", kind, "browsers take text/event-stream only: is it the right path?")
    cached = headers.get("cache-control", "none").lower()
    if "no-store" in cached or "no-cache" in cached:
        yield Observed("ok", "cache-control", cached)
    else:
        yield Observed("warning", "cache-control", cached, "send Cache-Control: no-store, or a cache keeps a stream")
    if (encoding := headers.get("content-encoding", "identity")) != "identity":
        yield Observed("warning", "encoding", f"{encoding}: a compressor holds events back", _UNBUFFER)
    if headers.get("x-accel-buffering", "").lower() == "no":
        yield Observed("ok", "x-accel-buffering", "no")
    else:
        told = "send X-Accel-Buffering: no, unless an nginx in between took it, as it does when it obeys"
        yield Observed("info", "x-accel-buffering", headers.get("x-accel-buffering", "none"), told)


def _first_byte(seen: Seen, seconds: float) -> Observed:
    if seen.pieces:
        after = seen.pieces[0][0] - seen.waited
        told = f"{1000 * after:.0f} ms after the headers"
        return Observed("ok", "first byte", told) if after < _AT_ONCE else Observed(
            "warning", "first byte", told, _UNBUFFER
        )  # fmt: skip
    if seen.cut or seen.ended:
        return Observed("error", "first byte", f"none: {seen.cut or 'an empty body'}", "see the server's log")
    return Observed("warning", "first byte", f"none in {seconds:g} s, not even a heartbeat", _UNBUFFER)


def _flow(seen: Seen, seconds: float) -> Observed:
    size = sum(length for _, length in seen.pieces)
    times = [after for after, _ in seen.pieces]
    apart = 1 + sum(later - earlier > _APART for earlier, later in pairwise(times))
    told = f"{size} bytes in {apart} {'piece' if apart == 1 else 'pieces'}, over {times[-1] - seen.waited:.1f} s"
    if seen.cut:
        return Observed("error", "flow", f"{told}, then cut: {seen.cut}", "look for a timeout in between, under 60 s")
    if apart >= _PIECES:
        return Observed("ok", "flow", f"{told}: nothing holds it back")
    if seen.ended:
        return Observed("info", "flow", f"{told}, and its end", "a run that has ended says little: try a live one")
    return Observed("info", "flow", f"{told}, then silence", f"watch longer than {seconds:g} s: --seconds 30")
