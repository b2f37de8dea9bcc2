"""Each fault by its name, and what a reader has to make of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from sse_relay import EventTooLargeError, ResponseRefusedError, RunExpiredError, RunNotFoundError
from tests.reading.gateway import Cut, Fault, Truncated, Visit, silence

BOUND = 1 << 17
"""The largest event, where an endless one is sent."""


@dataclass(frozen=True)
class Row:
    """
    A fault, and what is documented for it.

    Attributes:
        fault: What happens to each answer.
        raises: The error that ends the stream after what had come; None: it is read whole, to its outcome.
        asked: How often the server is asked.
        code: The code in `collect`'s outcome, where the stream failed.
    """

    fault: Fault
    raises: type[Exception] | None = None
    asked: int = 1
    code: str | None = None


def cut_after(length: int) -> Fault:
    """Break the first answer after so many bytes: in order, by a reset, in the middle of a chunk; each in its turn."""

    async def fault(visit: Visit) -> None:
        if visit.number > 1:
            return await visit.forward()
        await _up_to(length, visit)
        match length % 3:
            case 1:
                raise Cut
            case 2:
                raise Truncated
        return None

    return fault


async def _up_to(length: int, visit: Visit) -> None:
    """Forward so many bytes of the body."""
    await visit.head()
    async for piece in visit.rest():
        await visit.write(piece[:length])
        length -= len(piece)
        if length <= 0:
            break


def _some(visit_count: int, then: Fault) -> Fault:
    """Let the first answers begin with two events, and then do that; the last one is as it should be."""

    async def fault(visit: Visit) -> None:
        if visit.number > visit_count:
            return await visit.forward()
        await visit.head()
        body = b""
        async for piece in visit.rest():
            body += piece
            if body.count(b"\n\n") >= 2:
                break
        await visit.write(b"\n\n".join([*body.split(b"\n\n")[:2], b""]))
        return await then(visit)

    return fault


def _at_first(visit_count: int, instead: Fault) -> Fault:
    """Do that to the first requests; the last one is answered as it should be."""

    async def fault(visit: Visit) -> None:
        await (instead if visit.number <= visit_count else Visit.forward)(visit)

    return fault


async def _half_open(_: Visit) -> None:
    await silence()


async def _reset(_: Visit) -> None:
    raise Cut


async def _truncated(_: Visit) -> None:
    raise Truncated


async def _end(_: Visit) -> None:
    pass


async def _endless_event(visit: Visit) -> None:
    await visit.write(b"data: ")
    while True:
        await visit.write(b"x" * 65_536)


async def _busy(visit: Visit) -> None:
    await visit.head(503, "text/plain", retry_after="1" if visit.number == 1 else "0")


async def _bad_gateway(visit: Visit) -> None:
    await visit.head(502, "text/html")
    await visit.write(b"<html>")


async def _redirect(visit: Visit) -> None:
    """Move each request once; break the first answer there."""
    if "moved" not in visit.path:
        return await visit.head(307, location=f"{visit.path}?moved=1")
    if visit.number > 2:
        return await visit.forward()
    return await _some(2, _reset)(visit)


async def _redirect_for_ever(visit: Visit) -> None:
    await visit.head(307, location=visit.path)


async def _bom(visit: Visit) -> None:
    await visit.head()
    await visit.write(b"\xef\xbb")
    await visit.write(b"\xbf")
    async for piece in visit.rest():
        await visit.write(piece)


async def _cr_only(visit: Visit) -> None:
    await visit.head()
    async for piece in visit.rest():
        await visit.write(piece.replace(b"\n", b"\r"))


async def _cr_lf_apart(visit: Visit) -> None:
    await visit.head()
    async for piece in visit.rest():
        for line in piece.splitlines(keepends=True):
            await visit.write(line.replace(b"\n", b"\r"))
            await visit.write(b"\n" if line.endswith(b"\n") else b"")


async def _bytewise(visit: Visit) -> None:
    await visit.head()
    async for piece in visit.rest():
        for byte in piece:
            await visit.write(bytes([byte]))


async def _all_at_once(visit: Visit) -> None:
    await visit.head()
    await visit.write(b"".join([piece async for piece in visit.rest()]))


async def _from_the_start(visit: Visit) -> None:
    """Ignore the last id: send the whole each time, and a little more of it."""
    visit.last_id = None
    await (visit.forward() if visit.number > 3 else _up_to(60 * visit.number, visit))


async def _open_after_the_end(visit: Visit) -> None:
    await visit.forward()
    await silence()


async def _talking_after_the_end(visit: Visit) -> None:
    await visit.forward()
    while True:
        await visit.write(b"id: 0123456789abcdef:99\nevent: text\ndata: more\n\n" * 100)


async def _gone_after_the_end(visit: Visit) -> None:
    await visit.forward()
    raise Truncated


def _status(status: int, content_type: str = "application/problem+json") -> Fault:
    async def fault(visit: Visit) -> None:
        await visit.head(status, content_type)

    return fault


FAULTS: Mapping[str, Row] = {
    "none": Row(Visit.forward),
    "an end without a terminal": Row(_some(3, _end), asked=4),
    "reset": Row(_some(3, _reset), asked=4),
    "closed in the middle of a chunk": Row(_some(3, _truncated), asked=4),
    "half-open": Row(_some(2, _half_open), asked=3),
    "a head, then a black hole": Row(_at_first(2, lambda visit: _after_head(visit, _half_open)), asked=3),
    "black hole": Row(_at_first(2, _half_open), asked=3),
    "reset before the head": Row(_at_first(3, _reset), asked=4),
    "503 with Retry-After": Row(_at_first(2, _busy), asked=3),
    "502 of a gateway": Row(_at_first(2, _bad_gateway), asked=3),
    "redirect": Row(_redirect, asked=4),
    "redirect for ever": Row(_redirect_for_ever, httpx2.TooManyRedirects, asked=21, code="refused"),
    "wrong content type": Row(_status(200, "text/html"), ResponseRefusedError, code="refused"),
    "no content type": Row(_status(200, ""), ResponseRefusedError, code="refused"),
    "404": Row(_status(404), RunNotFoundError, code="run_not_found"),
    "410": Row(_status(410), RunExpiredError, code="run_expired"),
    "403": Row(_status(403), ResponseRefusedError, code="refused"),
    "500": Row(_status(500), ResponseRefusedError, code="refused"),
    "404 in the middle": Row(
        lambda visit: (_some(1, _reset) if visit.number == 1 else _status(404))(visit),
        RunNotFoundError, asked=2, code="run_not_found",
    ),
    "BOM": Row(_bom),
    "CR only": Row(_cr_only),
    "CR and LF apart": Row(_cr_lf_apart),
    "one byte at a time": Row(_bytewise),
    "all of it in one piece": Row(_all_at_once),
    "all of it again each time": Row(_from_the_start, asked=4),
    "an endless event": Row(_some(1, _endless_event), EventTooLargeError, code="event_too_large"),
    "open after the terminal": Row(_open_after_the_end),
    "talking after the terminal": Row(_talking_after_the_end),
    "broken after the terminal": Row(_gone_after_the_end),
}  # fmt: skip


async def _after_head(visit: Visit, then: Fault) -> None:
    await visit.head()
    await then(visit)
