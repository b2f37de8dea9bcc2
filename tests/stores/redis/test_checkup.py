"""Real servers, looked at before anybody relies on them."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sse_relay import StoreUnavailableError
from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.findings import Finding
from tests.stores.redis.clusters import Cluster
from tests.stores.redis.proxy import through
from tests.stores.redis.servers import Server, found
from tests.stores.redis.waiting import eventually


@pytest.fixture(scope="module")
def own(server: Server) -> Iterator[Server]:
    """A server whose settings may be changed."""
    mine = Server(server.name, found()[server.name])
    yield mine
    mine.close()


@asynccontextmanager
async def settings(server: Server, wanted: Mapping[str, str]) -> AsyncGenerator[None, None]:
    """Change settings for a while."""
    client: Any = server.client(decode_responses=True)
    before = {name: (await client.config_get(name))[name] for name in wanted}
    try:
        for name, value in wanted.items():
            await client.config_set(name, value)
        yield
    finally:
        for name, value in reversed(before.items()):
            await client.config_set(name, value)
        await client.aclose()


async def checked(store: RedisStore) -> dict[str, Finding]:
    """Check, and close the store."""
    try:
        return {finding.subject: finding for finding in await store.check()}
    finally:
        await store.aclose()


def test_a_server_is_asked_and_tried(own: Server, prefix: str) -> None:
    """L7: a server is looked at in one go; the run that it is tried with is forgotten, and all its keys have a TTL."""

    async def main() -> None:
        store = own.store(prefix)
        client: Any = own.client()
        findings = await store.check()
        subjects = [finding.subject for finding in findings]
        assert subjects == [
            "version", "persistence", "replicas", "eviction", "memory", "clock", "runs", "wake-ups"
        ]  # fmt: skip
        assert own.name.split("-")[1] in findings[0].found
        assert [each.level for each in findings[-2:]] == ["ok", "ok"]
        names = await client.keys(f"{prefix}:*")
        assert names
        for name in names:
            assert await client.pttl(name) != -1
        await eventually(lambda: _none(store))
        await store.aclose()
        await client.aclose()

    async def _none(store: RedisStore) -> bool:
        return not [info async for info in store.runs()]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wanted", "expected", "words"),
    [
        ({}, ("persistence", "warning"), "none: a restart forgets all runs"),
        ({"save": "900 1"}, ("persistence", "warning"), "snapshots only (save 900 1)"),
        ({"appendonly": "yes", "appendfsync": "always"}, ("persistence", "ok"), "AOF, always"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, ("persistence", "ok"), "AOF, every second"),
        ({"appendonly": "yes", "appendfsync": "no"}, ("persistence", "warning"), "AOF, never synced"),
        ({"maxmemory": "1gb", "maxmemory-policy": "volatile-lru"}, ("eviction", "warning"), "volatile-lru"),
        ({"maxmemory": "1gb"}, ("memory", "ok"), "MB used of 1074 MB"),
        ({"maxmemory": "1"}, ("memory", "error"), "runs can end, and nothing else"),
        ({"maxmemory": "1"}, ("runs", "error"), "used memory > 'maxmemory'"),
        ({"min-replicas-to-write": "1"}, ("replicas", "error"), "0 of 1"),
        ({"min-replicas-to-write": "1"}, ("runs", "error"), "NOREPLICAS"),
    ],
    ids=str,
)
def test_settings_are_seen(
    wanted: Mapping[str, str], expected: tuple[str, str], words: str, own: Server, prefix: str
) -> None:
    """What a real server is set to is found, and what it then refuses."""

    async def main() -> None:
        async with settings(own, wanted):
            finding = (await checked(own.store(prefix)))[expected[0]]
        assert (finding.subject, finding.level) == expected
        assert words in finding.found

    asyncio.run(main())


def test_a_replica_is_no_place_for_runs(own: Server, prefix: str) -> None:
    """A replica is told from a primary, and its refusal of a run is explained."""

    async def main() -> None:
        client: Any = own.client()
        await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            findings = await checked(own.store(prefix))
        finally:
            await client.execute_command("REPLICAOF", "NO", "ONE")
            await client.aclose()
        assert [findings[subject].level for subject in ("replicas", "runs")] == ["error", "error"]
        assert findings["runs"].advice == "connect to the primary"

    asyncio.run(main())


def test_questions_that_may_not_be_asked_are_findings(own: Server, prefix: str) -> None:
    """A user without CONFIG learns what it may not ask, and that runs work all the same."""

    async def main() -> None:
        client: Any = own.client()
        await client.execute_command("ACL", "SETUSER", "ann", "on", ">x", "~*", "&*", "+@all", "-config")
        findings = await checked(RedisStore.from_url(f"unix://ann:x@{own.socket}", prefix=prefix))
        await client.execute_command("ACL", "DELUSER", "ann")
        await client.aclose()
        assert "CONFIG GET may not be used" in findings["permissions"].found
        assert findings["permissions"].level == "info"
        assert findings["persistence"].found == "no AOF: a restart forgets runs"
        assert {findings[subject].level for subject in ("runs", "wake-ups", "clock")} == {"ok"}

    asyncio.run(main())


@pytest.mark.parametrize(("command", "level"), [("eval", "error"), ("info", "info")])
def test_what_is_needed_is_asked_for(command: str, level: str, own: Server, prefix: str) -> None:
    """A user without EVAL, which works as long as the server knows the scripts, is warned; INFO only tells more."""

    async def main() -> None:
        await checked(own.store(prefix))
        client: Any = own.client()
        await client.execute_command("ACL", "SETUSER", "ann", "on", ">x", "~*", "&*", "+@all", f"-{command}")
        findings = await checked(RedisStore.from_url(f"unix://ann:x@{own.socket}", prefix=prefix))
        await client.execute_command("ACL", "DELUSER", "ann")
        await client.aclose()
        assert findings["permissions"].level == level
        assert findings["runs"].level == "ok"
        assert findings["permissions"].found.startswith(f"{command.upper()} may not be used")

    asyncio.run(main())


def test_each_primary_of_a_cluster_is_asked(cluster: Cluster, prefix: str) -> None:
    """On a Cluster each primary is asked, and a run is tried; a client of one node alone is told its mistake."""

    async def main() -> None:
        findings = await checked(cluster.store(prefix))
        asked = {finding.subject for finding in findings.values() if finding.subject.startswith("version of ")}
        assert asked == {f"version of 127.0.0.1:{member.port}" for member in cluster.primaries}
        assert {findings[subject].level for subject in ("runs", "wake-ups")} == {"ok"}
        assert "cluster" not in findings

        client = cluster.primaries[0].client()
        mistaken = await checked(RedisStore(client, prefix=prefix))
        await client.aclose()
        assert [mistaken[subject].level for subject in ("cluster", "runs")] == ["error", "error"]

    asyncio.run(main())


def test_no_server_is_an_error(tmp_path: Path) -> None:
    """A server that cannot be reached is no finding: StoreUnavailableError says so."""

    async def main() -> None:
        with pytest.raises(StoreUnavailableError):
            await checked(RedisStore.from_url(f"unix://{tmp_path / 'nobody'}"))

    asyncio.run(main())


def test_a_silent_server_is_given_up(own: Server) -> None:
    """A server that answers no more is an error after the deadline."""

    async def main() -> None:
        async with through(own.socket) as proxy:
            proxy.hold()
            with pytest.raises(StoreUnavailableError):
                await checked(own.store("test", proxy.path, deadline=0.2))
            proxy.release()

    asyncio.run(main())


def test_a_server_that_is_too_old_is_told_what_to_do(tmp_path: Path) -> None:
    """An INFO of Redis 5 is an error that says which one is needed, beside what that server refuses."""
    info = b"redis_version:5.0.7\r\nrole:master\r\n"
    answers = {b"PING": b"+PONG\r\n", b"INFO": b"$%d\r\n%s\r\n" % (len(info), info)}
    served: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        while count := (await reader.readline())[1:]:
            words = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(int(count))]
            writer.write(answers.get(words[0], b"-ERR unknown command\r\n"))
        writer.close()

    async def main() -> None:
        listening = await asyncio.start_unix_server(serve, tmp_path / "old")
        findings = await checked(RedisStore.from_url(f"unix://{tmp_path / 'old'}"))
        listening.close()
        await asyncio.gather(*[writer.wait_closed() for writer in served], return_exceptions=True)
        assert (findings["version"].level, findings["runs"].level) == ("error", "error")
        assert findings["version"].found == "Redis 5.0.7 is too old"
        assert findings["version"].advice == "use Redis 6.2 or later, or Valkey"
        assert "too old" in findings["runs"].found

    asyncio.run(main())
