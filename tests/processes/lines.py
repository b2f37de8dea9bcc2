"""What a process of ours is told and says: a JSON object a line, on its standard input and output."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any

_MOST = 1 << 16


def say(**told: object) -> None:
    """Say something; a line is short enough to be written whole, whoever else writes."""
    os.write(1, json.dumps(told).encode() + b"\n")


async def commands() -> AsyncGenerator[dict[str, Any], None]:
    """Hear what is told, until nobody is there to tell any more."""
    reader = asyncio.StreamReader(limit=_MOST)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()


def errors_only() -> None:
    """Log mistakes of the library, and not that its store is away: whatever is written there is looked at."""
    logging.getLogger("sse_relay").setLevel(logging.ERROR)
