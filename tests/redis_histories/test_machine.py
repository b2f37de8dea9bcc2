"""The state machine of the core on real servers: the same rules, and what only a server can do to its clients."""

import asyncio
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.histories.ground import Ground
from tests.histories.test_machine import ANY, PAUSES, PROCESSES, TwoRelays, keep_going
from tests.redis_histories.clock import ServerClockLoop
from tests.redis_histories.ground import RedisGround
from tests.stores.redis.servers import Server

DATABASE = 9


class OnRedis(TwoRelays):
    """What may happen, on a server."""

    server: ClassVar[Server]

    def clock(self) -> asyncio.AbstractEventLoop:
        """Share the server's clock."""
        return ServerClockLoop(self.server.socket, DATABASE)

    async def ground(self) -> Ground:
        """Use a database of the server's."""
        self.there = RedisGround(self.server, DATABASE)
        await self.there.open(2)
        return self.there

    async def go_on(self) -> None:
        """Let everybody go as far as they can without time; the server, too."""
        await asyncio.sleep(0.001)

    @rule(
        process=PROCESSES, what=st.sampled_from(("cut", "lose", "hold")), count=st.sampled_from((1, 2, 5)), pause=PAUSES
    )
    def break_the_wire(self, process: int, what: str, count: int, pause: float) -> None:
        """Connections are cut, answers are lost with their connection, or nothing comes through for a while."""
        proxy = self.there.proxies[process]

        def act() -> None:
            if what == "cut":
                proxy.cut()
            elif what == "lose":
                proxy.loses = count
            else:
                proxy.hold()
                self.loop.call_later(2 * pause, proxy.release)

        self.do(act, pause)

    @rule()
    def forget_scripts(self) -> None:
        self.go(self.there.forget_scripts())

    @rule(process=PROCESSES, which=ANY, what=st.sampled_from(("log", "whole log", "recent", "state", "all")))
    def take(self, process: int, which: int, what: str) -> None:
        """What is stored of a run is deleted behind everybody's back, in part or whole; and somebody comes."""
        run_id = self.run(which)
        if not self.stage.made[run_id].opened:
            return  # its start may be asked again, and would make it again
        if what in {"state", "all"}:
            self.stage.gone.add(run_id)
        else:
            self.stage.holed.add(run_id)
            self.stage.history.expect_loss(run_id)

        async def take() -> None:
            await self.there.take(run_id, what)
            await self.stage.join(process, run_id, None)

        self.go(take())

    @rule(which=ANY)
    def expire(self, which: int) -> None:
        """A run that has ended has been silent for the whole retention."""
        run_id = self.run(which)
        script = self.stage.made[run_id]

        async def expire() -> None:
            if not await self.there.running([run_id]) and script.opened:
                self.stage.gone.add(run_id)
                await self.there.expire(run_id)

        self.go(expire())

    async def clear(self) -> None:
        """Let go of the server, too."""
        await super().clear()
        if hasattr(self, "there"):
            await self.there.close()


@pytest.mark.timeout(60)  # on a machine that is busy with other things
def test_whatever_happens(server: Server) -> None:
    """I1-I9, L2, L6-L8: on a real server, whatever happens, each run that is not taken away ends once, seen whole."""

    class Here(OnRedis):
        pass

    Here.server = server
    keep_going(Here, 8, 30, shrink=False)


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long(server: Server) -> None:
    """I1-I9, L2, L6-L8: the same, with many more examples and longer ones."""

    class Here(OnRedis):
        pass

    Here.server = server
    keep_going(Here, 500, 60, shrink=False)
