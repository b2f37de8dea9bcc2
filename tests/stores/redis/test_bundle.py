"""Calls of one script as one."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from sse_relay import StoreUnavailableError
from sse_relay.stores.redis.bundle import Bundle, bundled
from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.connection import Connector
from sse_relay.stores.redis.link import Link
from sse_relay.stores.redis.scripts import Flavour, Script
from tests.stores.redis.servers import Server

NAMES = Script("names", "local said = {} for at, key in ipairs(KEYS) do said[at] = key .. ARGV[at] end return said")
OTHER = Script("other", "return 1")


def in_loop(main: Any) -> None:
    asyncio.run(main())


def test_what_may_be_one_is_one() -> None:
    """L6: calls that ask for little are one; a call that asks for much, and one of another script, go by themselves."""

    async def main() -> None:
        small = [Call(NAMES, [f"k{number}"], [b"x"], joins=16) for number in range(300)]
        large = [Call(NAMES, ["k"], [b"x"], joins=4000) for _ in range(2)]
        alone = [Call(OTHER, ["k"], []), Call(NAMES, ["k"], [b"x"], joins=16, asking=True)]
        sent = bundled([*small, *large, *alone], one_slot=False)
        assert sum(len(one.calls) for one in sent) == 304
        assert next(len(one.calls) for one in sent if isinstance(one, Bundle)) == 256
        assert len(sent) == 6
        assert set(alone) <= set(sent)
        assert bundled(alone[:1], one_slot=False) == alone[:1]

    in_loop(main)


def test_on_a_cluster_each_slot_goes_by_itself() -> None:
    """On a Cluster all keys of one call are of one slot."""

    async def main() -> None:
        calls = [Call(NAMES, [f"{{p{number % 4}}}:{number}"], [b"x"], joins=1) for number in range(12)]
        sent = bundled(calls, one_slot=True)
        assert [[call.keys[0][:4] for call in one.calls] for one in sent] == [[f"{{p{part}}}"] * 3 for part in range(4)]

    in_loop(main)


def test_everyone_gets_his_part() -> None:
    """I9: each call has the answer of its own keys, also where another one was cancelled meanwhile."""

    async def main() -> None:
        calls = [Call(NAMES, ["a"], [b"1"], joins=1), Call(NAMES, ["b", "c"], [b"2", b"3"], joins=1)]
        bundle = Bundle([*calls, Call(NAMES, ["d"], [b"4"], joins=1)])
        assert bundle.packed(Flavour.OLD).count(b"$1\r\n") == 9
        bundle.calls[2].future.cancel()
        assert bundle.answered([b"a1", b"b2", b"c3", b"d4"]) is False
        assert [await call.future for call in calls] == [[b"a1"], [b"b2", b"c3"]]

    in_loop(main)


def test_an_error_is_everybodys() -> None:
    """A script that the server does not know is asked again by all; any other error is told to all."""

    async def main() -> None:
        bundle = Bundle([Call(NAMES, ["a"], [b"1"], joins=1), Call(NAMES, ["b"], [b"2"], joins=1)])
        bundle.packed(Flavour.OLD)
        assert bundle.answered(NoScriptError("NOSCRIPT")) is True
        assert b"$4\r\nEVAL\r\n" in bundle.packed(Flavour.OLD)
        assert bundle.answered(ResponseError("OOM")) is False
        for call in bundle.calls:
            with pytest.raises(StoreUnavailableError, match="OOM"):
                await call.future

    in_loop(main)


def test_a_server_is_asked_once(server: Server, prefix: str) -> None:
    """L6: what is asked in one turn of the loop is one call, also when the server does not know the script."""

    async def main() -> None:
        connector, client = Connector(server.client(), 5.0), server.client()
        link = Link(connector.connect, 5.0)
        await link.call(OTHER, [])
        before = (await client.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
        asked = [link.call(NAMES, [f"{prefix}:{number}"], b"!", joins=1) for number in range(100)]
        told = await asyncio.gather(*asked)
        assert told == [[f"{prefix}:{number}!".encode()] for number in range(100)]
        assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] == before + 1
        await link.aclose()
        await client.aclose()

    in_loop(main)
