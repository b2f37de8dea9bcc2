"""The scripts, one a file."""

import asyncio
import hashlib
from importlib import resources

import pytest

from sse_relay.stores.redis import pages, spread, store
from sse_relay.stores.redis.connection import Server as Told
from sse_relay.stores.redis.scripts import Flavour, Script, load
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.servers import Server

FILES = [file.name.removesuffix(".lua") for file in resources.files("sse_relay.stores.redis").iterdir()
         if file.name.endswith(".lua")]  # fmt: skip
FAST = {name for name in FILES if name.endswith(".fast")}
OPERATIONS = sorted({*FILES} - {"prelude", "cluster"} - FAST)


def test_every_file_is_an_operation() -> None:
    """No script is left over: the store uses each file, and each says what it is given."""
    used = {
        value.name for module in (store, pages, spread) for value in vars(module).values() if isinstance(value, Script)
    }
    assert used == set(OPERATIONS)
    for name in OPERATIONS:
        assert b"KEYS:" in load(name).text(Flavour.NEW).source
    assert {name.removesuffix(".fast") for name in FAST} < set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_server_takes_each_script(name: str, server: Server, cluster: Cluster) -> None:
    """Each text loads under the name that it is called by, on a server of its kind, and only once for each."""

    async def main() -> None:
        for client, flavour in (
            (server.client(), Flavour.NEW if server.modern else Flavour.OLD),
            (cluster.primaries[0].client(), Flavour.NEW_CLUSTER if cluster.modern else Flavour.OLD_CLUSTER),
        ):
            text = load(name).text(flavour)
            assert (await client.script_load(text.source.decode())).encode() == text.sha
            await client.aclose()

    asyncio.run(main())


def test_only_what_looks_across_slots_says_so() -> None:
    """From Redis 7 on a script of a Cluster has to say that it looks across slots; 6.2 would not understand it."""
    for name in OPERATIONS:
        for flavour in Flavour:
            flags = load(name).text(flavour).source.partition(b"\n")[0].startswith(b"#!lua flags=")
            assert flags is (flavour is Flavour.NEW_CLUSTER and name in {"renew", "lapsed"})


def test_only_a_cluster_is_guarded() -> None:
    """One node runs what it ran before; on a Cluster each operation looks first, and Redis 7 publishes to the shard."""
    for name in OPERATIONS:
        one, many = (load(name).text(flavour).source for flavour in (Flavour.NEW, Flavour.NEW_CLUSTER))
        assert b"TRYAGAIN" not in one
        assert b"TRYAGAIN" in many
        assert f"local OPERATION, PUBLISH = '{name}', 'PUBLISH'".encode() in one
        assert f"local OPERATION, PUBLISH = '{name}', 'SPUBLISH'".encode() in many
        assert b"'SPUBLISH'" not in load(name).text(Flavour.OLD_CLUSTER).source
        text = load(name).text(Flavour.NEW)
        assert text.sha == hashlib.sha1(text.source).hexdigest().encode()


def test_a_server_is_of_one_kind() -> None:
    """The kind is told by the version, as Redis counts, and by whether it is one of a Cluster."""
    told = [Flavour.of(Told(version, cluster)) for cluster in (False, True) for version in ((6, 2), (7, 0))]
    assert told == list(Flavour)
