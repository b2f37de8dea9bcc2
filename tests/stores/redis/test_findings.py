"""What is to be said of a server, from what it tells of itself."""

from dataclasses import replace

import pytest

from sse_relay.stores.redis.findings import Finding, Told, judged

MB = 10**6
HEALTHY = Told(
    {
        "redis_version": "7.0.15", "cluster_enabled": "0", "aof_enabled": "1", "aof_last_write_status": "ok",
        "rdb_last_bgsave_status": "ok", "role": "master", "connected_slaves": "2", "maxmemory_policy": "noeviction",
        "used_memory": str(50 * MB), "maxmemory": str(100 * MB),
    },
    {"appendfsync": "everysec", "save": "", "min-replicas-to-write": "1"},
    {},
    0.01,
)  # fmt: skip
NO_AOF = {"aof_enabled": "0"}


def found(info: dict[str, str], config: dict[str, str]) -> list[Finding]:
    return list(judged(replace(HEALTHY, info={**HEALTHY.info, **info}, config={**HEALTHY.config, **config})))


def test_a_server_as_it_should_be_is_ok() -> None:
    """Nothing is to be done about a server that keeps what it acknowledges, and each subject is named once."""
    findings = list(judged(HEALTHY))
    assert {finding.level for finding in findings} == {"ok"}
    assert not any(finding.advice for finding in findings)
    subjects = [finding.subject for finding in findings]
    assert subjects == ["version", "persistence", "replicas", "eviction", "memory", "clock"]


@pytest.mark.parametrize(
    ("info", "config", "level", "subject", "words"),
    [
        ({"redis_version": "6.0.20"}, {}, "error", "version", "Redis 6.0.20 is too old"),
        ({"redis_version": "6.2.14"}, {}, "ok", "version", "Redis 6.2.14"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, {}, "ok", "version", "Valkey 8.1.3"),
        ({"cluster_enabled": "1"}, {}, "error", "cluster", "knows one node only"),
        ({}, {"appendfsync": "always"}, "ok", "persistence", "is on disk"),
        ({}, {"appendfsync": "no"}, "warning", "persistence", "never synced"),
        (NO_AOF, {"save": "60 1"}, "warning", "persistence", "snapshots only (save 60 1)"),
        (NO_AOF, {}, "warning", "persistence", "none: a restart forgets all runs"),
        ({"aof_last_write_status": "err"}, {}, "error", "persistence", "the last AOF could not be written"),
        ({"rdb_last_bgsave_status": "err"}, {}, "error", "persistence", "the last snapshot could not be written"),
        ({"role": "slave"}, {}, "error", "replicas", "this is a replica"),
        ({"connected_slaves": "0"}, {}, "error", "replicas", "0 of 1"),
        ({"connected_slaves": "0"}, {"min-replicas-to-write": "0"}, "info", "replicas", "none"),
        ({}, {"min-replicas-to-write": "0"}, "info", "replicas", "2, which follow a moment later"),
        ({"maxmemory_policy": "volatile-ttl"}, {}, "warning", "eviction", "every key of a run has a TTL"),
        ({"maxmemory_policy": "allkeys-lru"}, {}, "warning", "eviction", "allkeys-lru: when memory is full"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, {}, "warning", "eviction", "as soon as there is"),
        ({"maxmemory": "0"}, {}, "info", "memory", "50 MB used, and no maxmemory"),
        ({"used_memory": str(80 * MB)}, {}, "warning", "memory", "80 MB used of 100 MB"),
        ({"used_memory": str(100 * MB)}, {}, "error", "memory", "runs can end, and nothing else"),
    ],
)
def test_what_is_wrong_is_said(
    info: dict[str, str], config: dict[str, str], level: str, subject: str, words: str
) -> None:
    """Each thing that may cost a run is found, with its level, and with what to do about it unless it is fine."""
    (finding,) = [each for each in found(info, config) if each.subject == subject and words in each.found]
    assert finding.level == level
    assert bool(finding.advice) == (level != "ok")


@pytest.mark.parametrize(("ahead", "words"), [(90.0, "90 s ahead of ours"), (-7.2, "7 s behind ours")])
def test_a_clock_that_differs_is_told(ahead: float, words: str) -> None:
    """A server's clock may differ: that is told, and is no error."""
    (clock,) = [each for each in judged(replace(HEALTHY, ahead=ahead)) if each.subject == "clock"]
    assert (clock.level, clock.found) == ("info", words)


def test_what_may_not_be_asked_is_said_and_not_guessed() -> None:
    """Questions that were refused are findings, and nothing is claimed of what they would have told."""
    findings = list(judged(Told({}, {}, {"INFO": "no", "EVAL": "no", "TIME": "no"}, None)))
    assert {each.subject for each in findings} == {"permissions"}
    assert [each.level for each in findings] == ["info", "error", "info"]
    assert findings[0].found == "INFO may not be used: no"

    told = {each.subject: each for each in judged(replace(HEALTHY, config={}))}
    assert told["persistence"].found == "AOF; how often it is synced is not known"
    without = replace(HEALTHY, info={**HEALTHY.info, **NO_AOF}, config={})
    assert "snapshots" not in {each.subject: each for each in judged(without)}["persistence"].found


def test_a_client_of_a_cluster_may_talk_to_one() -> None:
    """That the server is one of a Cluster is wrong for a client of one node only."""
    told = replace(HEALTHY, info={**HEALTHY.info, "cluster_enabled": "1"}, cluster=True)
    assert "cluster" not in {finding.subject for finding in judged(told)}
