"""A fault a second, each drawn from a seed: the server's, the processes', and the wires' between them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from tests.processes.child import Child
from tests.processes.server import KeptServer
from tests.processes.wire import Wire

KINDS = (
    "server killed",
    "server frozen",
    "producer killed",
    "producer frozen",
    "viewers frozen",
    "cut before",
    "cut after",
    "ears cut",
    "deaf",
    "slow",
    "scripts flushed",
)


class Member(Protocol):
    """One process and its wire."""

    child: Child
    wire: Wire

    async def replace(self) -> None:
        """Kill it, and start another one in its place."""
        ...


@dataclass(frozen=True)
class Fault:
    """
    What is to happen.

    Attributes:
        at: When, in seconds from the beginning.
        kind: What.
        who: To which process, if to one.
        much: How bad it is, from 0 to 1.
    """

    at: float
    kind: str
    who: int
    much: float

    def __str__(self) -> str:
        return f"{self.at:.1f} s: {self.kind} ({self.who}, {self.much:.2f})"


def schedule(random: Random, seconds: float) -> list[Fault]:
    """Draw a fault a second, each kind as often as the others."""
    faults = list[Fault]()
    while len(faults) < seconds:
        for kind in random.sample(KINDS, len(KINDS)):
            faults.append(Fault(len(faults) + random.uniform(0, 0.9), kind, random.randrange(1000), random.random()))
    return faults[: int(seconds)]


class Faults:
    """
    Let faults happen.

    Args:
        server: The server of all.
        producers: Those who produce.
        viewers: Those who view.
        lease: How long a producer may be silent, in seconds.
    """

    def __init__(
        self, server: KeptServer, producers: Sequence[Member], viewers: Sequence[Member], lease: float
    ) -> None:
        self._server = server
        self._producers = producers
        self._viewers = viewers
        self._lease = lease
        self._server_is_mine = asyncio.Lock()
        self._frozen = set[Child]()

    async def strike(self, fault: Fault) -> None:
        """Let one happen; returns when it is over."""
        producer = self._producers[fault.who % len(self._producers)]
        viewers = self._viewers[fault.who % len(self._viewers)]
        member = [*self._producers, *self._viewers][fault.who % (len(self._producers) + len(self._viewers))]
        match fault.kind:
            case "server killed" | "server frozen" | "scripts flushed":
                async with self._server_is_mine:
                    await self._strike_server(fault)
            case "producer killed":
                await producer.replace()
            case "producer frozen":
                await self._freeze(producer.child, self._lease + 0.5 + fault.much)
            case "viewers frozen":
                await self._freeze(viewers.child, 1 + 2 * fault.much)
            case "cut before":
                member.wire.cut_next("before")
            case "cut after":
                member.wire.cut_next("after")
            case "ears cut":
                member.wire.cut_ears()
            case "deaf":
                member.wire.deaf = True
                await asyncio.sleep(1 + 2 * fault.much)
                member.wire.deaf = False
            case "slow":
                member.wire.lag = 0.02 + 0.2 * fault.much
                await asyncio.sleep(2)
                member.wire.lag = 0
            case _:
                raise AssertionError(fault)

    async def _strike_server(self, fault: Fault) -> None:
        if fault.kind == "server killed":
            await asyncio.to_thread(self._server.kill)
            await asyncio.sleep(0.3 * fault.much)
            await asyncio.to_thread(self._server.restart)
        elif fault.kind == "server frozen":
            self._server.freeze()
            await asyncio.sleep(0.1 + 1.9 * fault.much)
            self._server.thaw()
        else:
            client: Any = self._server.client()
            await client.script_flush()
            await client.aclose()

    async def _freeze(self, child: Child, seconds: float) -> None:
        if child in self._frozen:
            return
        self._frozen.add(child)
        child.freeze()
        await asyncio.sleep(seconds)
        child.thaw()
        self._frozen.discard(child)
