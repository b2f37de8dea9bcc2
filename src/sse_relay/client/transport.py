"""
One connection: a request out, bytes in, each within a deadline.

The deadlines are ours, and not the HTTP client's: they hold for any client, on any clock, and from the first packet on,
so that neither a host that swallows packets nor a connection that is open on this side only holds a reader up. To
connect, the client has a shorter one of its own: what fails so was not sent.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from sse_relay.client.answers import Answer, opens_stream
from sse_relay.client.place import Request
from sse_relay.exceptions import IdleTimeoutError
from sse_relay.runs.deadline import Deadline

__all__ = ["Client", "Connection", "ask", "make_client"]

_logger = logging.getLogger("sse_relay")

# Of the deadline, once for TCP and once for TLS. httpcore closes what it gives up itself, not a handshake cancelled.
_TO_CONNECT = 0.4
_CLOSING = 2.0  # seconds; a peer that is gone does not answer a TLS close
_MAX_BODY = 64 * 1024  # of an answer that is no stream
_HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store"}


class Client(Protocol):
    """What is used of an HTTP client: ``httpx2.AsyncClient`` and ``httpx.AsyncClient`` have it."""

    @property
    def build_request(self) -> Callable[..., Any]:
        """Make a request of method, url, headers, json and timeout."""
        ...

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """Send it; with stream and follow_redirects."""
        ...

    @property
    def aclose(self) -> Callable[[], Awaitable[None]]:
        """Close all connections."""
        ...


def make_client() -> Client:
    """
    Make the client that is used where the caller brings none.

    Raises:
        ImportError: httpx2 is not installed.
    """
    try:
        import httpx2  # noqa: PLC0415 - who brings a client of their own needs none
    except ImportError as error:
        advice = "install sse-relay[client], or pass client=, an AsyncClient of httpx"
        raise ImportError(f"the client needs httpx2: {advice}") from error
    return httpx2.AsyncClient()


class Connection:
    """
    One response.

    Args:
        response: As `send` gave it, not read yet.
        read_timeout: How long the peer may be silent, in seconds.
    """

    def __init__(self, response: Any, read_timeout: float) -> None:  # noqa: ANN401 - of the caller's client
        self._response = response
        self._read_timeout = read_timeout
        self._deadline = Deadline(read_timeout)
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        plain = self.headers.get("content-encoding", "identity") == "identity"
        self._chunks: AsyncGenerator[bytes, None] = response.aiter_raw() if plain else response.aiter_bytes()

    @property
    def is_stream(self) -> bool:
        """Whether events follow."""
        return opens_stream(self.status, self.headers)

    async def chunk(self) -> bytes | None:
        """
        Read what comes next; None: the body is over.

        Raises:
            IdleTimeoutError: Nothing came in time.
            Exception: The client's own, when the connection broke.
        """
        try:
            with self._deadline:
                return await anext(self._chunks, None)
        except TimeoutError as error:
            if isinstance(error.__context__, asyncio.CancelledError):  # of the deadline, and not the client's own
                raise IdleTimeoutError(self._read_timeout) from error
            raise

    async def answer(self) -> Answer:
        """Read a response that is no stream, as far as it comes."""
        body = bytearray()
        with suppress(Exception):
            while len(body) < _MAX_BODY and (chunk := await self.chunk()) is not None:
                body += chunk
        return Answer(str(self._response.url), self.status, self.headers, bytes(body[:_MAX_BODY]))

    async def aclose(self) -> None:
        """Close it, whatever state it is in."""
        self._deadline.close()
        try:
            await _closed(self._chunks.aclose)
        finally:
            await _closed(self._response.aclose)
        await asyncio.sleep(0)  # httpx leaves generators of its own to the loop, which closes them in its next turn


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSING):
            await close()
    except Exception:
        _logger.debug("a connection could not be closed in order", exc_info=True)


async def ask(client: Client, request: Request, read_timeout: float) -> Connection:
    """
    Send a request, and wait for the head of the response; redirects are followed.

    Raises:
        IdleTimeoutError: It did not come in time.
        Exception: The client's own.
    """
    prepared = client.build_request(
        request.method,
        request.url,
        headers={**_HEADERS, **request.headers},
        json=request.json,
        timeout=(_TO_CONNECT * read_timeout, None, None, None),
    )
    deadline = asyncio.timeout(read_timeout)
    try:
        async with deadline:
            response = await client.send(prepared, stream=True, follow_redirects=True)
    except TimeoutError as error:
        if deadline.expired():
            raise IdleTimeoutError(read_timeout) from error
        raise
    return Connection(response, read_timeout)
