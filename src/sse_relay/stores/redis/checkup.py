"""
Look at a server before anybody relies on it.

It is asked what it is and how it is set up; then a run is tried there: what a server refuses, for whatever reason, it
refuses here first.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.protocol import StreamStore
from sse_relay.stores.redis.connection import Connection, Connector, Node, border
from sse_relay.stores.redis.findings import Finding, Told, judged
from sse_relay.stores.redis.topology import Topology
from sse_relay.stores.redis.trial import tried

__all__ = ["checkup"]

_SETTINGS = ("appendfsync", "save", "min-replicas-to-write")


async def checkup(
    connector: Connector, topology: Topology | None, trial: StreamStore, deadline: float
) -> list[Finding]:
    """
    Look at a server, or at each primary of a Cluster.

    Args:
        connector: Makes connections.
        topology: Knows the primaries; None: there is one server.
        trial: A store there that soon forgets its runs; it is closed.
        deadline: How long a server has for each thing, in seconds.

    Returns:
        What was found, in the order in which it is best read.

    Raises:
        StoreUnavailableError: A server cannot be reached.
    """
    try:
        findings: list[Finding] = []
        for node in [None] if topology is None else await _primaries(topology, deadline):
            of_node = judged(await _told(connector, node, deadline))
            findings += of_node if node is None else [_of(node, finding) for finding in of_node]
        return findings + await tried(trial, deadline)
    finally:
        await trial.aclose()


async def _primaries(topology: Topology, deadline: float) -> list[Node]:
    await topology.learn(deadline)
    if not (nodes := topology.owners()):
        raise StoreUnavailableError(f"no primary of the Cluster is known: {topology.problem}")
    return sorted(nodes)


def _of(node: Node, finding: Finding) -> Finding:
    return replace(finding, subject=f"{finding.subject} of {node.host}:{node.port}")


async def _told(connector: Connector, node: Node | None, deadline: float) -> Told:
    connection = await connector.connect(node)
    try:
        async with border(), asyncio.timeout(deadline):
            return await _asked(connection, cluster=node is not None)
    finally:
        with suppress(RedisError, OSError, TimeoutError):
            await connection.disconnect(nowait=True)


async def _asked(connection: Connection, *, cluster: bool) -> Told:
    refused: dict[str, str] = {}

    async def ask(name: str, *command: str) -> Any:  # noqa: ANN401 - whatever the server says
        await connection.send_packed_command(connection.pack_command(*command), check_health=False)
        try:
            return await connection.read_response()
        except ResponseError as error:
            refused[name] = str(error)

    info: bytes = await ask("INFO", "INFO") or b""
    settings = {name: await ask("CONFIG GET", "CONFIG", "GET", name) for name in _SETTINGS}
    await ask("EVAL", "EVAL", "return 1", "0")
    asked_at = time.time()
    clock: list[bytes] | None = await ask("TIME", "TIME")
    ours = (asked_at + time.time()) / 2
    return Told(
        dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line),
        {name: said[1].decode() for name, said in settings.items() if said},
        refused,
        None if clock is None else int(clock[0]) + int(clock[1]) / 1e6 - ours,
        cluster=cluster,
    )
