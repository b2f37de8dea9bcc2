"""The faults again, over TLS: what hides in its records, and a server that cannot say who it is."""

import asyncio

import httpx2
import pytest

from sse_relay.client import ConnectionLostError, collect
from tests.client.peers import raw_server
from tests.reading.certificate import contexts
from tests.reading.faults import FAULTS
from tests.reading.gateway import Visit
from tests.reading.sockets import on_sockets
from tests.reading.test_faults import COMPLETED, LIVE, WORDS, read

BREAKING = [
    "none",
    "an end without a terminal",
    "reset",
    "closed in the middle of a chunk",
    "half-open",
    "black hole",
    "reset before the head",
    "one byte at a time",
    "open after the terminal",
]


@pytest.mark.parametrize("fault", BREAKING)
def test_what_a_reader_sees(fault: str) -> None:
    """I1, I2, I3, defect 20: a stream over TLS that breaks anywhere is whole, after as few requests as need be."""
    row = FAULTS[fault]

    async def main() -> None:
        ours, theirs = contexts()
        async with (
            asyncio.timeout(15),
            on_sockets(row.fault, *LIVE, ssl=ours) as gateway,
            httpx2.AsyncClient(verify=theirs) as client,
        ):
            assert await read(gateway.url, client=client, **gateway.options) == (WORDS, COMPLETED, None)
            assert len(gateway.visits) == row.asked

    asyncio.run(main())


def test_a_server_that_is_another() -> None:
    """I7: a certificate that nobody vouches for is final: nothing was asked, and nothing is asked again."""

    async def main() -> None:
        ours, _ = contexts()
        async with asyncio.timeout(15), on_sockets(Visit.forward, *WORDS, ssl=ours) as gateway:
            seen, _, error = await read(gateway.url, **gateway.options)
            assert (seen, type(error), len(gateway.visits)) == ([], httpx2.ConnectError, 0)
            result = await collect(gateway.url, **gateway.options)
            assert (type(result.error), result.not_resumed) == (httpx2.ConnectError, "refused")

    asyncio.run(main())


def test_a_handshake_that_never_ends() -> None:
    """Defect 20: a host that takes connections and shakes no hands is left after `read_timeout`."""

    async def mute(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with asyncio.timeout(15), raw_server(mute) as url:
            _, _, error = await read(url.replace("http:", "https:"), read_timeout=0.2, fail_fast=True)
            assert isinstance(error, ConnectionLostError)
            assert isinstance(error.original, httpx2.ConnectTimeout)

    asyncio.run(main())
